//! `agentnet-notify status`: is a bridge running, and what did it do.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::bridge::directory;
use crate::lock::Lock;
use crate::state_dir::StateDir;
use crate::status::{Status, VERSION, read};

const FAILED: u8 = 1;
const NOT_RUNNING: u8 = 4;

/// The arguments.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    state_dir: StateDir,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let told = found(arguments).and_then(|status| {
        let mut out = io::stdout().lock();
        let printed = if arguments.json {
            serde_json::to_string_pretty(&status)
                .map_err(io::Error::from)
                .and_then(|text| writeln!(out, "{text}"))
        } else {
            print(&status, &mut out)
        };
        printed.map_err(|e| e.to_string())?;
        Ok(status.running)
    });
    match told {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(NOT_RUNNING),
        Err(text) => {
            // Where standard error is gone there is nobody to tell.
            drop(writeln!(io::stderr(), "agentnet-notify: {text}"));
            ExitCode::from(FAILED)
        }
    }
}

fn found(arguments: &Arguments) -> Result<Status, String> {
    let directory = directory(&arguments.state_dir.path()?);
    let named = |e: io::Error| format!("{}: {e}", directory.display());
    let holder = Lock::holder(&directory).map_err(named)?;
    let mut status = read(&directory).map_err(named)?.unwrap_or(Status {
        v: VERSION,
        ..Status::default()
    });
    status.running = holder.is_some();
    status.pid = holder.filter(|pid| *pid != 0);
    Ok(status)
}

fn print(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    match (status.running, status.pid) {
        (true, Some(pid)) => {
            let spools = status.spools;
            writeln!(out, "running: process {pid}, {spools} spool directories")?;
        }
        (true, None) => writeln!(out, "running")?,
        (false, _) => writeln!(out, "not running; start it with: agentnet-notify watch")?,
    }
    let refused: u64 = status.refused.iter().map(|count| count.count).sum();
    writeln!(
        out,
        "alerts: {} taken, {} told of together, {refused} refused, {} open",
        status.taken, status.folded, status.open
    )?;
    for count in &status.refused {
        writeln!(out, "  refused, {}: {}", count.reason, count.count)?;
    }
    for outlet in &status.outlets {
        writeln!(
            out,
            "{}: {} shown, {} waiting, {} failed, {} unconfirmed",
            outlet.name, outlet.shown, outlet.waiting, outlet.failed, outlet.unconfirmed
        )?;
        if let Some(trouble) = &outlet.trouble {
            writeln!(out, "  {trouble}")?;
        }
    }
    if let Some(trouble) = &status.trouble {
        writeln!(out, "last trouble: {trouble}")?;
    }
    if !status.last.is_empty() {
        writeln!(out, "last alerts:")?;
    }
    for shown in &status.last {
        let seconds = i64::try_from(shown.at).unwrap_or(0);
        let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        let time = time.to_zoned(jiff::tz::TimeZone::system());
        let body = shown.body.as_str().replace('\n', " / ");
        let time = time.strftime("%F %T");
        writeln!(out, "  {time} {}: {body}", shown.title)?;
    }
    Ok(())
}
