//! What a task did with the network: `network.json`, and whether another run went anywhere new.

use std::collections::{BTreeMap, BTreeSet};

use agentnet_policy::event::{Event, Moment, Protocol, Text};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decisions::{is_blocked, target};

/// The whole document, version 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Network {
    /// Format version.
    pub v: u8,
    /// The task.
    pub task: String,
    /// SHA-256 of the whitelist files as they were at the end, in hexadecimal; none when they are gone.
    pub policy: Option<String>,
    /// Every decision was there to be read. Without it there may have been more.
    pub complete: bool,
    /// Hosts that answered, by name and port.
    pub reached: Vec<Reached>,
    /// What was refused, by name, port and reason. Each proof of the fence asks for some that are.
    pub refused: Vec<Refused>,
    /// The last proof.
    pub proof: Option<ProofNote>,
}

/// A host that bytes went to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reached {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Tunnels and requests.
    pub requests: u64,
    /// Bytes to it.
    pub up: u64,
    /// Bytes from it.
    pub down: u64,
    /// The lines that allowed it, as they are written.
    pub rules: BTreeSet<String>,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
}

/// A host that something asked for in vain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Refused {
    /// As the request named it, made safe to print.
    pub host: String,
    /// Its port; 0 where the request had none.
    pub port: u16,
    /// The reason's word, as in the answer, the log and the metrics.
    pub reason: String,
    /// How often.
    pub requests: u64,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
}

/// What the last proof said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProofNote {
    /// When it was made.
    pub at: Timestamp,
    /// No way out was found.
    pub sealed: bool,
    /// Rows that show a closed way.
    pub rows: usize,
}

/// Adds events up.
#[derive(Debug, Default)]
pub struct Tally {
    reached: BTreeMap<(String, u16), Reached>,
    refused: BTreeMap<(String, u16, &'static str), Refused>,
}

impl Tally {
    /// One more decision, or the end of one.
    pub fn add(&mut self, event: &Event) {
        let blocked = is_blocked(event);
        if blocked {
            self.refuse(event);
        }
        match event.event {
            // Only a name was asked for: its address is the proxy.
            Moment::Decision if blocked || event.protocol == Protocol::Dns => {}
            Moment::Decision => self.reached(event).requests += 1,
            // Bytes count however it ended; a log that began in between has no decision for them.
            Moment::Closed => {
                let known = self.reached.contains_key(&key(event));
                if known || event.up + event.down > 0 {
                    let reached = self.reached(event);
                    reached.up = reached.up.saturating_add(event.up);
                    reached.down = reached.down.saturating_add(event.down);
                }
            }
        }
    }

    fn reached(&mut self, event: &Event) -> &mut Reached {
        let (host, port) = key(event);
        let reached = self.reached.entry((host.clone(), port)).or_insert(Reached {
            host,
            port,
            requests: 0,
            up: 0,
            down: 0,
            rules: BTreeSet::new(),
            first: event.time,
            last: event.time,
        });
        reached.last = event.time;
        if let Some(rule) = &event.rule {
            reached.rules.insert(rule.text.to_string());
        }
        reached
    }

    fn refuse(&mut self, event: &Event) {
        let (host, port) = key(event);
        let reason = event.reason.as_str();
        let refused = self
            .refused
            .entry((host.clone(), port, reason))
            .or_insert(Refused {
                host,
                port,
                reason: reason.to_owned(),
                requests: 0,
                first: event.time,
                last: event.time,
            });
        refused.last = event.time;
        refused.requests += 1;
    }

    /// Requests that were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.values().map(|refused| refused.requests).sum()
    }

    /// The document.
    #[must_use]
    pub fn network(
        self,
        task: String,
        policy: Option<String>,
        complete: bool,
        proof: Option<ProofNote>,
    ) -> Network {
        Network {
            v: 1,
            task,
            policy,
            complete,
            reached: self.reached.into_values().collect(),
            refused: self.refused.into_values().collect(),
            proof,
        }
    }
}

fn key(event: &Event) -> (String, u16) {
    (event.host.to_string(), event.port)
}

impl Network {
    /// The hosts that this run reached and the earlier one did not, as `host:port`, in order.
    #[must_use]
    pub fn new_since(&self, earlier: &Network) -> Vec<String> {
        let known: BTreeSet<_> = earlier.reached.iter().map(|r| (&r.host, r.port)).collect();
        let new = self.reached.iter();
        let new = new.filter(|reached| !known.contains(&(&reached.host, reached.port)));
        new.map(|reached| target(&Text::new(&reached.host), reached.port))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(moment: &str, host: &str, verdict: &str, reason: &str, up: u64) -> Event {
        let line = format!(
            r#"{{"v":1,"time":"2026-11-20T22:00:00Z","id":"7","event":"{moment}","listener":"a","client":"","protocol":"connect","method":"CONNECT","host":"{host}","port":443,"verdict":"{verdict}","reason":"{reason}","rule":{{"file":"project.txt","line":1,"text":"{host}"}},"up":{up},"down":0,"ms":1}}"#
        );
        serde_json::from_str(&line).unwrap()
    }

    fn network(events: &[Event]) -> Network {
        let mut tally = Tally::default();
        events.iter().for_each(|event| tally.add(event));
        tally.network("t".into(), None, true, None)
    }

    #[test]
    fn a_tunnel_is_one_request_with_the_bytes_it_ended_with() {
        let network = network(&[
            event("decision", "a.example", "allow", "allowed", 0),
            event("closed", "a.example", "allow", "allowed", 70),
            event("decision", "a.example", "report", "allowed", 0),
        ]);
        let [reached] = network.reached.as_slice() else {
            panic!("{network:?}");
        };
        assert_eq!((reached.requests, reached.up), (2, 70));
        assert_eq!(reached.rules, BTreeSet::from(["a.example".to_owned()]));
        assert_eq!(network.refused, []);
    }

    #[test]
    fn what_was_allowed_and_not_reached_is_no_host_that_was_reached() {
        let network = network(&[
            event("decision", "b.example", "allow", "resolve_failed", 0),
            event("decision", "c.example", "deny", "not_listed", 0),
            event("decision", "c.example", "deny", "not_listed", 0),
        ]);
        assert_eq!(network.reached, []);
        let refused = network.refused.iter();
        let refused: Vec<_> = refused
            .map(|r| (r.host.as_str(), r.reason.as_str(), r.requests))
            .collect();
        assert_eq!(
            refused,
            [
                ("b.example", "resolve_failed", 1),
                ("c.example", "not_listed", 2)
            ]
        );
    }

    #[test]
    fn what_observe_let_through_was_reached_whatever_enforce_would_say() {
        let network = network(&[
            event("decision", "a.example", "report", "not_listed", 0),
            event("closed", "a.example", "report", "not_listed", 9),
            event("decision", "b.example", "report", "connect_failed", 0),
        ]);
        let reached = network.reached.iter();
        let reached: Vec<_> = reached
            .map(|r| (r.host.as_str(), r.requests, r.up))
            .collect();
        assert_eq!(reached, [("a.example", 1, 9)]);
        let refused: Vec<_> = network.refused.iter().map(|r| r.host.as_str()).collect();
        assert_eq!(refused, ["b.example"]);
    }

    #[test]
    fn a_tunnel_that_was_cut_for_its_first_bytes_is_both() {
        let network = network(&[
            event("decision", "a.example", "allow", "allowed", 0),
            event("closed", "a.example", "allow", "sni_mismatch", 5),
        ]);
        assert_eq!((network.reached.len(), network.refused.len()), (1, 1));
        assert_eq!(network.refused[0].reason, "sni_mismatch");
    }

    #[test]
    fn a_run_is_compared_by_host_and_port() {
        let old = network(&[event("decision", "a.example", "allow", "allowed", 0)]);
        let mut new = network(&[
            event("decision", "a.example", "allow", "allowed", 0),
            event("decision", "b.example", "allow", "allowed", 0),
        ]);
        assert_eq!(new.new_since(&old), ["b.example:443"]);
        assert_eq!(old.new_since(&new), [] as [&str; 0]);
        new.reached.iter_mut().for_each(|r| r.port = 22);
        assert_eq!(new.new_since(&old), ["a.example:22", "b.example:22"]);
    }
}
