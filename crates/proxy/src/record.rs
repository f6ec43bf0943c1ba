//! One request, told once: to the counters, to the journal and to the client, with the same word.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use agentnet_policy::event::{Event, Moment, Protocol, Text, Version, Word};
use agentnet_policy::{Denial, Host, Reason, Target};
use http::header::{HeaderValue, USER_AGENT};
use http::request::Parts;
use http::{Response, StatusCode};
use jiff::Timestamp;

use crate::active::Active;
use crate::body::Body;
use crate::hello::Fault;
use crate::listener::{Purpose, Session};
use crate::manners::cause::Cause;
use crate::manners::{Dress, Manners, Occasion};
use crate::refusal::Refusal;
use crate::request::BadRequest;
use crate::upstream::Via;
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

    /// It is refused, or failed: counts, records and answers. A failure of something that was
    /// permitted keeps the permission's verdict and says its own reason.
    #[must_use]
    pub fn refused(
        &mut self,
        active: &Active,
        denial: &Denial,
        detail: Option<&str>,
    ) -> Response<Body> {
        let reason = denial.reason();
        if self.event.rule.is_none() {
            self.set_rule(active, denial.rule());
        }
        if !is_failure(reason) {
            self.event.verdict = Word::Deny;
            self.session
                .listener
                .metrics
                .blocked_hosts
                .count(denial.target().host());
        }
        self.event.reason = reason;
        self.event.quiet = denial.quiet();
        if let Some(words) = &mut self.words {
            words.filter = active.conduct.filtered.unwrap_or_default();
            words.detail = detail.map(Into::into);
            words.parent = match active.conduct.routes.take(denial.target()).1 {
                Via::Parents(parents) => parents.last().map(|parent| parent.label().clone()),
                Via::Direct | Via::Nowhere => None,
            };
        }
        let mut sentence = denial.sentence(&active.policy);
        if let Some(detail) = detail {
            sentence.push_str(" (");
            sentence.push_str(detail);
            sentence.push(')');
        }
        let clause = match detail {
            Some(detail) => format!("{}: {detail}", reason.clause()),
            None => reason.clause().to_owned(),
        };
        let status =
            StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let manners = active.conduct.manners.as_deref();
        let cause = || match active.conduct.routes.take(denial.target()).1 {
            Via::Parents(_) | Via::Nowhere if reason == Reason::UpstreamFailed => Cause::PARENT,
            Via::Direct | Via::Parents(_) | Via::Nowhere => Cause::of(reason),
        };
        self.answer(
            manners.map(|manners| (manners, cause())),
            reason,
            status,
            Some(denial.target()),
            &clause,
            &sentence,
        )
    }

    /// It is not even a request: counts, records and answers.
    #[must_use]
    pub fn malformed(&mut self, active: &Active, bad: &BadRequest) -> Response<Body> {
        if let Some(target) = &bad.target {
            self.set_target(target);
        }
        self.event.verdict = Word::Deny;
        self.event.reason = bad.reason;
        let sentence = format!("The request was refused ({}): {}.", bad.reason, bad.what);
        self.answer(
            (active.conduct.manners.as_deref()).map(|manners| (manners, Cause::of(bad.reason))),
            bad.reason,
            bad.status,
            bad.target.as_ref(),
            &bad.what,
            &sentence,
        )
    }

    /// Its client may not use the listener: counts, records and answers.
    #[must_use]
    pub fn turned_away(&mut self, active: &Active) -> Response<Body> {
        let reason = Reason::ClientNotAllowed;
        self.event.verdict = Word::Deny;
        self.event.reason = reason;
        let clause = reason.clause();
        let sentence = format!(
            "The connection was refused ({reason}) because {clause}; trying again will not help, the \
             person who runs the proxy decided so."
        );
        let status = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::FORBIDDEN);
        let manners = active.conduct.manners.as_deref();
        let manners = manners.map(|manners| (manners, Cause::of(reason)));
        self.answer(manners, reason, status, None, clause, &sentence)
    }

    /// It asks for the proxy's statistics at `host`, without the right to: counts, records and
    /// answers.
    #[must_use]
    pub fn unauthorized(&mut self, manners: &Manners, host: &Host) -> Response<Body> {
        self.event.host = Text::new(&host.to_string());
        self.event.port = 80;
        self.event.verdict = Word::Deny;
        self.event.reason = Reason::AuthRequired;
        let clause = "the statistics are for those who have credentials";
        let sentence = format!(
            "The request for the proxy's statistics was refused ({}): send the credentials of the \
             proxy.",
            Reason::AuthRequired
        );
        let status = StatusCode::UNAUTHORIZED;
        let manners = Some((manners, Cause::UNAUTHORIZED));
        self.answer(
            manners,
            Reason::AuthRequired,
            status,
            None,
            clause,
            &sentence,
        )
    }

    fn answer(
        &mut self,
        manners: Option<(&Manners, Cause)>,
        reason: Reason,
        status: StatusCode,
        target: Option<&Target>,
        clause: &str,
        sentence: &str,
    ) -> Response<Body> {
        let sentence = Text::new(sentence);
        self.session.note_refusal();
        self.event.status = self.http_status(status);
        self.event.sentence = Some(sentence.clone());
        self.event.agent = self.agent.take().map(|agent| shown(&agent));
        self.say(Asked::refused);
        self.tell();
        let dress = match manners {
            None => Dress::default(),
            Some((manners, cause)) => {
                let line = self.line.as_ref();
                let client = self.session.address.map(|address| address.to_string());
                let occasion = Occasion {
                    request: line.map(|line| line.request.as_str()),
                    url: line.map(|line| line.url.as_str()),
                    client: client.as_deref().unwrap_or_default(),
                };
                manners.dress(reason, cause, status, sentence.as_str(), occasion)
            }
        };
        let refusal = Refusal {
            reason,
            status,
            target,
            clause,
            sentence: sentence.as_str(),
            rule: self.event.rule.as_ref(),
            // What follows a refused CONNECT may be meant for the tunnel, and what follows a
            // request that two parsers read differently may be anything: neither is a request.
            close: self.event.protocol == Protocol::Connect
                || matches!(reason, Reason::BadRequest | Reason::ClientNotAllowed),
            dress,
        };
        refusal.response()
    }

    /// Clients of TLS, and of protocols that nobody here knows, are sent no status.
    fn http_status(&self, status: StatusCode) -> Option<u16> {
        let silent = matches!(self.event.protocol, Protocol::Tls | Protocol::Raw);
        (!silent).then_some(status.as_u16())
    }

    /// A handshake at a transparent door says no host that could be judged: counts and records that.
    pub fn unreadable(mut self, fault: &Fault, target: Option<&Target>, advice: &str) {
        let reason = fault.reason();
        if let Some(target) = target {
            self.set_target(target);
        }
        self.event.reason = reason;
        let sentence = format!("The connection was refused ({reason}): {fault}; {advice}.");
        self.event.sentence = Some(Text::new(&sentence));
        self.session.note_refusal();
        self.say(Asked::refused);
        self.tell();
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

    /// A tunnel was opened and closed again, because of its first bytes.
    pub fn broken_off(mut self, fault: &Fault) {
        let target = &self.event.host;
        let sentence = format!(
            "The tunnel to {target}:{} was closed ({}): {fault}; {}.",
            self.event.port,
            fault.reason(),
            fault.advice()
        );
        self.event.verdict = Word::Deny;
        self.event.sentence = Some(Text::new(&sentence));
        self.closed(fault.reason(), 0, 0);
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

/// As much of a `User-Agent` as events have.
fn shown(agent: &HeaderValue) -> Text {
    let bytes = agent.as_bytes();
    Text::new(&String::from_utf8_lossy(
        bytes.get(..Event::AGENT).unwrap_or(bytes),
    ))
}

/// True for what went wrong after it was permitted.
fn is_failure(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ResolveFailed | Reason::ConnectFailed | Reason::UpstreamFailed | Reason::TimedOut
    )
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
