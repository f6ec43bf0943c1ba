//! Filter files: from lines to one automaton, and what it says of a request.

mod automaton;
mod bracket;
mod bytes;
mod compile;
mod lines;
mod pattern;
mod posix;
mod shell;

use std::num::NonZeroU16;

pub(super) use self::automaton::Automaton;
pub(crate) use self::automaton::TooCostly;
pub(super) use self::compile::{alone, is_small};
pub(super) use self::lines::{Line, Odd, lines};
pub(super) use self::pattern::Syntax;
use crate::policy::Ask;
use crate::target::Target;

/// The rule book that a `tinyproxy.conf` makes: patterns, and the ports of CONNECT.
#[derive(Debug)]
pub(crate) struct Filter {
    /// `None` without a pattern. The number of a pattern is the number of its line's rule.
    pub(super) regex: Option<Automaton>,
    pub(super) syntax: Syntax,
    pub(super) subject: Subject,
    /// What happens to a request that a pattern matches.
    pub(crate) listed: Listed,
    /// The ports of CONNECT. Empty: every one.
    pub(super) connect_ports: Vec<u16>,
    /// Whether addresses that are not public are open, as they are in Tinyproxy.
    pub(crate) private: bool,
    /// Whether tunnels to listed hosts may carry anything.
    pub(crate) raw: bool,
}

/// What the patterns are compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    /// The host, without its port.
    Host,
    /// `FilterURLs`.
    Url,
}

/// What the file is a list of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listed {
    /// `FilterDefaultDeny`: of what is allowed.
    Allowed,
    /// Of what is refused.
    Refused,
}

impl Filter {
    /// Whether CONNECT may have this port.
    pub(crate) fn permits_port(&self, target: &Target, ask: Ask<'_>) -> bool {
        match ask {
            Ask::Http { .. } => true,
            Ask::Tunnel => {
                let ports = &self.connect_ports;
                ports.is_empty() || ports.contains(&target.port())
            }
        }
    }

    /// Whether the patterns see more of a request than its host.
    pub(crate) fn judges_urls(&self) -> bool {
        self.subject == Subject::Url
    }

    /// The ports of CONNECT; where every one is, that of the web.
    pub(crate) fn tunnel_ports(&self) -> impl Iterator<Item = NonZeroU16> {
        const ANY: &[u16] = &[443];
        let ports = match self.connect_ports.as_slice() {
            [] => ANY,
            ports => ports,
        };
        ports.iter().copied().filter_map(NonZeroU16::new)
    }

    /// The pattern that matches; of several the one whose match begins first, and of these the
    /// first in the file.
    ///
    /// # Errors
    /// When finding that out would take too long.
    pub(crate) fn hit(&self, target: &Target, ask: Ask<'_>) -> Result<Option<usize>, TooCostly> {
        match &self.regex {
            Some(regex) => self.with_subject(target, ask, |text| regex.search(text)),
            None => Ok(None),
        }
    }

    /// Whether one pattern matches. Compiles it: for people, not for the data path.
    pub(crate) fn matches(&self, pattern: &str, target: &Target, ask: Ask<'_>) -> bool {
        let regex = self.syntax.read(pattern.as_bytes()).ok();
        let regex = regex.and_then(|pattern| alone(&pattern.hir));
        regex.is_some_and(|regex| self.with_subject(target, ask, |text| regex.is_match(text)))
    }

    /// Says what patterns are compared with: the host as it stands in a [`Target`], or the URL:
    /// `host:port` of a CONNECT, and else `http://`, the target without port 80, the path and the
    /// query.
    fn with_subject<T>(&self, target: &Target, ask: Ask<'_>, judge: impl FnOnce(&str) -> T) -> T {
        match (self.subject, ask, target.host().name()) {
            (Subject::Host, _, Some(name)) => judge(name.as_str()),
            (Subject::Host, _, None) => judge(&target.host().to_string()),
            (Subject::Url, Ask::Tunnel, _) => judge(&target.to_string()),
            (Subject::Url, Ask::Http { path, .. }, _) => {
                let authority = target.to_string();
                let authority = authority.strip_suffix(":80").unwrap_or(&authority);
                // `http://host?query` asks for the root.
                let root = if path.starts_with('/') { "" } else { "/" };
                judge(&format!("http://{authority}{root}{path}"))
            }
        }
    }

    /// What tells this rule book from another with the same lines.
    pub(crate) fn traits(&self) -> impl Iterator<Item = u8> {
        let words = [
            self.syntax.kind as u8,
            u8::from(self.syntax.case_sensitive),
            self.subject as u8,
            self.listed as u8,
            u8::from(self.private),
            u8::from(self.raw),
        ];
        let ports = self
            .connect_ports
            .iter()
            .flat_map(|port| port.to_be_bytes());
        words.into_iter().chain(ports)
    }
}
