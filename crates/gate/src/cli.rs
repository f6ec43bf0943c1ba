//! The command line, and nothing else.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::expectation::Expectation;
use crate::handover::Link;

/// Proves a container's fence from inside.
#[derive(Parser, Debug)]
#[command(name = "agentnet-gate", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) job: Job,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Job {
    /// Prove the fence quickly, then become CMD; a leak means exit 125 and CMD never runs
    Exec(Exec),
    /// Run every row and print the table: exit 0 sealed, 1 a leak or a row that could not be proven
    Verify(Verify),
    /// Become CMD with the secrets of FILE in its environment
    With(With),
    /// Join standard input and output to HOST:PORT through the proxy of `https_proxy`, as ssh's ProxyCommand
    Connect(Connect),
    /// Print, as one JSON document, which programs here do not know the proxy; always exit 0
    Clients,
    /// Exit 0 when somebody listens on every PORT of this network namespace: a health check
    Listening(Listening),
    /// Exit 0 when somebody can be reached at the unix socket PATH
    Reaches(Reaches),
    /// Print what this container has used of its ceilings, as JSON
    Usage(Usage),
}

#[derive(Args, Debug)]
pub(crate) struct Exec {
    #[command(flatten)]
    pub(crate) expectation: Expectation,

    /// A file with variables for CMD, NAME=VALUE and a NUL each; absent: none
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,

    /// A link to make below `HOME`, where nothing is yet, as LINK=TARGET (repeat)
    #[arg(long = "link", value_name = "LINK=TARGET", value_parser = link)]
    pub(crate) links: Vec<Link>,

    /// The real entrypoint and its arguments, passed on untouched
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct With {
    /// A file with variables for CMD, NAME=VALUE and a NUL each; absent: none
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: PathBuf,

    /// What to become
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

fn link(text: &str) -> Result<Link, String> {
    match text.split_once('=') {
        Some((name, target)) if !name.is_empty() && !target.is_empty() => Ok(Link {
            name: name.into(),
            target: target.into(),
        }),
        _ => Err("write it as LINK=TARGET".to_owned()),
    }
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) expectation: Expectation,

    /// `exec` has asked the link a moment ago: do not wait a second for the kernel to ask again
    #[arg(long)]
    pub(crate) just_proven: bool,

    /// Print the report as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Connect {
    /// The name or address to reach; what `no_proxy` names is reached without the proxy
    pub(crate) host: String,

    /// Its port
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
}

#[derive(Args, Debug)]
pub(crate) struct Listening {
    /// TCP ports
    #[arg(required = true, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) ports: Vec<u16>,
}

#[derive(Args, Debug)]
pub(crate) struct Reaches {
    /// The socket
    #[arg(value_name = "PATH")]
    pub(crate) socket: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Usage {
    /// Also how much is on disk below these directories
    #[arg(value_name = "DIR")]
    pub(crate) directories: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_the_two_dashes_is_never_read_as_a_flag() {
        let words = [
            "gate", "exec", "--fence", "none", "--", "sh", "-c", "--fence", "open", "--",
        ];
        let Job::Exec(exec) = Cli::try_parse_from(words).unwrap().job else {
            panic!("not exec");
        };
        assert_eq!(exec.command, ["sh", "-c", "--fence", "open", "--"]);
    }

    #[test]
    fn exec_without_a_command_is_refused() {
        assert!(Cli::try_parse_from(["gate", "exec", "--fence", "none"]).is_err());
        assert!(Cli::try_parse_from(["gate", "exec", "--fence", "none", "--"]).is_err());
        assert!(Cli::try_parse_from(["gate", "exec", "--", "true"]).is_err());
    }
}
