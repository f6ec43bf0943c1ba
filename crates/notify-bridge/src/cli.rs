//! The command line, and nothing else.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Reads the alerts that a task's agent writes.
///
/// This version has the alerts' format and its checks. It does not watch a spool directory, shows no
/// desktop notification, sends no alert, and does not carry an answer back.
#[derive(Parser, Debug)]
#[command(name = "agentnet-notify", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) job: Job,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Job {
    /// Say of each file whether it is an alert that would be taken: exit 0 if all are, 1 if not
    ///
    /// A file is named 1 to 64 of a-z, 0-9 and -, then .json; it is a regular file with one name, of
    /// at most 8192 bytes, and reads {"v":1,"kind":"complete","text":"..."} with one of the kinds
    /// complete, error, clarification, info, test.
    Check {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
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
    fn the_help_says_what_is_not_there_and_names_every_kind() {
        let mut command = Cli::command();
        let help = command.render_long_help().to_string();
        assert!(help.contains("does not watch"), "{help}");
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
