//! The decision record: one JSON line a decision, for log, stream, alert and `learn` alike.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

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
    /// The address that was dialled, or that a parent was asked for; absent where the parent resolved
    /// the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The route that was taken: `direct`, or a parent's `scheme://host:port`.
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
    /// The client took us for the host itself: a transparent door, or a question to the DNS. It
    /// knows nothing of a proxy, or passes it by.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transparent: bool,
    /// What a client that was refused calls itself (`User-Agent`), its first [`Event::AGENT`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Text>,
}

impl Event {
    /// The bytes of a `User-Agent` that are kept: enough for a name and a version.
    pub const AGENT: usize = 128;
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
    /// TLS at a transparent listener: a tunnel to the name in its handshake.
    Tls,
    /// A question to the DNS: the method is its type, and the port is the one that its refusal
    /// speaks of.
    Dns,
    /// A connection to the door of one name: a tunnel, as if by CONNECT to that name and the door's
    /// port.
    Raw,
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
/// Cheap to clone: a request's two events share most of theirs.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Arc<str>);

impl Text {
    /// The longest text in bytes; the rest is cut and an ellipsis put there.
    pub const MAX: usize = 2048;

    /// Makes a text safe to print.
    pub fn new(text: &str) -> Self {
        // Nearly all of it is printable ASCII, and every request makes several.
        if text.len() <= Self::MAX && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Self(text.into());
        }
        let mut safe = String::with_capacity(text.len().min(Self::MAX));
        let mut end = 0;
        for c in text.chars() {
            safe.push(if is_visible(c) {
                c
            } else {
                char::REPLACEMENT_CHARACTER
            });
            if safe.len() > Self::MAX {
                safe.truncate(end);
                safe.push('…');
                break;
            }
            if safe.len() + '…'.len_utf8() <= Self::MAX {
                end = safe.len();
            }
        }
        Self(safe.into())
    }

    /// The safe text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a terminal, a log viewer and a notification show the character as itself, in its place.
#[must_use]
pub fn is_visible(c: char) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            v: Version,
            time: "2026-11-20T22:00:00.5Z".parse().unwrap(),
            id: "7".into(),
            event: Moment::Decision,
            listener: "task".into(),
            client: SocketAddr::from(([10, 213, 0, 2], 40_000)).into(),
            protocol: Protocol::Connect,
            method: "CONNECT".into(),
            path: None,
            host: "gist.github.com".into(),
            port: 443,
            verdict: Word::Deny,
            reason: Reason::RuleDenied,
            rule: Some(RuleLine {
                file: "project.txt".into(),
                line: 3,
                text: "gist.github.com deny".into(),
                comment: None,
            }),
            address: None,
            route: None,
            status: Some(403),
            up: 0,
            down: 0,
            ms: 1,
            sentence: None,
            quiet: false,
            transparent: false,
            agent: None,
        }
    }

    /// Whoever changes this line changes what every reader has to understand.
    const LINE: &str = r#"{"v":1,"time":"2026-11-20T22:00:00.5Z","id":"7","event":"decision","listener":"task","client":"10.213.0.2:40000","protocol":"connect","method":"CONNECT","host":"gist.github.com","port":443,"verdict":"deny","reason":"rule_denied","rule":{"file":"project.txt","line":3,"text":"gist.github.com deny"},"status":403,"up":0,"down":0,"ms":1}"#;

    #[test]
    fn an_event_is_one_line_of_json_and_reads_back() {
        assert_eq!(serde_json::to_string(&event()).unwrap(), LINE);
        assert_eq!(serde_json::from_str::<Event>(LINE).unwrap(), event());
        let wider = Event {
            transparent: true,
            agent: Some("pip/24.0".into()),
            ..event()
        };
        let line = LINE.replace(
            "\"ms\":1}",
            "\"ms\":1,\"transparent\":true,\"agent\":\"pip/24.0\"}",
        );
        assert_eq!(serde_json::to_string(&wider).unwrap(), line);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), wider);
    }

    #[test]
    fn another_version_is_refused_and_an_unknown_field_is_not() {
        let other = LINE.replace("\"v\":1", "\"v\":2");
        assert!(serde_json::from_str::<Event>(&other).is_err());
        let wider = LINE.replace("\"v\":1", "\"v\":1,\"later\":true");
        assert_eq!(serde_json::from_str::<Event>(&wider).unwrap(), event());
    }

    #[test]
    fn text_from_outside_is_shown_and_never_obeyed() {
        let hostile = "a\r\n\u{1b}[2Jb\u{202e}c\u{200b}d\u{e0041}";
        assert_eq!(
            Text::new(hostile).as_str(),
            "a\u{fffd}\u{fffd}\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}"
        );
        let read: Text = serde_json::from_str(r#""a\u0007""#).unwrap();
        assert_eq!(read.as_str(), "a\u{fffd}");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let text = Text::new(&"ü".repeat(5_000));
        assert!(text.as_str().len() <= Text::MAX && text.as_str().ends_with("ü…"));
        let whole = "a".repeat(Text::MAX);
        assert_eq!(Text::new(&whole).as_str(), whole);
    }
}
