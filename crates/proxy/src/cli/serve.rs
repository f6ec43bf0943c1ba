//! Serving: the default command.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use agentnet_policy::tinyproxy::LogLevel;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::manager::{self, Manager};
use super::{NO, OK, USAGE};
use crate::app::{App, Prepared, Running, Seams, StartError, stdout};
use crate::daemon;
use crate::descriptors::{self, Room};
use crate::diagnostic;
use crate::environment::Environment;
use crate::inherited::Inherited;
use crate::journal::{Journal, Style};
use crate::log_file::{LogFile, Rotation};
use crate::pid_file::PidFile;
use crate::reload::{Outcome, Report};
use crate::settings::{Destination, LogFormat, Settings};
use crate::syslog::{self, Syslog};

/// Serves until a signal. The runtime is tokio's multi-thread one: a runtime per core with
/// SO_REUSEPORT is 8–15 % faster at plain GETs and no faster at CONNECT or bulk (measured, see
/// docs), but pins every tunnel to the core that accepted it, cannot share a unix socket, and
/// turns each shared thing here into one per core. Everything a request touches is already behind
/// `Arc` and free of locks on its way, so that the change stays possible.
pub(super) fn run(settings: Settings, place: Place, environment: &dyn Environment) -> u8 {
    // Before anything else opens descriptors.
    let inherited = match Inherited::take(environment).map_err(StartError::Inherited) {
        Ok(inherited) => inherited,
        Err(error) => {
            diagnostic::error(error);
            return USAGE;
        }
    };
    let manager = Manager::new(environment);
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
    let code = runtime.block_on(serve(settings, place, inherited, &manager));
    // A lookup may hang in a blocking thread for longer than anybody wants to wait.
    runtime.shutdown_background();
    code
}

async fn serve(
    mut settings: Settings,
    place: Place,
    inherited: Inherited,
    manager: &Manager,
) -> u8 {
    let listeners = settings.listeners.len().max(1);
    let room = descriptors::make_room(Room {
        connections: settings.max_connections,
        idle: settings.pool_connections.saturating_mul(listeners),
    });
    settings.max_connections = room.connections;
    settings.pool_connections = room.idle / listeners;
    let grace = settings.timeouts.drain;
    let rotation = Rotation::default();
    let pid_file = settings.process.pid_file.clone();
    let log = log(&mut settings, place, &rotation);
    let app = match start(settings, log, inherited) {
        Ok(app) => app,
        Err(error) => {
            if let StartError::Policy(problems) = &error {
                problems.iter().for_each(diagnostic::problem);
            } else {
                diagnostic::error(error);
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
    // After the ports are bound, before anybody is served: who reads the file finds a proxy.
    let _pid_file = match pid_file.as_deref().map(PidFile::write).transpose() {
        Ok(file) => file,
        Err(error) => {
            let path = pid_file.unwrap_or_default();
            let path = path.display();
            diagnostic::error(format_args!(
                "{path}: the pid file cannot be written: {error}; make its directory writable for \
                 this user, or take the PidFile line out"
            ));
            return USAGE;
        }
    };
    let journal = app.journal();
    if place == Place::Background {
        diagnostic::flush();
        if let Err(error) = daemon::serve() {
            diagnostic::error(format_args!("cannot let go of the terminal: {error}"));
            return NO;
        }
    }
    if journal.speaks_tinyproxy() {
        let log = journal.clone();
        diagnostic::divert(move |level, text| log.say(level, || text));
        for line in [
            "Initializing tinyproxy ...",
            "Reloading config file finished",
        ] {
            journal.say(LogLevel::Notice, || line.to_owned());
        }
    }
    for (listener, address) in app.addresses() {
        diagnostic::note(format_args!("listener {listener} at {address}"));
    }
    for address in app.admin_addresses() {
        diagnostic::note(format_args!("admin at {address}"));
    }
    let running = app.spawn();
    journal.say(LogLevel::Info, || {
        "Starting main loop. Accepting connections.".to_owned()
    });
    manager.tell(manager::READY);
    let code = signals
        .obey(running, grace, (&journal, &rotation), manager)
        .await;
    tokio::time::timeout(Duration::from_secs(1), journal.flush())
        .await
        .ok();
    code
}

/// Where the process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the terminal or the supervisor that started it.
    Foreground,
    /// On its own; stdout and stderr are nobody's once it serves.
    Background,
}

fn start(
    settings: Settings,
    log: Box<dyn Write + Send>,
    inherited: Inherited,
) -> Result<App, StartError> {
    let seams = Seams {
        sink: log,
        inherited,
        ..Seams::system()
    };
    Prepared::new(settings, seams)?.bind()
}

/// Opens the log. One that cannot be opened keeps nobody from serving, in Tinyproxy neither: it
/// takes syslog instead, and where there is no syslog, which is so in a container, we take stdout.
fn log(settings: &mut Settings, place: Place, rotation: &Rotation) -> Box<dyn Write + Send> {
    let destination = settings.process.log.clone();
    let path = match &destination {
        Destination::File(path) if is_standard(path) => return stdout(),
        Destination::File(path) => match LogFile::open(path, rotation) {
            Ok(file) => return Box::new(file),
            Err(error) => {
                let path = path.display();
                diagnostic::warn(format_args!("{path}: the log cannot be opened: {error}"));
                Path::new(syslog::SOCKET)
            }
        },
        Destination::Syslog(path) => path,
        Destination::Stdout if place == Place::Foreground => return stdout(),
        Destination::Stdout => {
            diagnostic::warn(
                "there is no log: in the background stdout is nobody's; write a LogFile line or \
                 Syslog On",
            );
            return Box::new(std::io::sink());
        }
    };
    match Syslog::open(path) {
        Ok(syslog) => {
            set_style(settings, Style::Syslog);
            Box::new(syslog)
        }
        Err(error) => {
            let path = path.display();
            let instead = match place {
                Place::Foreground => "the log goes to stdout",
                Place::Background => "there is no log",
            };
            diagnostic::warn(format_args!("no syslog at {path} ({error}): {instead}"));
            set_style(settings, Style::File);
            match place {
                Place::Foreground => stdout(),
                Place::Background => Box::new(std::io::sink()),
            }
        }
    }
}

fn set_style(settings: &mut Settings, wanted: Style) {
    if let LogFormat::Tinyproxy { style, .. } = &mut settings.log {
        *style = wanted;
    }
}

/// What containers name as their log. Opening it fails where stdout is a socket.
fn is_standard(path: &Path) -> bool {
    ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"]
        .iter()
        .any(|standard| path == Path::new(standard))
}

/// What a signal asks for, told as Tinyproxy tells it.
async fn reload(running: &Running, journal: &Journal) {
    let say = |level, text: &str| journal.say(level, || text.to_owned());
    say(LogLevel::Notice, "Reloading config file");
    let reports = running.reload().await;
    let failed = |report: &Report| report.outcome == Outcome::Failed;
    if reports.iter().any(failed) {
        return say(LogLevel::Warning, "Reloading config file failed!");
    }
    say(LogLevel::Notice, "Reloading config file finished");
    if running.has_filter() {
        say(LogLevel::Notice, "Re-reading filter file.");
    }
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

    async fn obey(
        mut self,
        running: Running,
        grace: Duration,
        (journal, rotation): (&Journal, &Rotation),
        manager: &Manager,
    ) -> u8 {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => {}
                _ = self.user.recv() => {}
            }
            rotation.ask();
            reload(&running, journal).await;
        }
        journal.say(LogLevel::Notice, || "Shutting down.".to_owned());
        manager.tell(manager::STOPPING);
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
