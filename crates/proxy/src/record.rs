//! One request, told once: to the counters, to the journal and to the client, with the same word.

mod refused;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use agentnet_policy::event::{Event, Moment, Protocol, Text, Version, Word};
use agentnet_policy::{Reason, Target};
use http::StatusCode;
use http::header::{HeaderValue, USER_AGENT};
use http::request::Parts;
use jiff::Timestamp;

use crate::active::Active;
use crate::listener::{Purpose, Session};
use crate::words::{self, Asked};

/// What is known of one request so far.
#[derive(Debug)]
pub struct Record {
    session: Arc<Session>,
    started: Instant,
    told: bool,
    event: Event,
    /// Kept where a page may show it.
    line: Option<Box<Line>>,
    /// What the client calls itself: told where it is refused.
    agent: Option<HeaderValue>,
    /// What the log says beside the event, where it is kept in Tinyproxy's words.
    words: Option<Box<Asked>>,
}

/// The request line, and what was asked for.
#[derive(Debug)]
struct Line {
    request: String,
    url: String,
}

impl Record {
    /// Begins the record of a request that has just been read.
    #[must_use]
    pub fn begin(session: &Arc<Session>, protocol: Protocol, parts: &Parts) -> Self {
        let path = match protocol {
            Protocol::Connect | Protocol::Tls | Protocol::Dns | Protocol::Raw => None,
            Protocol::Http => Some(Text::new(parts.uri.path())),
        };
        let mut record = Self::new(session, protocol, Text::new(parts.method.as_str()), path);
        record.agent = parts.headers.get(USER_AGENT).cloned();
        if session.shared().journal.speaks_tinyproxy() {
            let (asked, line) = Asked::new(parts, session.socket);
            session.say(|| line);
            record.words = Some(Box::new(asked));
        }
        record
    }

    /// Begins the record of a client that is not asked what it wants.
    #[must_use]
    pub fn nameless(session: &Arc<Session>, protocol: Protocol) -> Self {
        let mut record = Self::new(session, protocol, Text::default(), None);
        if session.shared().journal.speaks_tinyproxy() {
            let client = session.socket;
            let asked = Asked {
                client,
                ..Asked::default()
            };
            record.words = Some(Box::new(asked));
        }
        record
    }

    /// Begins the record of a connection to a transparent door for TLS.
    #[must_use]
    pub fn of_tls(session: &Arc<Session>) -> Self {
        session.note_request();
        let mut record = Self::nameless(session, Protocol::Tls);
        record.event.method = Text::new("TLS");
        record
    }

    /// Begins the record of a connection to the door of `target`.
    pub fn of_raw(session: &Arc<Session>, target: &Target) -> Self {
        session.note_request();
        let mut record = Self::nameless(session, Protocol::Raw);
        record.event.method = Text::new("RAW");
        record.set_target(target);
        record
    }

    fn new(session: &Arc<Session>, protocol: Protocol, method: Text, path: Option<Text>) -> Self {
        let number = session.shared().next_request();
        let event = Event {
            v: Version,
            time: Timestamp::now(),
            id: Text::new(&number.to_string()),
            event: Moment::Decision,
            listener: session.listener.name.clone(),
            client: session.client.clone(),
            protocol,
            method,
            path,
            host: Text::default(),
            port: 0,
            verdict: Word::Deny,
            reason: Reason::BadRequest,
            rule: None,
            address: None,
            route: None,
            status: None,
            up: 0,
            down: 0,
            ms: 0,
            sentence: None,
            quiet: false,
            transparent: session.purpose != Purpose::Proxy,
            agent: None,
        };
        Self {
            session: Arc::clone(session),
            started: Instant::now(),
            told: false,
            event,
            line: None,
            agent: None,
            words: None,
        }
    }

    /// A page may show the request line.
    pub fn keep_line(&mut self, parts: &Parts) {
        let url = parts.uri.to_string();
        let request = format!("{} {url} {:?}", parts.method, parts.version);
        self.line = Some(Box::new(Line { request, url }));
    }

    /// The request is for `target`.
    pub fn set_target(&mut self, target: &Target) {
        self.event.host = Text::new(&target.host().to_string());
        self.event.port = target.port();
    }

    /// The policy let it pass, in the mode's way.
    pub fn set_permission(&mut self, word: Word, reason: Reason) {
        self.event.verdict = word;
        self.event.reason = reason;
    }

    /// It is connected to `address`, or to what a parent found for its name, by `route`.
    pub fn set_reached(&mut self, route: &Text, address: Option<IpAddr>) {
        self.event.address = address;
        self.event.route = Some(route.clone());
    }

    /// It is carried by the connection with this descriptor.
    pub fn set_socket(&mut self, descriptor: i32) {
        if let Some(words) = &mut self.words {
            words.remote = Some(descriptor);
        }
    }

    /// Writes to the log in Tinyproxy's words, where it is kept in them.
    fn say(&self, lines: impl FnOnce(&Asked, &Event) -> Vec<words::Line>) {
        if let Some(words) = &self.words {
            for line in lines(words, &self.event) {
                self.session.say(|| line);
            }
        }
    }

    /// Whose request it is.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The rule that decides, and a count for it.
    pub fn set_rule(&mut self, active: &Active, rule: Option<agentnet_policy::RuleId>) {
        if let Some(rule) = rule {
            active.hit(rule);
        }
        self.event.rule = active.rule_line(rule);
    }

    /// It was let through and answered with `status`: counts and records that.
    pub fn passed(&mut self, status: StatusCode) {
        self.line = None;
        self.event.status = self.http_status(status);
        self.say(Asked::reached);
        self.tell();
    }

    /// Clients of TLS, and of protocols that nobody here knows, are sent no status.
    fn http_status(&self, status: StatusCode) -> Option<u16> {
        let silent = matches!(self.event.protocol, Protocol::Tls | Protocol::Raw);
        (!silent).then_some(status.as_u16())
    }

    fn tell(&mut self) {
        self.told = true;
        let Event {
            protocol,
            verdict,
            reason,
            ..
        } = self.event;
        self.session
            .listener
            .metrics
            .request(protocol, verdict, reason);
        self.event.ms = millis(self.started);
        self.session.shared().journal.record(self.event.clone());
    }

    /// What was let through is over.
    pub fn closed(mut self, reason: Reason, up: u64, down: u64) {
        self.event.event = Moment::Closed;
        self.event.time = Timestamp::now();
        self.event.reason = reason;
        self.event.up = up;
        self.event.down = down;
        self.event.ms = millis(self.started);
        self.say(|asked, _| asked.closed(reason));
        self.session.shared().journal.record(self.event.clone());
    }
}

impl Drop for Record {
    /// A client that leaves while its request is being resolved or dialled has asked all the same:
    /// the name has gone out. Its decision is told as it stood, without a status.
    fn drop(&mut self) {
        if !self.told {
            self.tell();
        }
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
