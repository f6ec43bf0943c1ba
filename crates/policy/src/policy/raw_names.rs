//! The names to which a program can be led by address alone: those that a line with `raw` writes
//! out, for a few ports.

use std::collections::HashMap;
use std::num::NonZeroU16;

use jiff::Timestamp;

use crate::host::{Host, Name};
use crate::policy::{Ask, Policy};
use crate::rule::{Effect, Hosts, Kind};
use crate::target::Target;

/// The ports of a line that can be counted: a person who writes more means a range.
const MOST_PORTS: usize = 16;

/// A name and its ports where anything may be spoken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawName {
    /// The name.
    pub name: Name,
    /// Its ports, sorted; at least one.
    pub ports: Vec<NonZeroU16>,
}

impl Policy {
    /// The names that lines with `raw` write out, for at most 16 ports, as far as such a tunnel is
    /// allowed at `now`; in the order of the lines. A wildcard stands for names that nobody has
    /// counted, and a long range for ports: who wants a tunnel there asks for it by name. Costs what
    /// the lines with `raw` cost; a filter has none.
    pub fn raw_names(&self, now: Timestamp) -> Vec<RawName> {
        let mut found: Vec<RawName> = Vec::new();
        let mut places: HashMap<Name, usize> = HashMap::new();
        for rule in &self.rules {
            let permission = &rule.permission;
            let (Effect::Allow { raw: true, .. }, Hosts::Names(pattern)) =
                (permission.effect, &permission.hosts)
            else {
                continue;
            };
            let ranges = permission.ports.ranges();
            let count: usize = ranges.iter().map(ExactSizeIterator::len).sum();
            if pattern.kind() != Kind::Exact || count > MOST_PORTS {
                continue;
            }
            let Ok(Host::Name(name)) = Host::parse(pattern.tail()) else {
                continue;
            };
            let ports = ranges.iter().cloned().flatten();
            for port in ports.filter_map(NonZeroU16::new) {
                let target = Target::new(Host::Name(name.clone()), port);
                if !self
                    .weigh(target, Ask::Tunnel, now)
                    .is_ok_and(|grant| grant.raw())
                {
                    continue;
                }
                let place = *places.entry(name.clone()).or_insert(found.len());
                match found.get_mut(place) {
                    Some(known) => known.add(port),
                    None => found.push(RawName {
                        name: name.clone(),
                        ports: vec![port],
                    }),
                }
            }
        }
        found
    }
}

impl RawName {
    fn add(&mut self, port: NonZeroU16) {
        if let Err(place) = self.ports.binary_search(&port) {
            self.ports.insert(place, port);
        }
    }
}
