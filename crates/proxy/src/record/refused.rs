//! How a request, a connection or a tunnel's beginning is refused: counted, recorded, and answered
//! where somebody reads an answer.

use agentnet_policy::event::{Event, Protocol, Text, Word};
use agentnet_policy::{Denial, Host, Reason, Target};
use http::header::HeaderValue;
use http::{Response, StatusCode};

use super::Record;
use crate::active::Active;
use crate::body::Body;
use crate::hello::Fault;
use crate::manners::cause::Cause;
use crate::manners::{Dress, Manners, Occasion};
use crate::refusal::Refusal;
use crate::request::BadRequest;
use crate::upstream::Via;
use crate::words::Asked;

impl Record {
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
