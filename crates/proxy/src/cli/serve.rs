//! Serving: the default command.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{NO, OK, USAGE};
use crate::app::{App, Prepared, Running, Seams, StartError};
use crate::descriptors::{self, Room};
use crate::diagnostic;
use crate::settings::Settings;

/// Serves until a signal. The runtime is tokio's multi-thread one: a runtime per core with
/// SO_REUSEPORT is 8–15 % faster at plain GETs and no faster at CONNECT or bulk (measured, see
/// docs), but pins every tunnel to the core that accepted it, cannot share a unix socket, and
/// turns each shared thing here into one per core. Everything a request touches is already behind
/// `Arc` and free of locks on its way, so that the change stays possible.
pub(super) fn run(settings: Settings) -> u8 {
    diagnostic::write_behind();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("proxy");
    // Lookups are bounded to 32; reloads and file reads need a few more.
    builder
        .max_blocking_threads(48)
        .thread_keep_alive(Duration::from_secs(10));
    if let Some(threads) = settings.worker_threads {
        builder.worker_threads(threads);
    }
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            diagnostic::error(format_args!("no runtime: {error}"));
            return NO;
        }
    };
    let code = runtime.block_on(serve(settings));
    // A lookup may hang in a blocking thread for longer than anybody wants to wait.
    runtime.shutdown_background();
    code
}

async fn serve(mut settings: Settings) -> u8 {
    let listeners = settings.listeners.len().max(1);
    let room = descriptors::make_room(Room {
        connections: settings.max_connections,
        idle: settings.pool_connections.saturating_mul(listeners),
    });
    settings.max_connections = room.connections;
    settings.pool_connections = room.idle / listeners;
    let grace = settings.timeouts.drain;
    let app = match start(settings) {
        Ok(app) => app,
        Err(error) => {
            for line in error.to_string().lines() {
                diagnostic::error(line);
            }
            return USAGE;
        }
    };
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            diagnostic::error(format_args!("signals cannot be watched: {error}"));
            return NO;
        }
    };
    for (listener, address) in app.addresses() {
        diagnostic::note(format_args!("listener {listener} at {address}"));
    }
    for address in app.admin_addresses() {
        diagnostic::note(format_args!("admin at {address}"));
    }
    let running = app.spawn();
    signals.obey(running, grace).await
}

fn start(settings: Settings) -> Result<App, StartError> {
    Prepared::new(settings, Seams::system())?.bind()
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    async fn obey(mut self, running: Running, grace: Duration) -> u8 {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => running.reload().await,
                _ = self.user.recv() => running.reload().await,
            }
        }
        diagnostic::note(format_args!("draining for up to {} s", grace.as_secs()));
        let again = async {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        };
        tokio::select! {
            clean = running.drain(grace) => {
                if !clean {
                    diagnostic::warn("connections were still open and have been closed");
                }
            }
            () = again => diagnostic::warn("told twice: leaving at once"),
        }
        OK
    }
}
