//! `agentnet-notify install`: the bridge as a service of the person's own session.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use etcetera::BaseStrategy;

use crate::config::{Config, OutletKind};
use crate::install::unit::{Needs, Word, directory, variable};
use crate::install::{Homes, NAME, Outcome, files, paths, put, remove};
use crate::state_dir::StateDir;

const FAILED: u8 = 1;
const BAD_CONFIG: u8 = 2;

/// Variables that say where the engine is: the service has no shell's environment.
const ENGINE: [&str; 1] = ["DOCKER_HOST"];

/// The arguments.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    state_dir: StateDir,
    /// Outlets and limits [default: $XDG_CONFIG_HOME/agentnet/notify.toml if there, else the desktop]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Stop the service and remove its files
    #[arg(long)]
    uninstall: bool,
    /// Only the files: do not ask systemd to start or stop anything
    #[arg(long)]
    no_start: bool,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let mut out = io::stdout().lock();
    let done = if arguments.uninstall {
        uninstall(arguments, &mut out)
    } else {
        install(arguments, &mut out)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, text)) => {
            // Where standard error is gone there is nobody to tell.
            drop(writeln!(io::stderr(), "agentnet-notify: {text}"));
            ExitCode::from(code)
        }
    }
}

type Failed = (u8, String);

fn install(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failed> {
    let wrong = |text: String| (BAD_CONFIG, text);
    let failed = |error: &dyn std::fmt::Display| (FAILED, error.to_string());
    let config =
        Config::load(arguments.config.as_deref()).map_err(|e| (BAD_CONFIG, e.to_string()))?;
    let state_dir = absolute(&arguments.state_dir.path().map_err(wrong)?)?;
    let program = std::env::current_exe().map_err(|e| failed(&e))?;
    let program = Word::of(&program).map_err(wrong)?;
    let mut needs = needs(&config, &state_dir).map_err(wrong)?;
    needs.options = options(arguments, &state_dir).map_err(wrong)?;
    for name in ENGINE {
        let value = std::env::var(name).unwrap_or_default();
        needs.network |= !value.is_empty() && !value.starts_with("unix:");
        needs.environment.extend(variable(name, &value));
    }
    make_state_dir(&state_dir)?;
    let written = put(&files(&homes()?, &program, &needs)).map_err(|e| failed(&e))?;
    say(out, &written);
    if arguments.no_start {
        return Ok(());
    }
    let unit = format!("{NAME}.service");
    let changed = written
        .iter()
        .any(|(_, outcome)| *outcome == Outcome::Written);
    let started = systemctl(&["daemon-reload"])
        .and_then(|()| systemctl(&["enable", &unit]))
        .and_then(|()| systemctl(&[if changed { "restart" } else { "start" }, &unit]));
    started.map_err(|why| {
        let text = format!(
            "the files are in place, but systemd did not start the service: {why}. See \
             `systemctl --user status {NAME}`, or run `agentnet-notify watch` yourself"
        );
        (FAILED, text)
    })?;
    drop(writeln!(
        out,
        "{unit} runs; `agentnet-notify status` says how it does"
    ));
    Ok(())
}

fn uninstall(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failed> {
    let unit = format!("{NAME}.service");
    let paths = paths(&homes()?);
    let there = paths.iter().any(|path| path.symlink_metadata().is_ok());
    if there && !arguments.no_start {
        // Without systemd there is nothing to stop.
        drop(systemctl(&["disable", "--now", &unit]));
    }
    let removed = remove(&paths).map_err(|error| (FAILED, error.to_string()))?;
    say(out, &removed);
    if there && !arguments.no_start {
        drop(systemctl(&["daemon-reload"]));
    }
    Ok(())
}

fn homes() -> Result<Homes, Failed> {
    let base = etcetera::choose_base_strategy()
        .map_err(|_| (FAILED, "no home directory is known: set HOME".to_owned()))?;
    Ok(Homes {
        config: base.config_dir(),
        data: base.data_dir(),
    })
}

/// What the configuration's outlets need; its files are named absolutely.
fn needs(config: &Config, state_dir: &Path) -> Result<Needs, String> {
    let mut needs = Needs {
        writes: vec![Word::of(state_dir)?],
        network: config.metrics.is_some(),
        ..Needs::default()
    };
    let mut writes: Vec<PathBuf> = config.metrics_file.iter().map(|f| directory(f)).collect();
    for outlet in &config.outlets {
        match &outlet.kind {
            OutletKind::Desktop | OutletKind::Terminal => {}
            OutletKind::Log(file) => writes.push(directory(file)),
            OutletKind::Command(_) => needs.programs = true,
            OutletKind::Webhook(_) => needs.network = true,
        }
    }
    writes.sort();
    writes.dedup();
    for path in &writes {
        needs.writes.push(Word::of(path)?);
    }
    Ok(needs)
}

/// What was named here is named there; what was not is found by the same rule there.
fn options(arguments: &Arguments, state_dir: &Path) -> Result<Vec<(&'static str, Word)>, String> {
    let mut options = Vec::new();
    if arguments.state_dir.is_named() {
        options.push(("--state-dir", Word::of(state_dir)?));
    }
    if let Some(config) = &arguments.config {
        let config = std::path::absolute(config).map_err(|error| error.to_string())?;
        options.push(("--config", Word::of(&config)?));
    }
    Ok(options)
}

fn absolute(path: &Path) -> Result<PathBuf, Failed> {
    std::path::absolute(path).map_err(|e| (FAILED, format!("{}: {e}", path.display())))
}

/// The service may write there only if it is there when the service starts.
fn make_state_dir(path: &Path) -> Result<(), Failed> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| (FAILED, format!("{}: {e}", path.display())))
}

fn say(out: &mut dyn Write, files: &[(PathBuf, Outcome)]) {
    for (path, outcome) in files {
        let word = match outcome {
            Outcome::Written => "written",
            Outcome::Unchanged => "unchanged",
            Outcome::Removed => "removed",
            Outcome::Absent => "not there",
        };
        // A reader that has gone away does not change what was done.
        drop(writeln!(out, "{word:<10} {}", path.display()));
    }
}

fn systemctl<S: AsRef<OsStr>>(arguments: &[S]) -> Result<(), String> {
    let output = Command::new("systemctl")
        .arg("--user")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("systemctl: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("no word why");
    Err(crate::text::line(last, 200).to_string())
}
