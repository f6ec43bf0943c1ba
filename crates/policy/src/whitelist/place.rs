//! The first word of a line: which hosts and ports it is for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::habits;
use super::wrong::Wrong;
use crate::rule::{Hosts, NamePattern, Ports};

/// The first word, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place<'a> {
    pub(super) hosts: Hosts,
    /// `None` where the word names no port.
    pub(super) ports: Option<Ports>,
    /// The word without its ports.
    pub(super) host: &'a str,
    /// The ports with their colon, or nothing.
    pub(super) suffix: &'a str,
}

impl<'a> Place<'a> {
    /// Reads the word. A fix in the error is for this word alone.
    pub(super) fn parse(word: &'a str) -> Result<Self, Wrong> {
        habits::check_word(word)?;
        let (host, suffix) = split(word)?;
        let ports = match suffix.strip_prefix(':') {
            None => None,
            Some(list) => Some(Ports::parse(list).map_err(|error| {
                let fix = match list {
                    "" => Some(host.to_owned()),
                    "http" => Some(format!("{host}:80")),
                    "https" => Some(format!("{host}:443")),
                    "ssh" => Some(format!("{host}:22 raw")),
                    _ => None,
                };
                Wrong::word(if list.is_empty() { word } else { list }, error.words()).write_if(fix)
            })?),
        };
        let hosts = hosts(host).map_err(|wrong| {
            let fix = wrong.fix.as_ref().map(|fix| format!("{fix}{suffix}"));
            wrong.write_if(fix)
        })?;
        Ok(Self {
            hosts,
            ports,
            host,
            suffix,
        })
    }
}

fn hosts(host: &str) -> Result<Hosts, Wrong> {
    if let Some(inner) = host.strip_prefix('[') {
        return bracketed(inner.strip_suffix(']').unwrap_or(inner), host);
    }
    if is_numeric(host) {
        return numeric(host);
    }
    match NamePattern::parse(host) {
        Ok(pattern) => Ok(Hosts::Names(pattern)),
        Err(error) => {
            let fix = error.fix.or_else(|| habits::plain_name(host));
            Err(Wrong::word(host, error.what).write_if(fix))
        }
    }
}

/// Cuts off the ports, colon included.
fn split(word: &str) -> Result<(&str, &str), Wrong> {
    if word.starts_with('[') {
        let cut = word.find(']').map(|end| end + 1);
        return match cut.and_then(|cut| word.split_at_checked(cut)) {
            Some((host, suffix)) if suffix.is_empty() || suffix.starts_with(':') => {
                Ok((host, suffix))
            }
            Some((host, suffix)) if suffix.starts_with('/') => {
                let (bits, ports) = suffix.split_at(suffix.find(':').unwrap_or(suffix.len()));
                let fix = format!("{}{bits}]{ports}", host.trim_end_matches(']'));
                let what = "has its prefix length outside the brackets";
                Err(Wrong::word(word, what).write(fix))
            }
            Some(_) => Err(Wrong::word(
                word,
                "has text after its bracket that is no port; brackets hold an IPv6 address",
            )),
            None => Err(Wrong::word(word, "has a bracket that is not closed")),
        };
    }
    let (host, suffix) = word.split_at(word.find(':').unwrap_or(word.len()));
    if host.is_empty() {
        return Err(Wrong::word(word, "names no host"));
    }
    if let Some((place, _)) = word.split_once('/').filter(|_| !is_numeric(host)) {
        let what = "has a path glued to its host; a path is a word of its own, for plain HTTP";
        let fix = (!place.is_empty()).then(|| place.to_owned());
        return Err(Wrong::word(word, what).write_if(fix));
    }
    Ok((host, suffix))
}

/// Whether the word can only have been meant as an IPv4 address or network.
fn is_numeric(host: &str) -> bool {
    host.bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'/'))
        && host.bytes().any(|b| b.is_ascii_digit())
}

fn numeric(host: &str) -> Result<Hosts, Wrong> {
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Ok(Hosts::Network(IpAddr::V4(ip).into()));
    }
    match host.parse::<Ipv4Net>() {
        Ok(network) => aligned(network.into(), host, |fix| fix),
        Err(_) => {
            let what = "reads like an IPv4 address but is none; write four numbers from 0 to 255, and a prefix length up to /32 for a network";
            Err(Wrong::word(host, what))
        }
    }
}

fn bracketed(inner: &str, host: &str) -> Result<Hosts, Wrong> {
    let network = match (inner.parse::<Ipv6Addr>(), inner.parse::<Ipv6Net>()) {
        (Ok(ip), _) => Ipv6Net::from(ip),
        (_, Ok(network)) => network,
        _ => {
            let what = "has brackets, and those hold an IPv6 address without a zone";
            let name = NamePattern::parse(inner).is_ok().then(|| inner.to_owned());
            return Err(Wrong::word(host, what).write_if(name));
        }
    };
    if let Some(ip) = network
        .addr()
        .to_ipv4_mapped()
        .filter(|_| network.prefix_len() >= 96)
    {
        let bits = network.prefix_len() - 96;
        let fix = if bits == 32 {
            ip.to_string()
        } else {
            format!("{ip}/{bits}")
        };
        let what = "is an IPv4 address that is dressed as IPv6";
        return Err(Wrong::word(host, what).write(fix));
    }
    aligned(network.into(), host, |fix| format!("[{fix}]"))
}

fn aligned(network: IpNet, host: &str, dress: fn(String) -> String) -> Result<Hosts, Wrong> {
    if network.trunc() == network {
        return Ok(Hosts::Network(network));
    }
    let what = "has bits set to the right of its prefix length";
    Err(Wrong::word(host, what).write(dress(network.trunc().to_string())))
}
