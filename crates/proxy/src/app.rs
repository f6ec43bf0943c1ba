//! From settings to a running proxy, in three steps with three kinds of failure: [`Prepared::new`]
//! reads policies and binds nothing, [`Prepared::bind`] binds and serves nothing, [`App::spawn`]
//! serves and cannot fail.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use agentnet_policy::Surroundings;
use agentnet_policy::event::Text;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::active::PolicyStore;
use crate::admin::{self, Admin};
use crate::bind::{Access, Door};
use crate::dial::{Connect, Dialer, SystemConnect};
use crate::forward::{Bounds, Pool};
use crate::journal::Journal;
use crate::listener::{Listener, Shared};
use crate::live::Live;
use crate::metrics::{ListenerMetrics, Metrics};
use crate::reload::{Reloader, Trigger, review};
use crate::resolve::{Limits, Resolve, Resolver, SystemResolver};
use crate::settings::{Address, Forwarding, Settings};
use crate::surroundings::{Machine, sysctl};
use crate::tasks::Tasks;
use crate::{accept, diagnostic};

/// How often the own addresses are looked up again.
const LOOK_AROUND: Duration = Duration::from_secs(60);

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
            sink: Box::new(io::stdout()),
            look: Machine::look,
        }
    }
}

type Feed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Settings and policies that fit together. Nothing is bound.
pub struct Prepared {
    settings: Settings,
    machine: Machine,
    look: fn() -> io::Result<Machine>,
    listeners: Arc<[Arc<Listener>]>,
    shared: Arc<Shared>,
    feed: Feed,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}

impl Prepared {
    /// Loads the policies and looks at the machine.
    ///
    /// # Errors
    /// When a whitelist cannot be used, or the machine is not fit to be fenced.
    pub fn new(settings: Settings, seams: Seams) -> Result<Self, StartError> {
        let machine = (seams.look)().map_err(StartError::Interfaces)?;
        if settings.forwarding == Forwarding::Refuse
            && let Some(why) = machine.forwards(sysctl)
        {
            return Err(StartError::Forwarding(why));
        }
        let metrics = Metrics::new()?;
        let tasks = Tasks::new(metrics.panics.clone());
        let (journal, feed) = Journal::start(settings.log, seams.sink, &metrics);
        let limits = Limits {
            timeout: settings.timeouts.resolve,
            ..Limits::default()
        };
        let shared = Arc::new(Shared::new(
            metrics.clone(),
            journal,
            Resolver::new(seams.resolve, limits, tasks.clone()),
            Dialer::new(seams.connect, settings.timeouts.connect),
            Surroundings::default(),
            settings.timeouts,
            settings.max_head_bytes,
            tasks,
        ));
        let mut listeners = Vec::new();
        let mut problems = Vec::new();
        for listener in &settings.listeners {
            let name = &listener.name;
            if listener.whitelist.is_empty() {
                diagnostic::warn(format_args!(
                    "listener {name} has no whitelist and refuses everything: give --whitelist FILE"
                ));
            }
            let files = listener.whitelist.clone();
            match PolicyStore::open(name, files, listener.mode, &metrics) {
                Ok((policy, warnings)) => {
                    for warning in warnings {
                        diagnostic::warn(warning);
                    }
                    let bounds = Bounds {
                        connections: settings.pool_connections,
                        idle: settings.pool_idle,
                    };
                    listeners.push(Arc::new(Listener {
                        name: Text::new(name),
                        policy,
                        metrics: ListenerMetrics::new(
                            &metrics,
                            name,
                            settings.blocked_hosts_labels,
                        ),
                        live: Live::default(),
                        pool: Pool::new(bounds),
                        shared: Arc::clone(&shared),
                    }));
                }
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(StartError::Policy(problems));
        }
        Ok(Self {
            settings,
            machine,
            look: seams.look,
            listeners: listeners.into(),
            shared,
            feed: Box::pin(feed),
        })
    }

    /// Binds every address. Must be called inside the runtime.
    ///
    /// # Errors
    /// When one cannot be bound.
    pub fn bind(self) -> Result<App, StartError> {
        let mut doors = Vec::new();
        for (settings, listener) in self.settings.listeners.iter().zip(self.listeners.iter()) {
            for address in &settings.addresses {
                match Door::open(address, Access::Everybody, None) {
                    Ok(door) => doors.push((Arc::clone(listener), door)),
                    Err(source) if settings.by_default && is_missing_family(&source) => {}
                    Err(source) => {
                        return Err(StartError::Bind {
                            address: address.clone(),
                            source,
                        });
                    }
                }
            }
        }
        let admin = admin::bind(&self.settings.admin, &self.machine)?;
        let mut listening: Vec<SocketAddr> = Vec::new();
        for door in doors
            .iter()
            .map(|(_, door)| door)
            .chain(admin.iter().map(|own| &own.door))
        {
            if let Ok(Address::Tcp(address)) = door.address() {
                listening.push(address);
            }
        }
        let around = Around {
            look: self.look,
            listening,
            machine: self.settings.host_addresses.clone(),
        };
        self.shared
            .surroundings
            .store(Arc::new(around.describe(&self.machine)));
        let Self {
            settings,
            listeners,
            shared,
            feed,
            ..
        } = self;
        Ok(App {
            settings,
            listeners,
            shared,
            feed,
            doors,
            admin,
            around,
        })
    }
}

/// No IPv6, or no IPv4, on this machine.
fn is_missing_family(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}

/// How the surroundings are looked at again.
#[derive(Debug)]
struct Around {
    look: fn() -> io::Result<Machine>,
    listening: Vec<SocketAddr>,
    machine: Vec<std::net::IpAddr>,
}

impl Around {
    fn describe(&self, machine: &Machine) -> Surroundings {
        let host = if self.machine.is_empty() {
            machine.gateways()
        } else {
            self.machine.clone()
        };
        Surroundings {
            own: machine.own(),
            listening: self.listening.clone(),
            machine: host,
        }
    }

    async fn keep_looking(self, shared: Arc<Shared>) {
        let mut clock = interval(LOOK_AROUND);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        clock.tick().await;
        loop {
            clock.tick().await;
            match (self.look)() {
                Ok(machine) => shared.surroundings.store(Arc::new(self.describe(&machine))),
                // What was known stays in force.
                Err(error) => diagnostic::warn(format_args!("interfaces not listed: {error}")),
            }
        }
    }
}

/// A proxy that is bound and does not serve yet.
pub struct App {
    settings: Settings,
    listeners: Arc<[Arc<Listener>]>,
    shared: Arc<Shared>,
    feed: Feed,
    doors: Vec<(Arc<Listener>, Door)>,
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
            tasks.spawn("accept", accept::run(door, listener, Arc::clone(&permits)));
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
    pub async fn reload(&self) {
        self.reloader.reload(Trigger::Asked).await;
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
        timeout(Duration::from_secs(1), self.shared.journal.flush())
            .await
            .ok();
        tasks.stop().cancel();
        clean
    }
}
