//! Finding the lines that name a host, at a cost that does not grow with the number of lines:
//! one hash look-up a label for names, one a prefix length in use for addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use crate::host::Host;
use crate::rule::{Hosts, Kind, NamePattern, Rule, RuleId};

/// Lines by the literal end of their pattern, and by network. The hash has no secret: what the agent
/// chooses is looked up here and never put in.
#[derive(Default, Debug)]
pub(crate) struct Index {
    names: FxHashMap<Box<str>, Node>,
    networks: FxHashMap<IpNet, List>,
    /// The prefix lengths that occur.
    lengths: Lengths,
    /// For each line the next one of its list.
    next: Vec<Link>,
}

/// A line, or the end of a list.
type Link = Option<RuleId>;

/// The lines of one list, in load order.
#[derive(Clone, Copy, Default, Debug)]
struct List {
    first: Link,
}

#[derive(Default, Debug)]
struct Node {
    exact: List,
    below: List,
    at_or_below: List,
    globs: List,
}

#[derive(Default, Debug)]
struct Lengths {
    v4: Vec<u8>,
    v6: Vec<u8>,
}

/// How a line's pattern names a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Naming {
    /// By writing it out.
    Literal,
    /// By a wildcard.
    Wildcard,
}

impl Index {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut index = Self {
            next: vec![None; rules.len()],
            ..Self::default()
        };
        index.names.reserve(rules.len());
        // Backwards, because a list grows at its front.
        for (number, rule) in rules.iter().enumerate().rev() {
            let Ok(number) = u32::try_from(number) else {
                continue;
            };
            index.insert(RuleId(number), rule);
        }
        index
    }

    fn insert(&mut self, id: RuleId, rule: &Rule) {
        let list = match &rule.permission.hosts {
            Hosts::Names(pattern) => {
                let node = match self.names.get_mut(pattern.tail()) {
                    Some(node) => node,
                    None => self.names.entry(pattern.tail().into()).or_default(),
                };
                match pattern.kind() {
                    Kind::Exact => &mut node.exact,
                    Kind::Below => &mut node.below,
                    Kind::AtOrBelow => &mut node.at_or_below,
                    Kind::Glob => &mut node.globs,
                }
            }
            // Is found by the filter.
            Hosts::Filtered => return,
            Hosts::Network(network) => {
                self.lengths.add(network);
                self.networks.entry(*network).or_default()
            }
        };
        if let Some(next) = self.next.get_mut(id.index()) {
            *next = list.first.replace(id);
        }
    }

    /// Calls `visit` for every line whose pattern names the host. `rules` are those of
    /// [`new`](Self::new).
    pub(crate) fn lines<'r>(
        &self,
        rules: &'r [Rule],
        host: &Host,
        mut visit: impl FnMut(RuleId, &'r Rule, Naming),
    ) {
        let mut each = |list: &List, naming: Naming, accept: &dyn Fn(&NamePattern) -> bool| {
            let mut link = list.first;
            while let Some(id) = link {
                if let Some(rule) = rules.get(id.index()) {
                    let accepted = match &rule.permission.hosts {
                        Hosts::Names(pattern) => accept(pattern),
                        Hosts::Network(_) => true,
                        Hosts::Filtered => false,
                    };
                    if accepted {
                        visit(id, rule, naming);
                    }
                }
                link = self.next.get(id.index()).copied().flatten();
            }
        };
        match host {
            Host::Ip(ip) => {
                for network in self.lengths.networks(*ip) {
                    if let Some(list) = self.networks.get(&network) {
                        each(list, Naming::Literal, &|_| true);
                    }
                }
            }
            Host::Name(name) => {
                for (labels, tail) in splits(name.as_str()) {
                    let Some(node) = self.names.get(tail) else {
                        continue;
                    };
                    each(&node.at_or_below, Naming::Wildcard, &|_| true);
                    match labels {
                        None => each(&node.exact, Naming::Literal, &|_| true),
                        Some(labels) => {
                            each(&node.below, Naming::Wildcard, &|_| true);
                            each(&node.globs, Naming::Wildcard, &|p| p.matches_head(labels));
                        }
                    }
                }
            }
        }
    }

    /// Calls `visit` for the lines that stand at a literal end or a network that could cover this
    /// line's: all that could make it superfluous, at most `limit` a place.
    pub(crate) fn candidates(&self, rule: &Rule, limit: usize, mut visit: impl FnMut(RuleId)) {
        let mut each = |list: &List| {
            let mut link = list.first;
            for _ in 0..limit {
                let Some(id) = link else { break };
                visit(id);
                link = self.next.get(id.index()).copied().flatten();
            }
        };
        match &rule.permission.hosts {
            Hosts::Names(pattern) => {
                for (_, tail) in splits(pattern.tail()) {
                    let Some(node) = self.names.get(tail) else {
                        continue;
                    };
                    for list in [&node.exact, &node.below, &node.at_or_below, &node.globs] {
                        each(list);
                    }
                }
            }
            Hosts::Filtered => {}
            Hosts::Network(network) => {
                for wider in self.lengths.networks(network.addr()) {
                    if let Some(list) = self.networks.get(&wider) {
                        each(list);
                    }
                }
            }
        }
    }
}

impl Lengths {
    fn add(&mut self, network: &IpNet) {
        let lengths = match network {
            IpNet::V4(_) => &mut self.v4,
            IpNet::V6(_) => &mut self.v6,
        };
        if let Err(place) = lengths.binary_search(&network.prefix_len()) {
            lengths.insert(place, network.prefix_len());
        }
    }

    /// The networks of the lengths in use that an address lies in.
    fn networks(&self, ip: IpAddr) -> impl Iterator<Item = IpNet> + '_ {
        let lengths = match ip {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        };
        lengths
            .iter()
            .filter_map(move |&length| Some(IpNet::new(ip, length).ok()?.trunc()))
    }
}

/// A name cut at every dot: what stands left of the cut, and the rest. The whole name first.
fn splits(name: &str) -> impl Iterator<Item = (Option<&str>, &str)> {
    let cuts = name
        .match_indices('.')
        .filter_map(move |(dot, _)| Some((Some(name.get(..dot)?), name.get(dot + 1..)?)));
    std::iter::once((None, name)).chain(cuts)
}
