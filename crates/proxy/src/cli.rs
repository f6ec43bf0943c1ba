//! The command line: what can be typed, and where each command lives.

mod check;
mod explain;
mod given;
mod learn;
mod lint;
mod manager;
mod presets;
mod serve;
mod tinyproxy;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};

use self::given::Given;
use crate::admin;
use crate::environment::Environment;
use crate::relay;
use crate::settings::{Address, AdminAddress, Problem, Raw};

/// Exit status of everything that worked.
pub const OK: u8 = 0;
/// Exit status when the answer is no: a whitelist with errors, an explained refusal, not healthy.
pub const NO: u8 = 1;
/// Exit status of bad settings, whitelists or arguments, before any port is bound.
pub const USAGE: u8 = 2;

/// agentnet's egress proxy: lets through what the whitelist names, and says why for the rest
#[derive(Debug, Parser)]
#[command(
    name = "agentnet-proxy",
    version,
    args_conflicts_with_subcommands = false
)]
pub struct Cli {
    /// The configuration: a TOML file of settings or a tinyproxy.conf; AGENTNET_* and flags win over
    /// it
    #[arg(short = 'c', long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Stay in the foreground, as it does anyway: for scripts that call Tinyproxy
    #[arg(short = 'd')]
    foreground: bool,
    /// Print the version as Tinyproxy does
    #[arg(short = 'v')]
    tinyproxy_version: bool,
    #[command(flatten)]
    settings: Raw,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check whitelist files, in layer order, or what -c FILE would serve; 1 if one has an error
    Check(check::Check),
    /// Say what would happen to a URL, and which line decides; 1 if it is refused
    Explain(explain::Explain),
    /// Show what a tinyproxy.conf lets through that nobody meant, and print the equivalent
    /// whitelist; 1 if there is something to see
    Lint(lint::Lint),
    /// Propose a whitelist from a log of events, or a diff against the one in use
    Learn(learn::Learn),
    /// List the presets that `@NAME` includes, or print the text of one
    Presets(presets::List),
    /// Carry connections to a proxy's unix socket: the `socket` fence's door
    Relay(relay::Relay),
    /// The process that `relay` starts again when it dies
    #[command(hide = true)]
    RelayWorker(relay::Worker),
    /// Ask the running proxy whether it is ready; 1 if it is not
    Healthcheck {
        /// Ask at a listener or a relay instead of the admin listener
        #[arg(long, value_name = "IP:PORT|unix:PATH")]
        door: Option<Address>,
    },
    /// Ask the running proxy's admin listener
    Admin {
        /// What to ask
        what: admin::Asked,
    },
}

/// The command line, with each command's help cut down to the settings that it heeds.
fn command() -> clap::Command {
    let mut cli = Cli::command();
    let everywhere = cli.get_arguments().filter(|arg| arg.is_global_set());
    let everywhere: Vec<Arg> = everywhere.cloned().collect();
    for command in cli.get_subcommands_mut() {
        let heeded: &[&str] = match command.get_name() {
            "check" => &["config", "presets"],
            "explain" => &["config", "presets", "default_up", "upstream"],
            "learn" | "presets" => &["config", "presets"],
            "healthcheck" | "admin" => &["config", "admin"],
            _ => &[],
        };
        let hidden = everywhere
            .iter()
            .filter(|arg| !heeded.contains(&arg.get_id().as_str()));
        for arg in hidden {
            *command = std::mem::take(command).arg(arg.clone().hide(true));
        }
    }
    cli
}

/// Runs the program.
#[must_use]
pub fn run(arguments: Vec<std::ffi::OsString>, environment: &dyn Environment) -> ExitCode {
    if let Some(arguments) = tinyproxy::invocation(&arguments) {
        return tinyproxy::run(arguments, environment);
    }
    let matches = command().try_get_matches_from(arguments);
    let cli = matches.and_then(|matches| {
        let flags = given::typed(&matches);
        Cli::from_arg_matches(&matches).map(|cli| (cli, flags))
    });
    let (cli, typed) = match cli {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout with 0, mistakes to stderr with 2.
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    if cli.tinyproxy_version {
        tinyproxy::print_version();
        return ExitCode::from(OK);
    }
    let given = Given {
        config: cli.config,
        flags: cli.settings,
        typed,
        environment,
    };
    let code = match cli.command {
        Some(command) => command.run(given),
        None => given.then(|settings| serve::run(settings, serve::Place::Foreground, environment)),
    };
    crate::diagnostic::flush();
    ExitCode::from(code)
}

impl Command {
    fn run(self, given: Given<'_>) -> u8 {
        match self {
            Self::Check(check) if check.names_files() => {
                given.then_with_presets(|presets| check.run(presets))
            }
            Self::Check(_) => given.then(|settings| check::listeners(&settings)),
            Self::Explain(explain) => given.then(|settings| explain.run(settings)),
            Self::Lint(lint) => lint.run(),
            Self::Learn(learn) => given.then_with_presets(|presets| learn.run(presets)),
            Self::Presets(list) => given.then_with_presets(|presets| list.run(presets)),
            Self::Relay(relay) => relay.run(),
            Self::RelayWorker(worker) => worker.run(),
            Self::Healthcheck { door: None } => ask(given, admin::Asked::Ready),
            Self::Healthcheck { door: Some(door) } => knock(&door),
            Self::Admin { what } => ask(given, what),
        }
    }
}

fn complain(problems: &[Problem]) -> u8 {
    for problem in problems {
        crate::diagnostic::error(problem);
    }
    USAGE
}

fn ask(given: Given<'_>, what: admin::Asked) -> u8 {
    given.then(|settings| ask_at(&settings.admin, what))
}

fn ask_at(admin: &AdminAddress, what: admin::Asked) -> u8 {
    block_on(async {
        let mut output = std::io::stdout();
        match admin::ask(admin, what, &mut output).await {
            Ok(status) if status.is_success() => OK,
            Ok(status) => {
                crate::diagnostic::error(format_args!("the admin listener answered {status}"));
                NO
            }
            Err(admin::ClientError::Output(error))
                if error.kind() == std::io::ErrorKind::BrokenPipe =>
            {
                OK
            }
            Err(error) => {
                crate::diagnostic::error(error);
                NO
            }
        }
    })
}

/// One real request through a door, which is answered by the proxy itself behind it.
fn knock(door: &Address) -> u8 {
    block_on(async {
        match admin::knock(door).await {
            Ok(true) => OK,
            Ok(false) => {
                crate::diagnostic::error(format_args!("{door} is answered by something else"));
                NO
            }
            Err(error) => {
                crate::diagnostic::error(error);
                NO
            }
        }
    })
}

/// Runs a small task on a runtime of its own.
fn block_on(task: impl Future<Output = u8>) -> u8 {
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(task),
        Err(error) => {
            crate::diagnostic::error(format_args!("no runtime: {error}"));
            NO
        }
    }
}

/// Writes data to stdout; a reader that has gone is no error.
fn print(text: &str) {
    std::io::stdout().lock().write_all(text.as_bytes()).ok();
}
