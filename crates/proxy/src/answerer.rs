//! The DNS of a fence: a permitted name is at the proxy's own address, and no other name exists.
//!
//! For programs that ignore the proxy's variables. They look a name up, and either learn at once that
//! they will not get there, or connect to the proxy's [transparent](crate::settings::SideDoors) doors,
//! where the name is judged again. No question is ever passed on: nothing leaves in a name, and a
//! denied name is told from a permitted one by the same policy as everywhere (THREATS §1.2).
//!
//! [`reply`] makes the answers and touches nothing; `udp` and `streams` carry them. What is refused is
//! counted every time and told at a bounded rate (`ration`): a question costs its sender 30 bytes.

mod bind;
mod ration;
pub mod reply;
mod streams;
mod udp;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use agentnet_policy::event::{Event, Moment, Protocol, Text, Version, Word};
use agentnet_policy::{Denial, Host, Name, Reason};
use domain::base::iana::Rtype;
use jiff::Timestamp;

pub(crate) use self::bind::serve;
pub use self::bind::{Counter, open};
pub use self::ration::Ration;
use self::reply::{Finding, Own};
use crate::active::Active;
use crate::listener::Listener;
use crate::metrics::Rejection;
use crate::raw_doors::Book;
use crate::tasks::Tasks;

/// Who asks.
#[derive(Debug)]
pub enum Asker {
    /// Whoever sent a datagram from here, or said that it did.
    Datagram(SocketAddr),
    /// The client of a stream, as events name it; one of a unix socket has no address.
    Stream(Text, Option<IpAddr>),
}

impl Asker {
    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Datagram(address) => Some(address.ip().to_canonical()),
            Self::Stream(_, address) => *address,
        }
    }

    fn name(&self) -> Text {
        match self {
            Self::Datagram(address) => Text::from(*address),
            Self::Stream(name, _) => name.clone(),
        }
    }
}

/// Answers the questions that come to one address, by the policy of its listener.
#[derive(Debug)]
pub struct Answerer {
    listener: Arc<Listener>,
    own: Own,
    ration: Arc<Ration>,
    /// The names that have addresses of their own.
    book: Option<Arc<Book>>,
}

impl Answerer {
    /// For `listener`, whose permitted names are at `own`; `ration` is what all its doors tell.
    #[must_use]
    pub fn new(listener: Arc<Listener>, own: Own, ration: Arc<Ration>) -> Self {
        Self {
            listener,
            own,
            ration,
            book: None,
        }
    }

    /// The names in this book are at the addresses that it says.
    #[must_use]
    pub fn with_book(self, book: Option<Arc<Book>>) -> Self {
        Self { book, ..self }
    }

    fn own(&self, name: &Name, active: &Active) -> Own {
        let book = self.book.as_ref();
        let address = book.and_then(|book| book.of(active).address(name));
        address.map_or(self.own, |address| Own {
            v4: Some(address),
            v6: None,
        })
    }

    /// The answer to a question, which is counted and, if it is refused or would be, told. `None` is no answer.
    #[must_use]
    pub fn answer(&self, query: &[u8], client: &Asker) -> Option<Vec<u8>> {
        let metrics = &self.listener.metrics;
        let active = self.listener.policy.now();
        // A client that only its name could let in is not looked up for the sake of a datagram.
        let clients = &active.conduct.clients;
        if clients.permits_at_once(client.address()) != Some(true) {
            metrics.request(Protocol::Dns, Word::Deny, Reason::ClientNotAllowed);
            return reply::refuse(query);
        }
        let now = Timestamp::now();
        let decide = |name: &Name| {
            let verdict = active.policy.permitted(name, now);
            (verdict, self.own(name, &active))
        };
        let Some(reply) = reply::answer(query, decide) else {
            metrics.request(Protocol::Dns, Word::Deny, Reason::BadRequest);
            return None;
        };
        match &reply.finding {
            Finding::Permitted => metrics.request(Protocol::Dns, Word::Allow, Reason::Allowed),
            Finding::Reported(denial) => {
                metrics.request(Protocol::Dns, Word::Report, denial.reason());
                let host = denial.target().host();
                if self.ration.may_tell(host, reply.kind, Instant::now()) {
                    self.tell(&active, client, reply.kind, (Word::Report, denial));
                }
            }
            Finding::Denied(denial) => {
                let host = denial.target().host();
                metrics.request(Protocol::Dns, Word::Deny, denial.reason());
                metrics.blocked_hosts.count(host);
                if let Some(rule) = denial.rule() {
                    active.hit(rule);
                }
                if self.ration.may_tell(host, reply.kind, Instant::now()) {
                    self.tell(&active, client, reply.kind, (Word::Deny, denial));
                }
            }
            Finding::NotAHost(shown) => {
                metrics.request(Protocol::Dns, Word::Deny, Reason::BadRequest);
                if self.ration.may_tell(shown, reply.kind, Instant::now()) {
                    let reason = Reason::BadRequest;
                    let sentence =
                        format!("The question was refused ({reason}): no host has such a name.");
                    let event = self.event(client, reply.kind, shown.clone(), reason, &sentence);
                    self.listener.shared.journal.record(event);
                }
            }
            Finding::Unjudged => {}
        }
        Some(reply.bytes)
    }

    fn tell(&self, active: &Active, client: &Asker, kind: Rtype, (word, denial): (Word, &Denial)) {
        let target = denial.target();
        let host = match target.host() {
            Host::Name(name) => Text::new(name.as_str()),
            Host::Ip(ip) => Text::new(&ip.to_string()),
        };
        let sentence = denial.sentence(&active.policy);
        let told = self.event(client, kind, host, denial.reason(), &sentence);
        let event = match word {
            Word::Deny => Event {
                port: target.port(),
                rule: active.rule_line(denial.rule()),
                quiet: denial.quiet(),
                ..told
            },
            // Nothing was refused, and nothing needs to be said about it.
            Word::Allow | Word::Report => Event {
                port: target.port(),
                verdict: word,
                sentence: None,
                ..told
            },
        };
        self.listener.shared.journal.record(event);
    }

    fn event(
        &self,
        client: &Asker,
        kind: Rtype,
        host: Text,
        reason: Reason,
        sentence: &str,
    ) -> Event {
        let number = self.listener.shared.next_request();
        Event {
            v: Version,
            time: Timestamp::now(),
            id: Text::new(&number.to_string()),
            event: Moment::Decision,
            listener: self.listener.name.clone(),
            client: client.name(),
            protocol: Protocol::Dns,
            method: Text::new(&kind.to_string()),
            path: None,
            host,
            port: 0,
            verdict: Word::Deny,
            reason,
            rule: None,
            address: None,
            route: None,
            status: None,
            up: 0,
            down: 0,
            ms: 0,
            sentence: Some(Text::new(sentence)),
            quiet: false,
            transparent: true,
            agent: None,
        }
    }

    fn tasks(&self) -> &Tasks {
        &self.listener.shared.tasks
    }

    fn reject(&self, rejection: Rejection) {
        self.listener.shared.metrics.rejected(rejection).inc();
    }
}
