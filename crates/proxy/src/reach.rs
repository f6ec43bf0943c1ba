//! From a grant to a connected stream: resolve once, admit every answer, dial what was admitted, or
//! have a parent do it.

mod parents;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use agentnet_policy::event::Text;
use agentnet_policy::{Admitted, Denial, Grant, Host, Reason};
use bytes::Bytes;

use crate::active::Active;
use crate::dial::DialError;
use crate::listener::Shared;
use crate::resolve::ResolveError;
use crate::stream::Stream;
use crate::upstream::{Form, Via};

/// What the connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Bytes, to the target itself.
    Tunnel,
    /// A plain request, which an HTTP parent may be given as such.
    Request,
}

/// A connection to a granted target.
#[derive(Debug)]
pub struct Reached {
    /// The socket, with Nagle's algorithm off.
    pub stream: Stream,
    /// What the target has already said.
    pub early: Bytes,
    /// The admitted address; `None` where a parent resolved the name.
    pub address: Option<IpAddr>,
    /// The way it went.
    pub route: Text,
    /// How requests are written on it.
    pub form: Form,
}

/// Why a granted target was not reached.
#[derive(Debug)]
pub struct Unreached {
    /// The refusal or failure.
    pub denial: Denial,
    /// What the resolver, the system or the parents said.
    pub detail: Option<String>,
}

impl Unreached {
    fn failed(grant: &Grant, reason: Reason, detail: impl fmt::Display) -> Self {
        let denial = Denial::new(grant.target().clone(), reason);
        Self {
            denial,
            detail: Some(detail.to_string()),
        }
    }
}

/// Connects to the target of a grant, by the route that the listener has for it, from one of the own
/// addresses `from` where there are any.
///
/// # Errors
/// When the name has no address, an address is not admitted, none can be connected, or no parent of
/// the route connects. What has a route through parents is never dialled directly.
pub async fn reach(
    shared: &Shared,
    active: &Active,
    grant: &Grant,
    wish: Wish,
    from: &[IpAddr],
) -> Result<Reached, Unreached> {
    match active.conduct.routes.take(grant.target()).1 {
        Via::Direct => directly(shared, active, grant, from).await,
        // Boxed: most tasks do not go this way and should not be its size.
        Via::Parents(parents) => {
            Box::pin(parents::through(
                shared,
                active,
                grant,
                (wish, from),
                parents,
            ))
            .await
        }
        Via::Nowhere => {
            let what = "the route for this host is closed";
            Err(Unreached::failed(grant, Reason::UpstreamFailed, what))
        }
    }
}

async fn directly(
    shared: &Shared,
    active: &Active,
    grant: &Grant,
    from: &[IpAddr],
) -> Result<Reached, Unreached> {
    let admitted = admitted(shared, active, grant).await?;
    let timer = shared.metrics.dial_seconds.start_timer();
    let dialed = shared.dialer.dial(&admitted, from).await;
    timer.observe_duration();
    let dialed = dialed.map_err(|error| {
        let reason = match error {
            DialError::TimedOut { .. } => Reason::TimedOut,
            DialError::Failed { .. } | DialError::Nothing => Reason::ConnectFailed,
        };
        Unreached::failed(grant, reason, error)
    })?;
    Ok(Reached {
        stream: dialed.stream,
        early: Bytes::new(),
        address: Some(dialed.address.ip()),
        route: shared.direct.clone(),
        form: Form::Origin,
    })
}

/// The addresses of the target, each of them admitted.
async fn admitted(
    shared: &Shared,
    active: &Active,
    grant: &Grant,
) -> Result<Vec<Admitted>, Unreached> {
    let answers: Arc<[IpAddr]> = match grant.target().host() {
        Host::Ip(address) => Arc::new([*address]),
        Host::Name(name) => {
            let timer = shared.metrics.resolve_seconds.start_timer();
            let outcome = shared.resolver.resolve(name).await;
            timer.observe_duration();
            outcome.map_err(|error| {
                let reason = match error {
                    ResolveError::TimedOut => Reason::TimedOut,
                    ResolveError::Failed(_) | ResolveError::Empty | ResolveError::Busy => {
                        Reason::ResolveFailed
                    }
                };
                Unreached::failed(grant, reason, error)
            })?
        }
    };
    active
        .policy
        .admit(grant, &answers, &shared.surroundings.load())
        .map_err(|denial| Unreached {
            denial,
            detail: None,
        })
}
