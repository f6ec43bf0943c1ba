//! The name that an address says it has, remembered for a short while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use agentnet_policy::Host;
use tokio::time::Instant;

use super::{Found, ResolveError};

/// Answers by address; bounded.
#[derive(Debug, Default)]
pub(super) struct Reverse(Mutex<HashMap<IpAddr, (Found, Instant)>>);

impl Reverse {
    fn entries(&self) -> MutexGuard<'_, HashMap<IpAddr, (Found, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn known(&self, address: IpAddr) -> Option<Found> {
        let entries = self.entries();
        let (found, until) = entries.get(&address)?;
        (*until > Instant::now()).then(|| found.clone())
    }

    /// Remembers an answer until then, of `most` at once.
    pub(super) fn remember(&self, address: IpAddr, found: Found, until: Instant, most: usize) {
        let now = Instant::now();
        let mut entries = self.entries();
        if entries.len() >= most {
            entries.retain(|_, (_, until)| *until > now);
        }
        if entries.len() < most {
            entries.insert(address, (found, until));
        }
    }
}

/// What the system's resolver says; waits for it. The name is text that a stranger chose: what is no
/// name is none.
pub(super) fn ask_system(address: IpAddr) -> Found {
    use dns_lookup::LookupErrorKind as Kind;
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    let answer = dns_lookup::lookup_addr(&address);
    match answer {
        Ok(text) => match Host::parse(&text) {
            Ok(Host::Name(name)) => Ok(Some(name)),
            Ok(Host::Ip(_)) | Err(_) => Ok(None),
        },
        Err(error) if matches!(error.kind(), Kind::NoName | Kind::NoData) => Ok(None),
        Err(error) => Err(ResolveError::Failed(
            std::io::Error::from(error).to_string(),
        )),
    }
}
