//! The first step: policies are loaded, nothing is bound.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use agentnet_policy::Surroundings;
use agentnet_policy::event::Text;

use super::around::Around;
use super::{App, Feed, Seams, StartError};
use crate::active::PolicyStore;
use crate::answerer::Counter;
use crate::bind::{Access, Doors};
use crate::budget::{Ledger, PurseSettings};
use crate::dial::Dialer;
use crate::forward::{Bounds, Pool};
use crate::inherited::Inherited;
use crate::journal::Journal;
use crate::listener::{Listener, Shared};
use crate::live::Live;
use crate::metrics::{ListenerMetrics, Metrics};
use crate::resolve::{Limits, Resolver};
use crate::settings::{Address, Forwarding, Settings};
use crate::statistics::Tally;
use crate::surroundings::{Machine, sysctl};
use crate::tasks::Tasks;
use crate::{admin, answerer, diagnostic};

/// Settings and policies that fit together. Nothing is bound.
pub struct Prepared {
    settings: Settings,
    machine: Machine,
    look: fn() -> io::Result<Machine>,
    listeners: Arc<[Arc<Listener>]>,
    shared: Arc<Shared>,
    feed: Feed,
    inherited: Inherited,
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
            settings.ech,
            tasks,
        ));
        let ledger = match &settings.state {
            Some(directory) => Some(Ledger::open(directory).map_err(StartError::State)?),
            None => None,
        };
        let mut listeners = Vec::new();
        let mut problems = Vec::new();
        for listener in &settings.listeners {
            let name = &listener.name;
            if listener.source.is_empty() {
                diagnostic::warn(format_args!(
                    "listener {name} has no whitelist and refuses everything: give --whitelist FILE"
                ));
            }
            let source = listener.source.clone();
            let purses = PurseSettings {
                ledger: ledger.clone(),
                default_up: listener.default_up,
            };
            match PolicyStore::open(name, source, &purses, &metrics) {
                Ok((policy, warnings)) => {
                    warnings.iter().for_each(diagnostic::problem);
                    for parent in policy.now().conduct.routes.parents() {
                        if parent.remote_dns() {
                            let route = parent.label();
                            diagnostic::warn(format_args!(
                                "listener {name}: {route} resolves names itself, so for names only the \
                                 name is checked: private addresses and lines about addresses are not"
                            ));
                        }
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
                        tally: Tally::default(),
                        shared: Arc::clone(&shared),
                    }));
                }
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(StartError::Policy(problems));
        }
        let limited = |listener: &Arc<Listener>| listener.policy.has_budgets();
        if ledger.is_none() && listeners.iter().any(limited) {
            diagnostic::warn(
                "there are budgets (`up=`, `default_up`) and no state directory: a restart of the proxy \
                 begins them anew. Give --state DIR",
            );
        }
        Ok(Self {
            settings,
            machine,
            look: seams.look,
            listeners: listeners.into(),
            shared,
            feed: Box::pin(feed),
            inherited: seams.inherited,
        })
    }

    /// Binds every address. Must be called inside the runtime.
    ///
    /// # Errors
    /// When one cannot be bound.
    pub fn bind(self) -> Result<App, StartError> {
        let mut opened = Doors {
            inherited: self.inherited,
            reuse_port: self.settings.reuse_port,
        };
        let mut doors = Vec::new();
        for (settings, listener) in self.settings.listeners.iter().zip(self.listeners.iter()) {
            for address in &settings.addresses {
                match opened.open(address, Access::Everybody, None) {
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
        let mut transparent = Vec::new();
        for (settings, listener) in self.settings.listeners.iter().zip(self.listeners.iter()) {
            for door in &settings.side_doors.transparent {
                let opened = opened.open(&door.listen, Access::Everybody, None);
                let opened = opened.map_err(|source| StartError::Bind {
                    address: door.listen.clone(),
                    source,
                })?;
                transparent.push((Arc::clone(listener), door.clone(), opened));
            }
        }
        let mut raw = Vec::new();
        for (settings, listener) in self.settings.listeners.iter().zip(self.listeners.iter()) {
            let mut doors = Vec::new();
            for path in &settings.side_doors.raw {
                let address = Address::Unix(path.clone());
                let opened = opened.open(&address, Access::Everybody, None);
                doors.push(opened.map_err(|source| StartError::Bind { address, source })?);
            }
            if !doors.is_empty() {
                raw.push((Arc::clone(listener), Arc::default(), doors));
            }
        }
        let mut counters = Vec::new();
        for (settings, listener) in self.settings.listeners.iter().zip(self.listeners.iter()) {
            let counter = answerer::open(&settings.side_doors, &self.machine, &mut opened);
            let counter =
                counter.map_err(|(address, source)| StartError::Bind { address, source })?;
            counters.push((Arc::clone(listener), settings.side_doors.clone(), counter));
        }
        let admin = admin::bind(&self.settings.admin, &self.machine, &mut opened)?;
        let stray: Vec<String> = opened
            .inherited
            .unclaimed()
            .map(Address::to_string)
            .collect();
        if !stray.is_empty() {
            return Err(StartError::Stray(stray.join(", ")));
        }
        let mut listening: Vec<SocketAddr> = Vec::new();
        for door in doors
            .iter()
            .map(|(_, door)| door)
            .chain(transparent.iter().map(|(_, _, door)| door))
            .chain(admin.iter().map(|own| &own.door))
        {
            if let Ok(Address::Tcp(address)) = door.address() {
                listening.push(address);
            }
        }
        let dns = counters.iter().flat_map(|(_, _, counters)| counters);
        listening.extend(dns.filter_map(Counter::ip));
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
            machine,
            ..
        } = self;
        Ok(App {
            settings,
            listeners,
            shared,
            feed,
            doors,
            transparent,
            counters,
            raw,
            machine,
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
