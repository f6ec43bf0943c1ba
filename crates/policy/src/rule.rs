//! One line of a whitelist, checked.

pub(crate) mod glob;
mod methods;
mod path;
mod pattern;
mod ports;
mod suffix;

use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use self::methods::{Methods, MethodsError};
pub(crate) use self::path::{PathMatch, PathPattern};
pub(crate) use self::pattern::{Kind, NamePattern};
pub(crate) use self::ports::Ports;
pub(crate) use self::suffix::{Reserved, Suffix, is_registered, of as suffix_of, owner, reserved};
use crate::policy::{Ask, Outcome};

/// Where in the load order a file stands. A later layer adds to an earlier one; a `deny` of any
/// layer holds in all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Included by `@name`: built in, or a file that stands in its place.
    Preset,
    /// The project's file.
    Project,
    /// What a person granted to one task.
    Task,
}

/// The number of a line within one [`Policy`](crate::Policy).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RuleId(pub(crate) u32);

impl RuleId {
    /// The line's place in [`Policy::rules`](crate::Policy::rules), from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A checked line and where it came from.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(crate) origin: Origin,
    pub(crate) permission: Permission,
}

/// The place of a line.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) file: Arc<File>,
    pub(crate) line: u32,
    /// Where in the file the words stand.
    pub(crate) text: Range<u32>,
    /// Where in the file the comment stands.
    pub(crate) comment: Range<u32>,
}

/// A file that rules came from.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) layer: Layer,
    pub(crate) text: String,
}

/// What a line says.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Permission {
    pub(crate) hosts: Hosts,
    pub(crate) ports: Ports,
    /// Set when the line names a method or a path: then only plain HTTP can satisfy it.
    pub(crate) http: Option<Box<HttpOnly>>,
    pub(crate) effect: Effect,
    /// The last moment at which the line counts.
    pub(crate) until: Option<Timestamp>,
}

/// What a line is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Hosts {
    Names(NamePattern),
    /// Addresses that are named as addresses.
    Network(IpNet),
    /// What a pattern of the policy's filter matches.
    Filtered,
}

/// What can only be seen in plain HTTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HttpOnly {
    pub(crate) methods: Option<Methods>,
    pub(crate) path: Option<PathPattern>,
}

/// What a line does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    Allow {
        raw: bool,
        private: bool,
        /// The line names an address of the machine itself.
        host: bool,
        /// Bytes that may be sent.
        up: Option<NonZeroU64>,
    },
    Deny {
        quiet: bool,
    },
}

impl Rule {
    /// The file's name as it was given to the loader; `@name` for a built-in preset.
    pub fn file(&self) -> &str {
        &self.origin.file.name
    }

    /// The line's number, from 1.
    pub fn line(&self) -> u32 {
        self.origin.line
    }

    /// The layer of the file.
    pub fn layer(&self) -> Layer {
        self.origin.file.layer
    }

    /// The line as written, without its comment and the space around it.
    pub fn text(&self) -> &str {
        self.origin.slice(&self.origin.text)
    }

    /// The comment on the line: the reason its author gave.
    pub fn comment(&self) -> Option<&str> {
        Some(self.origin.slice(&self.origin.comment)).filter(|comment| !comment.is_empty())
    }

    /// Whether the line refuses.
    pub fn is_deny(&self) -> bool {
        matches!(self.permission.effect, Effect::Deny { .. })
    }

    /// The bytes that may be sent under it: its `up=`, or the listener's default.
    pub fn budget(&self) -> Option<u64> {
        match self.permission.effect {
            Effect::Allow { up, .. } => up.map(NonZeroU64::get),
            Effect::Deny { .. } => None,
        }
    }

    /// Limits what has no limit.
    pub(crate) fn limit(&mut self, default: NonZeroU64) {
        match &mut self.permission.effect {
            Effect::Allow { up, .. } => {
                up.get_or_insert(default);
            }
            Effect::Deny { .. } => {}
        }
    }

    /// When the line ends by itself.
    pub fn until(&self) -> Option<Timestamp> {
        self.permission.until
    }
}

impl Origin {
    fn slice(&self, range: &Range<u32>) -> &str {
        self.file
            .text
            .get(range.start as usize..range.end as usize)
            .unwrap_or_default()
    }
}

impl Permission {
    /// Whether the line no longer counts.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// What the line says about a request whose host it names. The one place where ports, methods,
    /// paths and ends are compared.
    pub(crate) fn outcome(&self, port: u16, ask: Ask<'_>, now: Timestamp) -> Outcome {
        if self.is_over(now) {
            return Outcome::Expired;
        }
        if !self.ports.contains(port) {
            return Outcome::OtherPort;
        }
        let said = match self.effect {
            Effect::Allow { .. } => Outcome::Allows,
            Effect::Deny { .. } => Outcome::Denies,
        };
        let Some(http) = &self.http else { return said };
        match http.outcome(ask, said == Outcome::Denies) {
            Some(other) => other,
            None => said,
        }
    }
}

impl HttpOnly {
    /// What of the request is not meant, if something is. When it cannot be seen or not be told,
    /// a refusing line takes it as meant and an allowing line does not.
    fn outcome(&self, ask: Ask<'_>, refuses: bool) -> Option<Outcome> {
        let (method, path) = match ask {
            Ask::Tunnel if refuses => return None,
            Ask::Tunnel if self.methods.is_some() => return Some(Outcome::OtherMethod),
            Ask::Tunnel => return Some(Outcome::OtherPath),
            Ask::Http { method, path } => (method, path),
        };
        if self
            .methods
            .is_some_and(|methods| !methods.contains(method))
        {
            return Some(Outcome::OtherMethod);
        }
        let matched = match self.path.as_ref().map(|pattern| pattern.matches(path)) {
            None | Some(PathMatch::Yes) => true,
            Some(PathMatch::No) => false,
            Some(PathMatch::Ambiguous) => refuses,
        };
        (!matched).then_some(Outcome::OtherPath)
    }
}
