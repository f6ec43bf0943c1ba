//! The command line: one file a subcommand, which holds its arguments and its `run`.

mod check;
mod install;
mod status;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use agentnet_gate::notify::Order;
use clap::{Parser, Subcommand};

/// The alerts of tasks: what an agent writes becomes a notification.
#[derive(Parser, Debug)]
#[command(name = "agentnet-notify", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand, Debug)]
enum Job {
    /// Say of each file whether it is an alert that would be taken: exit 0 if all are, 1 if not
    ///
    /// A file is named 1 to 64 of a-z, 0-9 and -, then .json; it is a regular file with one name, of
    /// at most 8192 bytes, and reads {"v":1,"kind":"complete","text":"..."} with one of the kinds
    /// complete, error, clarification, info, test. A clarification may have "choices": ["yes","no"].
    Check(check::Arguments),
    /// What the program in a task's container does.
    #[command(flatten)]
    Order(Order),
    /// Tell the person what the agents of all tasks say: the bridge, in the foreground
    ///
    /// Exit codes: 0 ended by a signal; 1 something failed; 2 the configuration cannot be used; 3 a
    /// bridge runs for this state directory already.
    Watch(watch::Arguments),
    /// Run the bridge as a service of your session: a systemd unit, a desktop entry, an icon
    ///
    /// They go into your own directories ($XDG_CONFIG_HOME, $XDG_DATA_HOME) and nothing else is touched. Run it
    /// again after a change of the configuration: the unit opens only what the outlets need. Exit
    /// codes: 0 done; 1 something failed or a place holds a file that is not ours; 2 the
    /// configuration cannot be used.
    Install(install::Arguments),
    /// Whether a bridge runs, its outlets, counts and last alerts: exit 0 if it runs, 4 if not
    Status(status::Arguments),
}

/// Runs the program on its arguments, the program's own name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Cli::try_parse_from(arguments) {
        Ok(Cli { job }) => match job {
            Job::Check(arguments) => check::run(&arguments),
            Job::Order(order) => ExitCode::from(agentnet_gate::notify::run(&order)),
            Job::Watch(arguments) => watch::run(&arguments),
            Job::Install(arguments) => install::run(&arguments),
            Job::Status(arguments) => status::run(&arguments),
        },
        Err(error) => {
            // Nothing sensible is left to do when even this cannot be printed.
            drop(error.print());
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_kind() {
        let mut command = Cli::command();
        let check = command
            .find_subcommand_mut("check")
            .unwrap()
            .render_long_help()
            .to_string();
        for kind in Kind::ALL {
            assert!(check.contains(kind.as_str()), "{check}");
        }
    }
}
