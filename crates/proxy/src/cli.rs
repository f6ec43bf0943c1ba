//! The command line: what can be typed, and where each command lives.

mod check;
mod explain;
mod learn;
mod lint;
mod manager;
mod presets;
mod serve;
mod tinyproxy;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::admin;
use crate::environment::{Environment, PREFIX};
use crate::relay;
use crate::settings::{Address, Problem, Raw, Settings, TinyproxyFile, is_tinyproxy};

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
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
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
    let code = match cli.command {
        Some(Command::Check(check)) if check.names_files() => {
            with_presets(cli.config, cli.settings, environment, |presets| {
                check.run(presets)
            })
        }
        Some(Command::Check(_)) => match settings(cli.config, cli.settings, environment) {
            Ok(settings) => check::listeners(&settings),
            Err(problems) => complain(&problems),
        },
        Some(Command::Explain(explain)) => match settings(cli.config, cli.settings, environment) {
            Ok(settings) => explain.run(settings),
            Err(problems) => complain(&problems),
        },
        Some(Command::Lint(lint)) => lint.run(),
        Some(Command::Learn(learn)) => {
            with_presets(cli.config, cli.settings, environment, |presets| {
                learn.run(presets)
            })
        }
        Some(Command::Presets(list)) => {
            with_presets(cli.config, cli.settings, environment, |presets| {
                list.run(presets)
            })
        }
        Some(Command::Relay(relay)) => relay.run(),
        Some(Command::RelayWorker(worker)) => worker.run(),
        Some(Command::Healthcheck { door: None }) => {
            ask(cli.config, cli.settings, environment, admin::Asked::Ready)
        }
        Some(Command::Healthcheck { door: Some(door) }) => knock(&door),
        Some(Command::Admin { what }) => ask(cli.config, cli.settings, environment, what),
        None => match settings(cli.config, cli.settings, environment) {
            Ok(settings) => serve::run(settings, serve::Place::Foreground, environment),
            Err(problems) => complain(&problems),
        },
    };
    crate::diagnostic::flush();
    ExitCode::from(code)
}

/// What the environment says, and the configuration file that it names.
fn from_environment(environment: &dyn Environment) -> Result<(Raw, Option<PathBuf>), Vec<Problem>> {
    let (raw, strangers) = Raw::from_environment(environment).map_err(|problem| vec![problem])?;
    let config_variable = format!("{PREFIX}CONFIG");
    for stranger in strangers.iter().filter(|name| **name != config_variable) {
        crate::diagnostic::warn(format_args!(
            "{stranger} is set and is no setting of the proxy"
        ));
    }
    Ok((raw, environment.get(&config_variable).map(PathBuf::from)))
}

/// What was said where.
struct Said {
    flags: Raw,
    environment: Raw,
    file: File,
}

/// A configuration file, by what is in it.
enum File {
    Toml(Box<Raw>),
    Tinyproxy(TinyproxyFile),
}

fn said(
    config: Option<PathBuf>,
    flags: Raw,
    environment: &dyn Environment,
) -> Result<Said, Vec<Problem>> {
    let (environment, named) = from_environment(environment)?;
    let file = match config.or(named) {
        None => File::Toml(Box::default()),
        Some(path) => {
            let name = path.display().to_string();
            let bytes = std::fs::read(&path)
                .map_err(|error| vec![Problem::new(&name, format!("cannot be read: {error}"))])?;
            let text = String::from_utf8_lossy(&bytes);
            if is_tinyproxy(&text) {
                File::Tinyproxy(TinyproxyFile::new(Some(path), None))
            } else {
                let raw = Raw::from_toml(&name, &text).map_err(|problem| vec![problem])?;
                File::Toml(Box::new(raw))
            }
        }
    };
    Ok(Said {
        flags,
        environment,
        file,
    })
}

/// The settings as typed, with those of a TOML file below.
fn raw(
    config: Option<PathBuf>,
    flags: Raw,
    environment: &dyn Environment,
) -> Result<Raw, Vec<Problem>> {
    let said = said(config, flags, environment)?;
    let over = said.flags.over(said.environment);
    Ok(match said.file {
        File::Toml(file) => over.over(*file),
        File::Tinyproxy(_) => over,
    })
}

fn settings(
    config: Option<PathBuf>,
    flags: Raw,
    environment: &dyn Environment,
) -> Result<Settings, Vec<Problem>> {
    let said = said(config, flags, environment)?;
    match said.file {
        File::Toml(file) => Settings::check(said.flags.over(said.environment).over(*file)),
        File::Tinyproxy(file) => Settings::from_tinyproxy(file, said.flags, said.environment),
    }
}

/// Runs a command with the directory of presets that the running proxy would take.
fn with_presets(
    config: Option<PathBuf>,
    flags: Raw,
    environment: &dyn Environment,
    command: impl FnOnce(Option<&Path>) -> u8,
) -> u8 {
    match raw(config, flags, environment) {
        Ok(raw) => command(raw.presets.as_deref()),
        Err(problems) => complain(&problems),
    }
}

fn complain(problems: &[Problem]) -> u8 {
    for problem in problems {
        crate::diagnostic::error(problem);
    }
    USAGE
}

fn ask(
    config: Option<PathBuf>,
    flags: Raw,
    environment: &dyn Environment,
    what: admin::Asked,
) -> u8 {
    let settings = match settings(config, flags, environment) {
        Ok(settings) => settings,
        Err(problems) => return complain(&problems),
    };
    block_on(async {
        let mut output = std::io::stdout();
        match admin::ask(&settings.admin, what, &mut output).await {
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
