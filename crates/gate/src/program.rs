//! The binary's story: parse, prove, then launch or print.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::cli::{self, Cli, Connect, Exec, Job, Listening, Reaches, Verify};
use crate::clients::{self, Places};
use crate::connect::{self, Wiring};
use crate::handover;
use crate::launch::{REFUSED, launch};
use crate::listening;
use crate::notify;
use crate::patience;
use crate::proof;
use crate::table;
use crate::usage::Usage;

const SEALED: u8 = 0;
const LEAK: u8 = 1;
const USAGE: u8 = 2;

/// Runs the program on its arguments, the program's own name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if notify::is_called(&arguments) {
        return ExitCode::from(notify::main(&arguments));
    }
    let code = match Cli::try_parse_from(&arguments) {
        Ok(Cli {
            job: Job::Exec(exec),
        }) => run_exec(&exec),
        Ok(Cli {
            job: Job::Verify(verify),
        }) => run_verify(&verify),
        Ok(Cli {
            job: Job::With(with),
        }) => become_with(Some(&with.secrets), &with.command),
        Ok(Cli {
            job: Job::Connect(connect),
        }) => run_connect(&connect),
        Ok(Cli { job: Job::Clients }) => run_clients(),
        Ok(Cli {
            job: Job::Listening(wanted),
        }) => run_listening(&wanted),
        Ok(Cli {
            job: Job::Reaches(wanted),
        }) => run_reaches(&wanted),
        Ok(Cli {
            job: Job::Usage(wanted),
        }) => run_usage(&wanted),
        Err(error) => {
            // Nothing sensible is left to do when even this cannot be printed.
            drop(error.print());
            let is_exec = arguments
                .get(1)
                .is_some_and(|word| word == "exec" || word == "with");
            match (error.use_stderr(), is_exec) {
                (false, _) => SEALED,
                (true, true) => REFUSED,
                (true, false) => USAGE,
            }
        }
    };
    ExitCode::from(code)
}

fn run_exec(exec: &Exec) -> u8 {
    if let Err(error) = exec.expectation.check() {
        say(&error.to_string());
        return REFUSED;
    }
    let report = proof::quick(&exec.expectation);
    if report.sealed {
        if let Some(proxy) = exec.expectation.proxy
            && !patience::proxy_answers(proxy, patience::LONGEST)
        {
            // Sealed all the same: the command starts, and nothing of it gets out.
            say(&format!(
                "the proxy at {proxy} does not answer; starting without a way out"
            ));
        }
        for link in &exec.links {
            // The command can do without: it logs in by itself.
            let home = std::env::var_os("HOME").unwrap_or_else(|| "/".into());
            if let Err(error) = handover::link(Path::new(&home), link) {
                say(&format!("cannot link {}: {error}", link.name.display()));
            }
        }
        return become_with(exec.secrets.as_deref(), &exec.command);
    }
    let command = exec
        .command
        .first()
        .map(|word| word.to_string_lossy().into_owned());
    say(&format!(
        "the {} fence is not sealed, so {} was not started",
        report.fence,
        command.unwrap_or_default()
    ));
    for row in report.against() {
        say(&format!("{} {}: {}", row.outcome, row.id, row.detail));
    }
    REFUSED
}

/// Becomes the command, with the secrets of a file. Comes back only when that failed.
fn become_with(secrets: Option<&Path>, command: &[OsString]) -> u8 {
    let (code, sentence) = match secrets.map(handover::secrets).transpose() {
        Ok(secrets) => launch(command, secrets.unwrap_or_default()),
        Err(sentence) => (REFUSED, sentence),
    };
    say(&sentence);
    code
}

fn run_verify(verify: &Verify) -> u8 {
    if let Err(error) = verify.expectation.check() {
        say(&error.to_string());
        return USAGE;
    }
    // The agent may run as the same user: it must not be able to rewrite us while we look.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        say(&format!(
            "cannot protect this process from its neighbours: {error}"
        ));
    }
    let report = proof::full(&verify.expectation, verify.just_proven);
    let mut out = io::stdout().lock();
    let printed = if verify.json {
        serde_json::to_writer(&mut out, &report)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        table::print(&report, &mut out)
    };
    match printed {
        // A reader that has gone away does not change what was found.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(&format!("the report could not be printed: {error}"));
            LEAK
        }
        Ok(()) | Err(_) if report.sealed => SEALED,
        Ok(()) | Err(_) => LEAK,
    }
}

fn run_connect(connect: &Connect) -> u8 {
    let wiring = Wiring::read(|name| std::env::var(name).ok());
    match connect::through(&wiring, &connect.host, connect.port) {
        Ok(()) => SEALED,
        Err(sentence) => {
            say(&sentence);
            LEAK
        }
    }
}

fn run_clients() -> u8 {
    // As in `verify`. What we look at is the agent's own, so a failure changes little.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
    let found = clients::look(&Places::own(), |name| std::env::var(name).ok());
    let mut out = io::stdout().lock();
    // A reader that has gone away does not need it.
    drop(serde_json::to_writer(&mut out, &found));
    drop(writeln!(out));
    SEALED
}

fn run_listening(wanted: &Listening) -> u8 {
    let missing = listening::missing(&wanted.ports);
    for port in &missing {
        say(&format!("nothing listens on port {port}"));
    }
    if missing.is_empty() { SEALED } else { LEAK }
}

/// A mount can show a socket that nobody here may connect to: a kernel's labels, a virtual machine between.
fn run_reaches(wanted: &Reaches) -> u8 {
    match UnixStream::connect(&wanted.socket) {
        Ok(_) => SEALED,
        Err(error) => {
            say(&format!(
                "cannot connect to {}: {error}",
                wanted.socket.display()
            ));
            LEAK
        }
    }
}

fn run_usage(wanted: &cli::Usage) -> u8 {
    let usage = Usage::read(&wanted.directories);
    let mut out = io::stdout().lock();
    let printed = serde_json::to_writer(&mut out, &usage)
        .map_err(io::Error::from)
        .and_then(|()| writeln!(out));
    match printed {
        Ok(()) => SEALED,
        Err(_) => LEAK,
    }
}

/// One line on standard error; there is nobody to tell when that fails.
fn say(sentence: &str) {
    drop(writeln!(
        io::stderr(),
        "agentnet-gate: {}",
        table::visible(sentence)
    ));
}
