//! Whether the words of a line make sense together: a line that could never be enforced, never
//! match or open what nothing opens is not accepted.

use std::net::IpAddr;

use ipnet::IpNet;

use super::place::Place;
use super::said::Said;
use super::wrong::{Words, Wrong};
use crate::address::{AddressClass, Opener, classify};
use crate::rule::{Effect, Hosts, HttpOnly, Permission, Ports};

/// The shortest prefixes that may be allowed: 10.0.0.0/8 and fc00::/7 are the widest networks
/// that one owner has.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 7;

/// Puts the parts of a line together. The second value is what is odd about it.
pub(super) fn permission(
    place: Place<'_>,
    said: Said,
    words: &Words<'_>,
) -> Result<(Permission, Option<Wrong>), Wrong> {
    check_effect(&said, words)?;
    if !said.deny {
        check_hosts(&place, &said, words)?;
    }
    let http = (said.methods.is_some() || said.path.is_some()).then(|| {
        Box::new(HttpOnly {
            methods: said.methods,
            path: said.path,
        })
    });
    let named = place.ports.is_some();
    let ports = match (place.ports, &http) {
        (Some(ports), _) => ports,
        (None, Some(_)) => Ports::Http,
        (None, None) if said.deny => Ports::All,
        (None, None) => Ports::Web,
    };
    let mut warning = None;
    if http.is_some() {
        if said.raw {
            let what = "is about tunnels, and a line with a method or path is never for a tunnel";
            return Err(Wrong::word("raw", what).write(words.without_word("raw")));
        }
        warning = check_seen(&ports, place.host, place.suffix, named, words)?;
    }
    if let Hosts::Names(pattern) = &place.hosts
        && !said.deny
        && pattern.is_shared()
    {
        let what = "covers names of many owners; whoever may have one of them can receive what is sent. Name the ones that are needed";
        warning = Some(Wrong::word(place.host, what));
    }
    let effect = if said.deny {
        Effect::Deny { quiet: said.quiet }
    } else {
        // An address that is written as an address says by itself that it is meant.
        let private = said.private || said.host || matches!(place.hosts, Hosts::Network(_));
        Effect::Allow {
            raw: said.raw,
            private,
            host: said.host,
            up: said.up,
        }
    };
    let permission = Permission {
        hosts: place.hosts,
        ports,
        http,
        effect,
        until: said.until,
    };
    Ok((permission, warning))
}

fn check_effect(said: &Said, words: &Words<'_>) -> Result<(), Wrong> {
    if !said.deny {
        if said.quiet {
            let what = "goes with `deny`: it says that a refusal raises no alert";
            return Err(Wrong::word("quiet", what).write(words.plus("deny")));
        }
        return Ok(());
    }
    let useless = [
        (said.raw, "raw"),
        (said.private, "private"),
        (said.host, "host"),
    ];
    if let Some((_, word)) = useless.into_iter().find(|(is_said, _)| *is_said) {
        let what = "opens something, and this line refuses";
        return Err(Wrong::word(word, what).write(words.without_word(word)));
    }
    if said.up.is_some() {
        let up = words.rest().find(|(_, word)| word.starts_with("up="));
        let (at, word) = up.unwrap_or_default();
        let what = "limits what is allowed, and this line refuses";
        return Err(Wrong::word(word, what).write(words.without(at)));
    }
    Ok(())
}

fn check_hosts(place: &Place<'_>, said: &Said, words: &Words<'_>) -> Result<(), Wrong> {
    match &place.hosts {
        Hosts::Names(pattern) => {
            pattern.check_allow().map_err(|error| {
                let fix = error
                    .fix
                    .map(|fix| words.with(0, &format!("{fix}{}", place.suffix)));
                Wrong::word(place.host, error.what).write_if(fix)
            })?;
            if said.host {
                let what = "opens an address of the machine itself and needs that address and a port in front, as in `172.17.0.1:11434 host`; for a name that resolves to a private address write `private`";
                return Err(Wrong::word("host", what));
            }
            Ok(())
        }
        // No line of a whitelist says this.
        Hosts::Filtered => Ok(()),
        Hosts::Network(network) => {
            check_network(network, place, said, words)?;
            if said.host {
                check_machine(network, place, words)
            } else {
                Ok(())
            }
        }
    }
}

fn check_network(
    network: &IpNet,
    place: &Place<'_>,
    said: &Said,
    words: &Words<'_>,
) -> Result<(), Wrong> {
    let (widest, family) = match network {
        IpNet::V4(_) => (WIDEST_V4, "IPv4"),
        IpNet::V6(_) => (WIDEST_V6, "IPv6"),
    };
    if network.prefix_len() < widest {
        let what =
            format!("is wider than any one owner's network; in {family} that is /{widest} at most");
        return Err(Wrong::word(place.host, what));
    }
    let Some(class) = class_of_all(network) else {
        return Ok(());
    };
    let words_of_class = class.words();
    match class.opener() {
        Opener::Nothing => {
            let what = format!("is {words_of_class}; nothing opens it");
            Err(Wrong::word(place.host, what))
        }
        Opener::Host if !said.host => {
            let what = format!(
                "is {words_of_class}, the machine itself: that needs a port and the word `host`"
            );
            let ready = single(network).is_some() && place.ports.is_some();
            Err(Wrong::word(place.host, what).write_if(ready.then(|| words.plus("host"))))
        }
        Opener::Host | Opener::Name | Opener::Private => Ok(()),
    }
}

fn check_machine(network: &IpNet, place: &Place<'_>, words: &Words<'_>) -> Result<(), Wrong> {
    if single(network).is_none() {
        let what = "is a network; `host` opens one address on one port";
        return Err(Wrong::word(place.host, what));
    }
    if place
        .ports
        .as_ref()
        .is_none_or(|ports| ports.singles().is_none())
    {
        let what = "needs the port in front of `host`, which opens one address on one port";
        // Some port, so that the line can be read; the right one is not known here.
        let fix = place
            .ports
            .is_none()
            .then(|| words.with(0, &format!("{}:11434", place.host)));
        return Err(Wrong::word(place.host, what).write_if(fix));
    }
    Ok(())
}

/// What only plain HTTP can satisfy must be where plain HTTP is spoken.
fn check_seen(
    ports: &Ports,
    host: &str,
    suffix: &str,
    named: bool,
    words: &Words<'_>,
) -> Result<Option<Wrong>, Wrong> {
    let tls = Ports::Listed([443..=443].into());
    if tls.covers(ports) {
        let what = "is a port where TLS hides methods and paths, so the line could never be enforced; they can be seen on port 80";
        return Err(Wrong::word(suffix, what).write(words.with(0, host)));
    }
    let partly = named && ports.covers(&tls) && *ports != Ports::All;
    let what = "includes 443, where TLS hides methods and paths: a tunnel there is refused";
    Ok(partly.then(|| Wrong::word(suffix, what)))
}

fn single(network: &IpNet) -> Option<IpAddr> {
    (network.prefix_len() == network.max_prefix_len()).then(|| network.addr())
}

/// The class of a network whose ends are of one class and inside one special block.
fn class_of_all(network: &IpNet) -> Option<AddressClass> {
    let first = classify(network.network());
    (first == classify(network.broadcast())).then_some(first)
}
