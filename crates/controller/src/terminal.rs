//! Our own terminal while a command in a container has it.

mod tame;

use std::io::IsTerminal;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::engine::Streams;
use crate::error::Result;

pub use tame::Tame;

/// Raw mode; the old one returns when this is dropped.
#[derive(Debug)]
pub struct RawMode {
    old: Termios,
}

impl RawMode {
    /// Keys go to the command as they are, Ctrl-C too.
    pub fn enter() -> Result<RawMode> {
        let old = tcgetattr(std::io::stdin()).map_err(std::io::Error::from)?;
        let mut raw = old.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).map_err(std::io::Error::from)?;
        Ok(RawMode { old })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no mode.
        tcsetattr(std::io::stdin(), OptionalActions::Now, &self.old).ok();
    }
}

/// A person sits in front of both ends.
#[must_use]
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

fn size() -> (u16, u16) {
    tcgetwinsize(std::io::stdout()).map_or((80, 24), |size| (size.ws_col, size.ws_row))
}

/// Our standard streams.
pub fn streams(tty: bool, stdin: bool, tracker: &TaskTracker) -> Result<Streams> {
    let size = if tty {
        Some(watch_size(tracker)?)
    } else {
        None
    };
    Ok(Streams {
        stdin: if stdin {
            Some(Box::new(tokio::io::stdin()))
        } else {
            None
        },
        stdout: Box::new(tokio::io::stdout()),
        stderr: Box::new(tokio::io::stderr()),
        size,
    })
}

fn watch_size(tracker: &TaskTracker) -> Result<watch::Receiver<(u16, u16)>> {
    let (sender, receiver) = watch::channel(size());
    let mut changed = signal(SignalKind::window_change())?;
    tracker.spawn(async move {
        while changed.recv().await.is_some() {
            if sender.send(size()).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// Our standard output and error, for what a container printed earlier: a terminal gets text and colours of it.
#[must_use]
pub fn readings() -> Streams {
    let (stdout, stderr) = (tokio::io::stdout(), tokio::io::stderr());
    Streams {
        stdin: None,
        stdout: match std::io::stdout().is_terminal() {
            true => Box::new(Tame::new(stdout)),
            false => Box::new(stdout),
        },
        stderr: match std::io::stderr().is_terminal() {
            true => Box::new(Tame::new(stderr)),
            false => Box::new(stderr),
        },
        size: None,
    }
}
