//! From a grant to a connected socket: resolve once, admit every answer, dial what was admitted.

use std::net::IpAddr;
use std::sync::Arc;

use agentnet_policy::{Denial, Grant, Host, Reason};

use crate::active::Active;
use crate::dial::{DialError, Dialed};
use crate::listener::Shared;
use crate::resolve::ResolveError;

/// Why a granted target was not reached.
#[derive(Debug)]
pub struct Unreached {
    /// The refusal or failure.
    pub denial: Denial,
    /// What the resolver or the system said.
    pub detail: Option<String>,
}

impl Unreached {
    fn failed(grant: &Grant, reason: Reason, detail: impl ToString) -> Self {
        let denial = Denial::new(grant.target().clone(), reason);
        Self {
            denial,
            detail: Some(detail.to_string()),
        }
    }
}

/// Connects to the target of a grant.
///
/// # Errors
/// When the name has no address, an address is not admitted, or none can be connected.
pub async fn reach(shared: &Shared, active: &Active, grant: &Grant) -> Result<Dialed, Unreached> {
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
    let admitted = active
        .policy
        .admit(grant, &answers, &shared.surroundings.load())
        .map_err(|denial| Unreached {
            denial,
            detail: None,
        })?;
    let timer = shared.metrics.dial_seconds.start_timer();
    let dialed = shared.dialer.dial(&admitted).await;
    timer.observe_duration();
    dialed.map_err(|error| {
        let reason = match error {
            DialError::TimedOut { .. } => Reason::TimedOut,
            DialError::Failed { .. } | DialError::Nothing => Reason::ConnectFailed,
        };
        Unreached::failed(grant, reason, error)
    })
}
