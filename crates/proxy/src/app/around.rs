//! The addresses around the proxy, looked up again and again: interfaces come and go.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use agentnet_policy::Surroundings;
use tokio::time::{MissedTickBehavior, interval};

use crate::diagnostic;
use crate::listener::Shared;
use crate::surroundings::Machine;

/// How often the own addresses are looked up again.
const LOOK_AROUND: Duration = Duration::from_secs(60);

/// How the surroundings are looked at again.
#[derive(Debug)]
pub(super) struct Around {
    pub(super) look: fn() -> io::Result<Machine>,
    pub(super) listening: Vec<SocketAddr>,
    pub(super) machine: Vec<IpAddr>,
}

impl Around {
    pub(super) fn describe(&self, machine: &Machine) -> Surroundings {
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

    pub(super) async fn keep_looking(self, shared: Arc<Shared>) {
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
