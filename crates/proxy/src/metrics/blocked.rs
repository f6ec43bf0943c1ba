//! Refusals by host, with a bound: the agent chooses the names, so it must not choose how many
//! series there are (THREATS W117).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use agentnet_policy::Host;
use prometheus::{IntCounter, IntCounterVec};

use super::OTHER;

/// The `blocked_hosts_total` of one listener.
#[derive(Debug)]
pub struct BlockedHosts {
    counters: IntCounterVec,
    listener: String,
    bound: usize,
    known: Mutex<HashMap<Host, IntCounter>>,
}

impl BlockedHosts {
    pub(super) fn new(counters: IntCounterVec, listener: &str, bound: usize) -> Self {
        if bound > 0 {
            counters.with_label_values(&[listener, OTHER]);
        }
        Self {
            counters,
            listener: listener.to_owned(),
            bound,
            known: Mutex::default(),
        }
    }

    /// Counts a refusal; the first `bound` hosts get a label of their own.
    pub fn count(&self, host: &Host) {
        if self.bound == 0 {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = known.get(host) {
            counter.inc();
        } else if known.len() < self.bound {
            let counter = self
                .counters
                .with_label_values(&[&self.listener, &host.to_string()]);
            counter.inc();
            known.insert(host.clone(), counter);
        } else {
            self.counters
                .with_label_values(&[self.listener.as_str(), OTHER])
                .inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ListenerMetrics, Metrics};
    use super::*;

    fn text_after(bound: usize, hosts: &[&str]) -> String {
        let metrics = Metrics::new().unwrap();
        let listener = ListenerMetrics::new(&metrics, "l", bound);
        for host in hosts {
            listener.blocked_hosts.count(&Host::parse(host).unwrap());
        }
        String::from_utf8(metrics.render().unwrap()).unwrap()
    }

    #[test]
    fn names_the_first_hosts_and_sums_the_rest() {
        let text = text_after(
            2,
            &[
                "a.example",
                "b.example",
                "c.example",
                "d.example",
                "a.example",
            ],
        );
        let line = |host: &str, count: u32| {
            format!("agentnet_proxy_blocked_hosts_total{{host=\"{host}\",listener=\"l\"}} {count}")
        };
        assert!(text.contains(&line("a.example", 2)), "{text}");
        assert!(text.contains(&line("b.example", 1)));
        assert!(text.contains(&line("other", 2)));
        assert!(!text.contains("c.example"));
    }

    #[test]
    fn can_be_turned_off() {
        assert!(!text_after(0, &["a.example"]).contains("blocked_hosts_total"));
    }
}
