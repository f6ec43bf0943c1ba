//! Which name has which address.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};

use agentnet_policy::{Name, Policy, RawName};
use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::wire::{self, MAX_DOORS};
use crate::active::Active;
use crate::diagnostic;

/// The third and the fourth byte of an address go from 1 to this.
const LAST: u32 = 254;

/// Names that keep their address in mind, at most; more than that were never in one policy.
const MAX_REMEMBERED: usize = 4096;

/// Beside its own ports, a name that has an address has these there: it has no other address.
const WEB: [u16; 2] = [80, 443];

/// The doors of one listener, by the policy in force.
#[derive(Debug, Default)]
pub struct Book {
    remembered: Mutex<Remembered>,
    table: ArcSwap<Table>,
}

/// The doors of one policy.
#[derive(Debug, Default)]
pub struct Table {
    generation: u64,
    addresses: HashMap<Name, Ipv4Addr>,
    names: HashMap<Ipv4Addr, Name>,
    doors: Vec<SocketAddrV4>,
}

/// Every name that ever had a door, and its address. No other name gets that address as long as this
/// process lives: somebody may have looked it up a moment ago.
#[derive(Debug, Default)]
struct Remembered {
    addresses: HashMap<Name, Ipv4Addr>,
    names: HashMap<Ipv4Addr, Name>,
}

impl Table {
    /// The address that a name has to itself.
    #[must_use]
    pub fn address(&self, name: &Name) -> Option<Ipv4Addr> {
        self.addresses.get(name).copied()
    }

    /// Whose address it is; also of names that have no door any more.
    #[must_use]
    pub fn name(&self, address: Ipv4Addr) -> Option<&Name> {
        self.names.get(&address)
    }

    /// Where to listen.
    #[must_use]
    pub fn doors(&self) -> &[SocketAddrV4] {
        &self.doors
    }
}

impl Book {
    /// The doors of this policy, or of a newer one.
    #[must_use]
    pub fn of(&self, active: &Active) -> Arc<Table> {
        let table = self.table.load();
        if table.generation >= active.generation {
            return Arc::clone(&table);
        }
        drop(table);
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let table = self.table.load_full();
        if table.generation >= active.generation {
            return table;
        }
        let table = Arc::new(remembered.table(&active.policy, active.generation));
        self.table.store(Arc::clone(&table));
        table
    }
}

impl Remembered {
    fn table(&mut self, policy: &Policy, generation: u64) -> Table {
        let (raw, left_out) = within_bounds(policy.raw_names(Timestamp::now()));
        if let Some(first) = left_out.first() {
            diagnostic::warn(format_args!(
                "{} names with `raw` have no door of their own, {} is the first: there is room for {MAX_DOORS} \
                 doors; programs need the proxy's variables for them",
                left_out.len(),
                first.name.as_str()
            ));
        }
        self.forget(&raw);
        let mut new: Vec<&Name> = raw.iter().map(|raw| &raw.name).collect();
        new.retain(|name| !self.addresses.contains_key(*name));
        // The order of lines does not matter to who is where.
        new.sort_unstable();
        for name in new {
            self.place(name);
        }
        let mut table = Table {
            generation,
            names: self.names.clone(),
            ..Table::default()
        };
        for RawName { name, ports } in raw {
            let Some(address) = self.addresses.get(&name) else {
                continue;
            };
            let door = |port| SocketAddrV4::new(*address, port);
            table.doors.extend(all_ports(&ports).into_iter().map(door));
            table.addresses.insert(name, *address);
        }
        table.doors.sort_unstable();
        table
    }

    /// The place that the name's own text says, or the next that nobody has.
    fn place(&mut self, name: &Name) {
        let places = LAST * LAST;
        let first = hash(name) % places;
        let free = (0..places).map(|step| address((first + step) % places));
        let free = free.into_iter().find(|at| !self.names.contains_key(at));
        if let Some(free) = free.filter(|at| wire::is_place(*at)) {
            self.addresses.insert(name.clone(), free);
            self.names.insert(free, name.clone());
        }
    }

    /// Makes room, once in a process that has seen thousands of names.
    fn forget(&mut self, kept: &[RawName]) {
        if self.addresses.len() + kept.len() > MAX_REMEMBERED {
            let is_kept = |name: &Name| kept.iter().any(|raw| raw.name == *name);
            self.addresses.retain(|name, _| is_kept(name));
            self.names.retain(|_, name| is_kept(name));
        }
    }
}

/// The first names whose doors there is room for, and the rest.
fn within_bounds(raw: Vec<RawName>) -> (Vec<RawName>, Vec<RawName>) {
    let mut room = MAX_DOORS;
    raw.into_iter().partition(|raw| {
        let needed = all_ports(&raw.ports).len();
        let fits = needed <= room;
        room = if fits { room - needed } else { 0 };
        fits
    })
}

fn all_ports(own: &[std::num::NonZeroU16]) -> Vec<u16> {
    let mut ports: Vec<u16> = own.iter().map(|port| port.get()).chain(WEB).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn address(place: u32) -> Ipv4Addr {
    let byte = |number: u32| u8::try_from(number + 1).unwrap_or_default();
    Ipv4Addr::new(127, 128, byte(place / LAST), byte(place % LAST))
}

/// FNV-1a, because it has to be the same in every process.
fn hash(name: &Name) -> u32 {
    name.as_str().bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use agentnet_policy::{BuiltinPresets, Host, Layer, LoadOptions, Source, load};

    use super::*;

    fn policy(text: &str) -> Policy {
        let source = Source {
            name: "w".into(),
            layer: Layer::Project,
            text: text.into(),
        };
        load(&[source], &BuiltinPresets, LoadOptions::default())
            .unwrap()
            .policy
    }

    fn name(text: &str) -> Name {
        match Host::parse(text).unwrap() {
            Host::Name(name) => name,
            Host::Ip(ip) => panic!("{ip}"),
        }
    }

    fn texts(table: &Table) -> Vec<String> {
        table.doors().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_has_one_address_with_its_ports_and_those_of_the_web() {
        let mut book = Remembered::default();
        let table = book.table(&policy("git.example:22 raw\nweb.example\n"), 1);
        let git = table.address(&name("git.example")).unwrap();
        let expected = [22, 80, 443].map(|port| SocketAddrV4::new(git, port).to_string());
        assert_eq!(texts(&table), expected);
        assert_eq!(table.name(git), Some(&name("git.example")));
        assert_eq!(table.address(&name("web.example")), None);
        assert_eq!(table.name(Ipv4Addr::new(127, 128, 0, 1)), None);
        // It is what the name's own text says, on every machine.
        assert_eq!(git.to_string(), "127.128.171.56");
    }

    #[test]
    fn the_same_names_have_the_same_addresses_in_whatever_order_they_are_written() {
        let lines: Vec<String> = (0..60).map(|n| format!("n{n}.example:22 raw\n")).collect();
        let one = Remembered::default().table(&policy(&lines.concat()), 1);
        let reversed: String = lines.iter().rev().map(String::as_str).collect();
        let other = Remembered::default().table(&policy(&reversed), 1);
        assert_eq!(one.addresses, other.addresses);
        assert_eq!(one.doors, other.doors);
    }

    #[test]
    fn no_two_names_ever_share_an_address() {
        let mut book = Remembered::default();
        let first = name("a.example");
        book.place(&first);
        // Whoever would be at the same place goes on to the next.
        let taken = book.addresses[&first];
        let start = hash(&first) % (LAST * LAST);
        let mut number = 0;
        let second = loop {
            number += 1;
            let other = name(&format!("x{number}.example"));
            if hash(&other) % (LAST * LAST) == start {
                break other;
            }
        };
        book.place(&second);
        assert_eq!(
            book.addresses[&second],
            address((start + 1) % (LAST * LAST))
        );
        assert_ne!(book.addresses[&second], taken);
    }

    #[test]
    fn an_address_is_no_other_names_after_its_own_has_gone() {
        let mut book = Remembered::default();
        let before = book.table(&policy("a.example:22 raw\n"), 1);
        let address = before.address(&name("a.example")).unwrap();
        let after = book.table(&policy("b.example:22 raw\n"), 2);
        assert_eq!(after.address(&name("a.example")), None);
        assert_eq!(after.name(address), Some(&name("a.example")));
        assert_eq!(after.doors().len(), 3);
        let again = book.table(&policy("a.example:22 raw\nb.example:22 raw\n"), 3);
        assert_eq!(again.address(&name("a.example")), Some(address));
    }

    #[test]
    fn there_is_room_for_so_many_doors_and_the_first_lines_have_them() {
        let lines: String = (0..100).map(|n| format!("n{n}.example:22 raw\n")).collect();
        let table = Remembered::default().table(&policy(&lines), 1);
        assert_eq!(table.doors().len(), 85 * 3);
        assert!(table.address(&name("n84.example")).is_some());
        assert!(table.address(&name("n85.example")).is_none());
    }

    #[test]
    fn names_that_come_and_go_take_no_more_room() {
        let mut book = Remembered::default();
        for round in 0..60 {
            let lines: String = (0..80)
                .map(|n| format!("r{round}n{n}.example:22 raw\n"))
                .collect();
            let table = book.table(&policy(&lines), round + 1);
            assert_eq!(table.doors().len(), 240);
            assert!(book.addresses.len() <= MAX_REMEMBERED);
            assert_eq!(book.addresses.len(), book.names.len());
        }
    }

    #[test]
    fn every_place_is_a_doors() {
        for place in [0, 1, 253, 254, LAST * LAST - 1] {
            assert!(wire::is_place(address(place)), "{place}");
        }
        assert_eq!(address(0).to_string(), "127.128.1.1");
        assert_eq!(address(LAST * LAST - 1).to_string(), "127.128.254.254");
    }
}
