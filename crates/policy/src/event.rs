//! The decision record: one JSON line a decision, for log, stream, alert and `learn` alike.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::reason::Reason;
use crate::rule::Rule;

/// One decision, or the end of what it allowed. Version 1.
///
/// Later versions of the same number may add optional fields; readers ignore what they do not know.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// The version of this schema.
    pub v: Version,
    /// When, RFC 3339 in UTC.
    pub time: Timestamp,
    /// The request's number, unique within one run of one proxy; `decision` and `closed` share it.
    pub id: Text,
    /// Which of the two moments.
    pub event: Moment,
    /// The listener: whose request this is.
    pub listener: Text,
    /// The peer, as the listener saw it; empty for a unix socket that does not know.
    pub client: Text,
    /// How the request came.
    pub protocol: Protocol,
    /// The method as sent.
    pub method: Text,
    /// The path without its query, plain HTTP only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Text>,
    /// The canonical host; what could not be parsed as one stands here made visible.
    pub host: Text,
    /// The port, 0 where the request had no valid one.
    pub port: u16,
    /// What was decided.
    pub verdict: Word,
    /// Why.
    pub reason: Reason,
    /// The line that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleLine>,
    /// The address that was dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The route that was taken: `direct`, or an upstream's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Text>,
    /// The HTTP status that the client was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Bytes from the client to the host.
    pub up: u64,
    /// Bytes from the host to the client.
    pub down: u64,
    /// Milliseconds since the request was read.
    pub ms: u64,
    /// The sentence that the client was sent with a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentence: Option<Text>,
    /// Whether to raise no alert.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quiet: bool,
}

/// The number 1. Another number is refused on reading.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Version;

/// The moment an event tells of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// The request was judged.
    Decision,
    /// What was allowed is over; the counters are final.
    Closed,
}

/// How a request reached the proxy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// A tunnel.
    Connect,
    /// A plain request.
    Http,
}

/// A verdict without its values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Allowed by a line.
    Allow,
    /// Allowed because the mode is `observe`.
    Report,
    /// Refused.
    Deny,
}

/// A line of a whitelist, for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RuleLine {
    /// The file, or `@preset`.
    pub file: Text,
    /// The line's number, from 1.
    pub line: u32,
    /// The line as written.
    pub text: Text,
    /// The reason its author gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Text>,
}

/// Text that came from outside, safe to print: at most [`Text::MAX`] bytes, and no character that
/// controls a terminal, reorders a line or is not seen. Each of those becomes U+FFFD.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Box<str>);

impl Text {
    /// The longest text in bytes; the rest is cut and an ellipsis put there.
    pub const MAX: usize = 2048;

    /// Makes a text safe to print.
    pub fn new(text: &str) -> Self {
        let mut safe = String::with_capacity(text.len().min(Self::MAX));
        for c in text.chars() {
            let c = if is_visible(c) {
                c
            } else {
                char::REPLACEMENT_CHARACTER
            };
            if safe.len() + c.len_utf8() > Self::MAX - '…'.len_utf8() {
                safe.push('…');
                break;
            }
            safe.push(c);
        }
        Self(safe.into())
    }

    /// The safe text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a terminal, a log viewer and a notification show the character as itself, in its place.
pub(crate) fn is_visible(c: char) -> bool {
    !(c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E0FFF}'))
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<&Rule> for RuleLine {
    fn from(rule: &Rule) -> Self {
        Self {
            file: rule.file().into(),
            line: rule.line(),
            text: rule.text().into(),
            comment: rule.comment().map(Text::new),
        }
    }
}

impl From<SocketAddr> for Text {
    fn from(address: SocketAddr) -> Self {
        Self::new(&address.to_string())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(&String::deserialize(deserializer)?))
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Version),
            other => Err(serde::de::Error::custom(format!(
                "event version {other} is not 1"
            ))),
        }
    }
}
