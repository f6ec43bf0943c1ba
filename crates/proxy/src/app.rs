//! From settings to a running proxy, in three steps with three kinds of failure: [`Prepared::new`]
//! reads policies and binds nothing, [`Prepared::bind`] binds and serves nothing, [`App::spawn`]
//! serves and cannot fail.

mod around;
mod prepared;

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::around::Around;
pub use self::prepared::Prepared;
use crate::accept::{self, Way};
use crate::admin::{self, Admin};
use crate::answerer::{self, Counter};
use crate::bind::Door;
use crate::dial::{Connect, SystemConnect};
use crate::inherited::Inherited;
use crate::journal::Journal;
use crate::listener::{Listener, Shared};
use crate::metrics::Metrics;
use crate::raw_doors::Book;
use crate::reload::{Reloader, Report, Trigger, review};
use crate::resolve::{Resolve, SystemResolver};
use crate::settings::{Address, Settings, SideDoors, Transparent, TransparentKind};
use crate::surroundings::Machine;
use crate::tasks::Tasks;

/// Why the proxy does not start. Each is an exit with status 2.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The whitelists cannot be used.
    #[error("{}", lines(.0))]
    Policy(Vec<agentnet_policy::Problem>),
    /// The container would route packets past the proxy.
    #[error("{0}")]
    Forwarding(String),
    /// The own addresses cannot be listed.
    #[error("the network interfaces cannot be listed: {0}")]
    Interfaces(io::Error),
    /// An address cannot be bound.
    #[error("{address} cannot be bound: {source}")]
    Bind {
        /// The address.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// A socket was passed that is of no use.
    #[error("a socket was passed to the proxy (LISTEN_FDS) that it cannot use: {0}")]
    Inherited(io::Error),
    /// Sockets were passed at addresses that nobody serves.
    #[error(
        "sockets were passed to the proxy (LISTEN_FDS) at addresses that no setting names, so whoever connects there \
         would wait for ever: {0}. Write them into `listen` or `admin`, as they stand here"
    )]
    Stray(String),
    /// Nobody can keep the budgets.
    #[error("there is no thread to keep the budgets: {0}")]
    State(io::Error),
    /// Two metrics have one name.
    #[error("the metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

fn lines(problems: &[agentnet_policy::Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// What the tests replace.
pub struct Seams {
    /// Door 1.
    pub resolve: Arc<dyn Resolve>,
    /// Door 2.
    pub connect: Arc<dyn Connect>,
    /// Where events are written.
    pub sink: Box<dyn Write + Send>,
    /// Sockets that were passed to us.
    pub inherited: Inherited,
    /// Looks at the machine around.
    pub look: fn() -> io::Result<Machine>,
}

impl fmt::Debug for Seams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seams").finish_non_exhaustive()
    }
}

impl Seams {
    /// The real world.
    #[must_use]
    pub fn system() -> Self {
        Self {
            resolve: Arc::new(SystemResolver::default()),
            connect: Arc::new(SystemConnect),
            sink: stdout(),
            inherited: Inherited::default(),
            look: Machine::look,
        }
    }
}

/// Without the buffer and the lock of std's: whole lines come in batches already.
pub(crate) fn stdout() -> Box<dyn Write + Send> {
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(std::fs::File::from(descriptor)),
        Err(_) => Box::new(io::stdout()),
    }
}

type Feed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A proxy that is bound and does not serve yet.
pub struct App {
    settings: Settings,
    listeners: Arc<[Arc<Listener>]>,
    shared: Arc<Shared>,
    feed: Feed,
    doors: Vec<(Arc<Listener>, Door)>,
    transparent: Vec<(Arc<Listener>, Transparent, Door)>,
    counters: Vec<(Arc<Listener>, SideDoors, Vec<Counter>)>,
    /// What relays come to, of listeners that have such doors.
    raw: Vec<(Arc<Listener>, Arc<Book>, Vec<Door>)>,
    machine: Machine,
    admin: Vec<admin::Own>,
    around: Around,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}

impl App {
    /// Where it really listens, by listener name.
    #[must_use]
    pub fn addresses(&self) -> Vec<(String, Address)> {
        let known = |(listener, door): &(Arc<Listener>, Door)| {
            Some((listener.name.to_string(), door.address().ok()?))
        };
        self.doors.iter().filter_map(known).collect()
    }

    /// Where it really answers questions to the DNS, by listener name.
    #[must_use]
    pub fn dns_addresses(&self) -> Vec<(String, Address)> {
        let of = |(listener, _, counters): &(Arc<Listener>, SideDoors, Vec<Counter>)| {
            let name = listener.name.to_string();
            let addresses = counters.iter().map(Counter::address);
            addresses
                .map(|address| (name.clone(), address.clone()))
                .collect::<Vec<_>>()
        };
        self.counters.iter().flat_map(of).collect()
    }

    /// Where its transparent doors really are.
    #[must_use]
    pub fn transparent_addresses(&self) -> Vec<(TransparentKind, Address)> {
        let of = |(_, transparent, door): &(Arc<Listener>, Transparent, Door)| {
            Some((transparent.kind, door.address().ok()?))
        };
        self.transparent.iter().filter_map(of).collect()
    }

    /// Where events and, in Tinyproxy's words, lines are written.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.shared.journal.clone()
    }

    /// Where the admin listener really is.
    #[must_use]
    pub fn admin_addresses(&self) -> Vec<Address> {
        self.admin
            .iter()
            .filter_map(|own| own.door.address().ok())
            .collect()
    }

    /// Serves. Must be called inside the runtime.
    #[must_use]
    pub fn spawn(self) -> Running {
        let tasks = self.shared.tasks.clone();
        let metrics = self.shared.metrics.clone();
        let permits = Arc::new(Semaphore::new(self.settings.max_connections));
        let reloader = Reloader::new(Arc::clone(&self.listeners), metrics);
        // These run for the process's life and are not waited for.
        let background = Tasks::new(self.shared.metrics.panics.clone());
        let until_stop = |task: Feed| {
            let stop = tasks.stop().clone();
            async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = task => {}
                }
            }
        };
        background.spawn("journal", self.feed);
        let scan = Box::pin(reloader.clone().scan(self.settings.rescan));
        background.spawn("reload", until_stop(scan));
        for listener in self.listeners.iter() {
            let review = Box::pin(review(Arc::clone(listener)));
            background.spawn("review", until_stop(review));
        }
        let looking = Box::pin(self.around.keep_looking(Arc::clone(&self.shared)));
        background.spawn("surroundings", until_stop(looking));
        for (listener, door) in self.doors {
            tasks.spawn(
                "accept",
                accept::run(door, Way::Proxy, listener, Arc::clone(&permits)),
            );
        }
        for (listener, transparent, door) in self.transparent {
            let way = Way::Transparent(transparent.kind, transparent.port);
            let accepting = accept::run(door, way, listener, Arc::clone(&permits));
            tasks.spawn("accept", accepting);
        }
        let mut books = Vec::new();
        for (listener, book, doors) in self.raw {
            for door in doors {
                let way = Way::Raw(Arc::clone(&book));
                let accepting = accept::run(door, way, Arc::clone(&listener), Arc::clone(&permits));
                tasks.spawn("accept", accepting);
            }
            books.push((listener, book));
        }
        for (listener, doors, counters) in self.counters {
            let has_it = |(other, _): &&(Arc<Listener>, _)| Arc::ptr_eq(other, &listener);
            let book = books.iter().find(has_it).map(|(_, book)| Arc::clone(book));
            answerer::serve(counters, &doors, book.as_ref(), &self.machine, &listener);
        }
        let admin = Arc::new(Admin::new(
            Arc::clone(&self.listeners),
            Arc::clone(&self.shared),
            reloader.clone(),
        ));
        for own in self.admin {
            tasks.spawn("admin", admin::run(own, Arc::clone(&admin)));
        }
        Running {
            listeners: self.listeners,
            shared: self.shared,
            reloader,
        }
    }
}

/// A proxy that serves.
#[derive(Debug)]
pub struct Running {
    listeners: Arc<[Arc<Listener>]>,
    shared: Arc<Shared>,
    reloader: Reloader,
}

impl Running {
    /// Reads the whitelists again, as SIGHUP and SIGUSR1 do.
    pub async fn reload(&self) -> Vec<Report> {
        self.reloader.reload(Trigger::Asked).await
    }

    /// True if a listener has the filter file of a `tinyproxy.conf`.
    #[must_use]
    pub fn has_filter(&self) -> bool {
        let filtered = |listener: &Arc<Listener>| listener.policy.now().conduct.filtered.is_some();
        self.listeners.iter().any(filtered)
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Accepts no more, lets what is open end for as long as `grace`, then ends it. True if nothing
    /// had to be cut.
    pub async fn drain(self, grace: Duration) -> bool {
        let tasks = &self.shared.tasks;
        tasks.drain().cancel();
        for listener in self.listeners.iter() {
            listener.pool.close();
        }
        let clean = timeout(grace, tasks.finished()).await.is_ok();
        if !clean {
            for listener in self.listeners.iter() {
                listener.live.stop_all();
            }
            // One turn of the runtime is enough for them to close and to be recorded.
            timeout(Duration::from_millis(200), tasks.finished())
                .await
                .ok();
        }
        // What a purse holds and has not spent would be lost, and events too: both may hang.
        let second = Duration::from_secs(1);
        let purses = async {
            for listener in self.listeners.iter() {
                listener.policy.close_purses().await;
            }
        };
        let (given, flushed) = tokio::join!(
            timeout(second, purses),
            timeout(second, self.shared.journal.flush())
        );
        drop((given, flushed));
        tasks.stop().cancel();
        clean
    }
}
