//! Tinyproxy's command line: what happens when this program is run under that name.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

use super::given::{self, from_environment};
use super::{USAGE, complain, print, serve};
use crate::clients::Clients;
use crate::daemon::{self, Started};
use crate::diagnostic;
use crate::environment::Environment;
use crate::settings::{DEFAULT_PATH, Origins, Problem, Raw, Settings, TinyproxyFile};

/// The name.
const NAME: &str = "tinyproxy";

/// What the version line says: the release whose log, pages and directives these are, and ours.
const VERSION: &str = concat!(
    "tinyproxy 1.11.1 (agentnet-proxy ",
    env!("CARGO_PKG_VERSION"),
    ")"
);

/// agentnet-proxy, run as Tinyproxy
#[derive(Debug, Parser)]
#[command(name = "tinyproxy", disable_version_flag = true)]
struct Tinyproxy {
    /// Do not daemonize (run in foreground)
    #[arg(short = 'd')]
    foreground: bool,
    /// Use an alternate configuration file
    #[arg(short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Display version information
    #[arg(short = 'v')]
    version: bool,
    /// The process in the background
    #[arg(long, hide = true)]
    in_background: bool,
    #[command(flatten)]
    settings: Raw,
    /// Clients that may use it, in place of those of the file: ANY, or addresses and networks
    #[arg(value_name = "ANY|CLIENT", help_heading = "Arguments")]
    clients: Vec<String>,
}

/// The arguments of Tinyproxy, its name among them, if that is how the program is run: under the
/// name, or with it as the first argument, which is what `command: tinyproxy -d` in a compose file
/// makes of an image with an entrypoint.
pub(super) fn invocation(arguments: &[OsString]) -> Option<&[OsString]> {
    let is_name = |argument: &OsString| {
        Path::new(argument)
            .file_name()
            .is_some_and(|name| name == NAME)
    };
    match arguments {
        [first, ..] if is_name(first) => Some(arguments),
        [_, rest @ ..] if rest.first().is_some_and(is_name) => Some(rest),
        _ => None,
    }
}

/// Prints the version as Tinyproxy does.
pub(super) fn print_version() {
    print(&format!("{VERSION}\n"));
}

/// The command line, without the settings that cannot stand beside a `tinyproxy.conf` in its help.
fn command() -> clap::Command {
    let strangers = [
        "whitelist",
        "task_whitelist",
        "presets",
        "credentials_file",
        "default_up",
    ];
    let command = Tinyproxy::command();
    strangers.iter().fold(command, |command, id| {
        command.mut_arg(id, |arg| arg.hide(true))
    })
}

/// Runs as Tinyproxy.
pub(super) fn run(arguments: &[OsString], environment: &dyn Environment) -> ExitCode {
    let matches = command().try_get_matches_from(arguments);
    let read = matches.and_then(|matches| {
        let flags = given::typed(&matches);
        Tinyproxy::from_arg_matches(&matches).map(|read| (read, flags))
    });
    let (read, flags) = match read {
        Ok(read) => read,
        Err(error) => {
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    let code = read.run(arguments, &flags, environment);
    diagnostic::flush();
    ExitCode::from(code)
}

impl Tinyproxy {
    fn run(self, arguments: &[OsString], flags: &[String], environment: &dyn Environment) -> u8 {
        if self.version {
            print_version();
            return super::OK;
        }
        // The images that take clients as arguments run in the foreground.
        let foreground = self.foreground || !self.clients.is_empty();
        if !foreground && !self.in_background {
            return detach(arguments);
        }
        if self.in_background
            && let Err(error) = daemon::settle()
        {
            diagnostic::error(format_args!("no session in the background: {error}"));
            return super::NO;
        }
        let place = if self.in_background {
            serve::Place::Background
        } else {
            serve::Place::Foreground
        };
        match self.settings(environment) {
            Ok(settings) => serve::run(settings, place, environment),
            Err(problems) => {
                let origins = Origins {
                    flags,
                    environment,
                    file: None,
                };
                let located = problems.into_iter().map(|problem| origins.locate(problem));
                complain(&located.collect::<Vec<_>>())
            }
        }
    }

    fn settings(self, environment: &dyn Environment) -> Result<Settings, Vec<Problem>> {
        let (from_environment, named) = from_environment(environment)?;
        if self.in_background && (self.settings.log.is_some() || from_environment.log.is_some()) {
            let what = "has nowhere to write in the background: give -d, or leave it out";
            return Err(vec![Problem::new("log", what)]);
        }
        let clients = clients(&self.clients).map_err(|problem| vec![problem])?;
        let path = match self.config.or(named) {
            Some(path) => Some(path),
            // Clients are all that such a container is told.
            None if clients.is_some() && !Path::new(DEFAULT_PATH).exists() => None,
            None => Some(PathBuf::from(DEFAULT_PATH)),
        };
        let file = TinyproxyFile::new(path, clients);
        Settings::from_tinyproxy(file, self.settings, from_environment)
    }
}

/// `ANY` is everybody; no word at all leaves it to the file.
fn clients(words: &[String]) -> Result<Option<Clients>, Problem> {
    match words {
        [] => Ok(None),
        [word] if word == "ANY" => Ok(Some(Clients::default())),
        words => Clients::parse(words)
            .map(Some)
            .map_err(|what| Problem::new("the clients on the command line", what)),
    }
}

fn detach(arguments: &[OsString]) -> u8 {
    let (name, rest) = match arguments {
        [name, rest @ ..] => (name.as_os_str(), rest),
        [] => (NAME.as_ref(), arguments),
    };
    match daemon::detach(name, rest) {
        Ok(Started::Serving) => super::OK,
        Ok(Started::Failed(code)) => code,
        Err(error) => {
            diagnostic::error(format_args!("not started in the background: {error}"));
            super::NO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn is_tinyproxy_under_that_name_and_as_the_first_argument() {
        for line in [
            &["tinyproxy", "-d"][..],
            &["/usr/bin/tinyproxy", "-d"],
            &["/agentnet-proxy", "tinyproxy", "-d"],
            &["/agentnet-proxy", "/usr/bin/tinyproxy", "-d"],
        ] {
            let line = words(line);
            let found = invocation(&line).unwrap();
            assert_eq!(found.len(), 2, "{line:?}");
        }
        for line in [
            &["agentnet-proxy"][..],
            &["agentnet-proxy", "-c", "tinyproxy"],
            &["agentnet-proxy", "-c", "tinyproxy.conf"],
            &["agentnet-proxy", "check", "tinyproxy"],
        ] {
            assert_eq!(invocation(&words(line)), None, "{line:?}");
        }
    }

    #[test]
    fn takes_clients_as_arguments() {
        let read = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(|word| (*word).to_owned()).collect();
            clients(&list)
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["ANY"]), Ok(Some(Clients::default())));
        let two = read(&["10.103.0.100/24", "192.168.1.22"]).unwrap().unwrap();
        let permits = |client: &str| two.permits_at_once(Some(client.parse().unwrap()));
        assert_eq!(permits("10.103.0.7"), Some(true));
        assert_eq!(permits("10.104.0.7"), Some(false));
        let wrong = read(&["10.0.0.1", "10.0.0.1/40"]).unwrap_err().to_string();
        assert!(wrong.contains("10.0.0.1/40"), "{wrong}");
    }
}
