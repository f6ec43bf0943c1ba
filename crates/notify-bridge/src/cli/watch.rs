//! `agentnet-notify watch`: the bridge, in the foreground.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::blocked;
use crate::bridge::{Bridge, Setup, StartError};
use crate::config::Config;
use crate::manager::{Manager, READY, STOPPING};
use crate::metrics_door::{self, Door};
use crate::notice::NoticeKind;
use crate::outlet::desktop::Bus;
use crate::outlet::mount::make;
use crate::state_dir::StateDir;

const FAILED: u8 = 1;
const BAD_CONFIG: u8 = 2;
const RUNNING: u8 = 3;

/// Messages that may be on their way inside; who sends more waits.
const ROOM: usize = 64;

/// The arguments.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    state_dir: StateDir,
    /// Outlets and limits [default: $XDG_CONFIG_HOME/agentnet/notify.toml if there, else the desktop]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    blocked: blocked::Arguments,
    /// Say whether the configuration can be used, and end
    #[arg(long)]
    check: bool,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, text)) => {
            // Where standard error is gone there is nobody to tell.
            drop(writeln!(io::stderr(), "agentnet-notify: {text}"));
            ExitCode::from(code)
        }
    }
}

fn start(arguments: &Arguments) -> Result<(), (u8, String)> {
    let config =
        Config::load(arguments.config.as_deref()).map_err(|e| (BAD_CONFIG, e.to_string()))?;
    let state_dir = arguments.state_dir.path().map_err(|e| (BAD_CONFIG, e))?;
    if arguments.check {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| (FAILED, e.to_string()))?;
    runtime.block_on(bridge(&config, state_dir, &arguments.blocked))
}

async fn bridge(
    config: &Config,
    state_dir: PathBuf,
    blocked: &blocked::Arguments,
) -> Result<(), (u8, String)> {
    let failed = |e: io::Error| (FAILED, e.to_string());
    // First: a signal during the start ends it properly, too.
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let (feedback_sender, feedback) = mpsc::channel(ROOM);
    let (incoming_sender, incoming) = mpsc::channel(ROOM);
    let mut mounted = Vec::new();
    let mut desktops = Vec::new();
    for outlet in &config.outlets {
        let named = |e: String| (BAD_CONFIG, format!("outlet {:?}: {e}", outlet.name));
        let made = make(outlet, Bus::Session, &feedback_sender).map_err(named)?;
        mounted.push(made.mounted);
        desktops.extend(made.desktop);
    }
    let setup = Setup {
        state_dir: state_dir.clone(),
        mounted,
        a_minute: config.a_minute,
        answerers: BTreeMap::from([(NoticeKind::Blocked, blocked.answerer(&state_dir))]),
        incoming,
        feedback,
    };
    let bridge = Bridge::start(setup).map_err(|e| {
        let code = match e {
            StartError::Running(..) => RUNNING,
            StartError::State(_) | StartError::Metrics(_) => FAILED,
        };
        (code, e.to_string())
    })?;
    let manager = Manager::new(|name| std::env::var(name).ok());
    let metrics = bridge.metrics();
    let door = match config.metrics {
        Some(address) => Some(
            Door::bind(address, bridge.metrics())
                .await
                .map_err(failed)?,
        ),
        None => None,
    };
    let beside = async {
        let serve = async {
            match door {
                Some(door) => door.serve().await,
                None => std::future::pending().await,
            }
        };
        let write = async {
            match &config.metrics_file {
                Some(path) => metrics_door::write(path, &metrics).await,
                None => std::future::pending().await,
            }
        };
        let connect = futures_util::future::join_all(desktops.iter().map(|d| d.run()));
        let trouble = |what: &str| metrics.trouble(what);
        let own = state_dir.join("notify").join("bridge");
        let refused = blocked.run(&state_dir, &own, incoming_sender, &trouble);
        tokio::join!(serve, write, connect, refused, manager.keep_telling());
    };
    let end = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    manager.tell(READY);
    let ended = tokio::select! {
        ended = bridge.run(end) => ended,
        () = beside => Ok(()),
    };
    manager.tell(STOPPING);
    ended.map_err(|e| (FAILED, format!("{}: {e}", state_dir.display())))
}
