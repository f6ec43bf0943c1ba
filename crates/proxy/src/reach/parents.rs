//! Through parents, in order, until one has connected.

use std::net::IpAddr;
use std::sync::Arc;

use agentnet_policy::{Admitted, Denial, Grant, Host, Reason};
use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Reached, Unreached, Wish, admitted};
use crate::active::Active;
use crate::listener::Shared;
use crate::stream::Stream;
use crate::upstream::{Form, Parent, Sent, Trouble};

/// Addresses of one target that a parent is asked for. Each is a connection of its own to a parent that
/// has said that the one before cannot be reached.
const ADDRESSES: usize = 4;

/// A request on its way through parents.
struct Way<'a> {
    shared: &'a Shared,
    active: &'a Active,
    grant: &'a Grant,
    wish: Wish,
    /// The own addresses to dial from.
    from: &'a [IpAddr],
    /// The target's addresses, once they were needed: they are resolved and admitted once.
    addresses: Option<Vec<Sent>>,
}

/// Why one parent was the last to be asked, or was not.
enum Failure {
    /// The policy, or the resolver: no parent changes that.
    Final(Unreached),
    Parent(Trouble),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Parent(trouble)
    }
}

/// Asks each parent in turn; those that failed a moment ago come after the others.
pub(super) async fn through(
    shared: &Shared,
    active: &Active,
    grant: &Grant,
    (wish, from): (Wish, &[IpAddr]),
    parents: &[Parent],
) -> Result<Reached, Unreached> {
    if grant.only_here() {
        let target = grant.target().clone();
        let what = "an address of this machine is another machine's at a parent: \
                    give it a route with via = \"none\"";
        return Err(Unreached {
            denial: Denial::new(target, Reason::PrivateAddress),
            detail: Some(what.to_owned()),
        });
    }
    let mut way = Way {
        shared,
        active,
        grant,
        wish,
        from,
        addresses: None,
    };
    let mut said: Vec<String> = Vec::new();
    let mut later: Vec<&Parent> = Vec::new();
    let mut first = parents.iter();
    loop {
        let parent = match first.next() {
            Some(parent) if parents.len() == 1 || parent.in_turn() => parent,
            Some(parent) => {
                later.push(parent);
                continue;
            }
            None if later.is_empty() => break,
            None => later.remove(0),
        };
        let route = parent.label();
        let timer = shared.metrics.dial_seconds_by(route.as_str()).start_timer();
        let outcome = way.by(parent).await;
        timer.observe_duration();
        let trouble = match outcome {
            Ok(reached) => {
                parent.worked();
                return Ok(reached);
            }
            Err(Failure::Final(unreached)) => return Err(unreached),
            Err(Failure::Parent(trouble)) => trouble,
        };
        shared.metrics.upstream_failures(route.as_str()).inc();
        said.push(format!("{route} {trouble}"));
        match trouble {
            Trouble::Down(_) => parent.failed(),
            Trouble::Credentials(_) | Trouble::Unreachable(_) => parent.worked(),
            Trouble::Refused(_) => {
                parent.worked();
                break;
            }
        }
    }
    let said = said.join("; ");
    Err(Unreached::failed(grant, Reason::UpstreamFailed, said))
}

impl Way<'_> {
    async fn by(&mut self, parent: &Parent) -> Result<Reached, Failure> {
        let target = self.grant.target();
        // A name that no line allows (mode `observe`) is resolved here whatever the route says: only a
        // public address is granted, and nobody else would check that.
        let sends = match target.host() {
            Host::Name(name) if parent.remote_dns() && !self.grant.reported() => {
                vec![Sent::Name(name.clone(), target.port())]
            }
            Host::Name(_) | Host::Ip(_) => self.addresses().await.map_err(Failure::Final)?,
        };
        // In the absolute form a parent looks up the name itself, so only what may be looked up there,
        // or need not be, goes that way.
        let absolute = self.wish == Wish::Request
            && parent.takes_absolute_form()
            && (target.host().ip().is_some()
                || sends.iter().any(|sent| matches!(sent, Sent::Name(..))));
        let answers = self.answers(parent).await?;
        // For all addresses together, or a parent that is slow to say no would cost their sum.
        let timeouts = self.shared.timeouts;
        let until = Instant::now() + timeouts.connect + timeouts.upstream;
        let mut trouble = Trouble::Unreachable("was asked for nothing".to_owned());
        for sent in sends {
            let attempt = self.attempt(parent, &answers, &sent, absolute);
            let in_time = timeout_at(until, attempt).await;
            match in_time.unwrap_or_else(|_| Err(Trouble::Down("took too long".to_owned()))) {
                Err(Trouble::Unreachable(what)) => trouble = Trouble::Unreachable(what),
                Err(other) => return Err(other.into()),
                Ok(reached) => return Ok(reached),
            }
        }
        Err(trouble.into())
    }

    async fn attempt(
        &self,
        parent: &Parent,
        answers: &[IpAddr],
        sent: &Sent,
        absolute: bool,
    ) -> Result<Reached, Trouble> {
        let dialed = self
            .shared
            .dialer
            .dial_parent(self.grant, parent, answers, self.from)
            .await
            .map_err(|error| Trouble::Down(format!("cannot be reached ({error})")))?;
        let limit = self.shared.timeouts.upstream;
        let asked = timeout(limit, self.ask(parent, dialed.stream, sent, absolute)).await;
        let silent = || Trouble::Down(format!("did not answer within {} s", limit.as_secs()));
        let (stream, early) = asked.map_err(|_| silent())??;
        Ok(Reached {
            stream,
            early,
            address: sent.address(),
            route: parent.label().clone(),
            form: if absolute {
                Form::Absolute(parent.authorization())
            } else {
                Form::Origin
            },
        })
    }

    async fn ask(
        &self,
        parent: &Parent,
        stream: Stream,
        sent: &Sent,
        absolute: bool,
    ) -> Result<(Stream, Bytes), Trouble> {
        let stream = parent.secure(stream).await?;
        if absolute {
            return Ok((stream, Bytes::new()));
        }
        parent.ask(stream, sent, &self.shared.via).await
    }

    /// The target's addresses, IPv4 first: a parent without IPv6 is the more common one.
    async fn addresses(&mut self) -> Result<Vec<Sent>, Unreached> {
        if let Some(addresses) = &self.addresses {
            return Ok(addresses.clone());
        }
        let admitted = admitted(self.shared, self.active, self.grant).await?;
        let mut addresses: Vec<_> = admitted.iter().map(Admitted::address).collect();
        addresses.sort_by_key(std::net::SocketAddr::is_ipv6);
        addresses.truncate(ADDRESSES);
        let addresses: Vec<Sent> = addresses.into_iter().map(Sent::Address).collect();
        self.addresses = Some(addresses.clone());
        Ok(addresses)
    }

    /// The addresses of a parent, by the one door for names.
    async fn answers(&self, parent: &Parent) -> Result<Arc<[IpAddr]>, Trouble> {
        match parent.at().host() {
            Host::Ip(address) => Ok(Arc::new([*address])),
            Host::Name(name) => {
                let answers = self.shared.resolver.resolve(name).await;
                answers.map_err(|error| Trouble::Down(format!("cannot be reached ({error})")))
            }
        }
    }
}
