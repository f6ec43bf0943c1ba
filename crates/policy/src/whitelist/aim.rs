//! The target words of a whitelist line, for settings that say which targets they are for.

use std::fmt;

use super::place::Place;
use crate::host::Host;
use crate::rule::{Hosts, Kind, NamePattern, Ports};
use crate::target::Target;

/// Which targets a setting is for, written as a whitelist line writes them: `example.com`,
/// `*.example.com`, `**.example.com`, `10.0.0.0/8`, each with ports behind a colon if it is not for
/// all of them. A network names targets that are written as addresses, never what a name resolves to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetPattern {
    hosts: Hosts,
    ports: Option<Ports>,
    text: Box<str>,
}

impl TargetPattern {
    /// Reads one pattern.
    ///
    /// # Errors
    /// With a sentence that says what is wrong with which word, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" || text == "**" {
            return Err(format!(
                "`{text}` is every target: leave the list of targets out"
            ));
        }
        let place = Place::parse(text).map_err(|wrong| {
            let word = wrong.word.as_deref().unwrap_or(text);
            let fix = wrong.fix.map(|fix| format!("; write: {fix}"));
            format!("`{word}` {}{}", wrong.what, fix.unwrap_or_default())
        })?;
        Ok(Self {
            hosts: place.hosts,
            ports: place.ports,
            text: text.into(),
        })
    }

    /// Whether it names the target.
    pub fn matches(&self, target: &Target) -> bool {
        let port = self
            .ports
            .as_ref()
            .is_none_or(|ports| ports.contains(target.port()));
        port && match (&self.hosts, target.host()) {
            (Hosts::Names(pattern), Host::Name(name)) => names(pattern, name.as_str()),
            (Hosts::Network(network), Host::Ip(ip)) => network.contains(ip),
            (Hosts::Names(_), Host::Ip(_))
            | (Hosts::Network(_), Host::Name(_))
            // No word of a whitelist is read as one.
            | (Hosts::Filtered, _) => false,
        }
    }
}

fn names(pattern: &NamePattern, name: &str) -> bool {
    let labels = name
        .strip_suffix(pattern.tail())
        .and_then(|labels| labels.strip_suffix('.'));
    match pattern.kind() {
        Kind::Exact => name == pattern.tail(),
        Kind::AtOrBelow => name == pattern.tail() || labels.is_some(),
        Kind::Below => labels.is_some(),
        Kind::Glob => labels.is_some_and(|labels| pattern.matches_head(labels)),
    }
}

/// As it was written.
impl fmt::Display for TargetPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, target: &str) -> bool {
        let target = Target::parse(target, None).unwrap();
        TargetPattern::parse(pattern).unwrap().matches(&target)
    }

    #[test]
    fn means_what_it_means_in_a_whitelist_and_every_port() {
        assert!(matches("a.example", "A.example.:22"));
        assert!(!matches("a.example", "x.a.example:443"));
        assert!(matches("*.a.example", "x.y.a.example:443"));
        assert!(!matches("*.a.example", "a.example:443"));
        assert!(!matches("*.a.example", "xa.example:443"));
        assert!(matches("**.a.example", "a.example:1"));
        assert!(matches("**.a.example", "x.a.example:1"));
        assert!(!matches("**.a.example", "xa.example:1"));
        assert!(matches("api-*.a.example", "api-1.a.example:1"));
        assert!(!matches("api-*.a.example", "x.api-1.a.example:1"));
        assert!(matches("**.com", "a.com:443"), "no limit on width here");
    }

    #[test]
    fn has_ports_only_where_it_names_them() {
        assert!(matches("a.example:22,8000-8100", "a.example:8001"));
        assert!(!matches("a.example:22", "a.example:443"));
    }

    #[test]
    fn means_by_a_network_only_what_is_written_as_an_address() {
        assert!(matches("10.0.0.0/8", "10.1.2.3:80"));
        assert!(matches("[2001:db8::/32]:443", "[2001:db8::1]:443"));
        assert!(!matches("10.0.0.0/8", "11.1.2.3:80"));
        assert!(!matches("10.0.0.0/8", "a.example:80"));
    }

    #[test]
    fn says_what_to_write() {
        let wrong = |text: &str| TargetPattern::parse(text).unwrap_err();
        assert_eq!(
            wrong(".corp.example"),
            "`.corp.example` begins with a dot; the name and everything below it is written `**.`; \
             write: **.corp.example"
        );
        assert!(wrong("*").contains("leave the list"));
        assert!(wrong("a b").contains("which no host name has"));
        assert!(wrong("").contains("names no host"));
    }
}
