//! The one place where a name becomes addresses.
//!
//! A name comes here only after the policy has allowed it: a question for a denied name would itself
//! carry data out (THREATS W22). It is asked once per request; whoever gets the answer hands it to
//! `Policy::admit` and dials what was admitted, so nobody asks a second time.

mod cache;
mod hosts;
mod reverse;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use agentnet_policy::Name;

pub use self::cache::{Limits, Resolver};

/// Addresses of one name that are looked at; more than this is nobody's honest answer (W66).
pub const MAX_ANSWERS: usize = 32;

/// A boxed future, because `dyn Resolve` needs one.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, ResolveError>> + Send + 'a>>;

/// What a look-up backwards finds; `None`: the address has no name.
pub type Found = Result<Option<Name>, ResolveError>;

/// The same, boxed.
pub type Naming<'a> = Pin<Box<dyn Future<Output = Found> + Send + 'a>>;

/// Who knows the addresses of a name. The tests put a counting table in its place.
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// All addresses of `name`, asked as an absolute name: no search domain is ever tried (W26).
    fn resolve(&self, name: Name) -> Answer<'_>;

    /// The name that the holder of `address` gives it. Nothing proves it.
    fn name_of(&self, address: IpAddr) -> Naming<'_>;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The resolver says so.
    #[error("the name could not be resolved: {0}")]
    Failed(String),
    /// The resolver knows the name but no address of it.
    #[error("the name has no address")]
    Empty,
    /// No answer in time.
    #[error("no answer from the resolver in time")]
    TimedOut,
    /// Too many lookups are under way.
    #[error("too many lookups are under way")]
    Busy,
}

/// The system's resolver: `/etc/hosts` and the name servers of `/etc/resolv.conf`, by getaddrinfo.
#[derive(Debug, Default)]
pub struct SystemResolver {
    hosts: hosts::HostsFile,
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Answer<'_> {
        Box::pin(async move {
            // glibc compares `/etc/hosts` with the text it was given, so the absolute form that
            // keeps search domains out would also hide the file. The file is read here instead.
            let listed = self.hosts.lookup(name.as_str());
            if !listed.is_empty() {
                return Ok(listed);
            }
            let absolute = format!("{name}.");
            #[expect(clippy::disallowed_methods, reason = "this is the door")]
            let found = tokio::net::lookup_host((absolute.as_str(), 0)).await;
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.map_err(|error| ResolveError::Failed(plain(&error)))? {
                if !addresses.contains(&address.ip()) && addresses.len() < MAX_ANSWERS {
                    addresses.push(address.ip());
                }
            }
            if addresses.is_empty() {
                Err(ResolveError::Empty)
            } else {
                Ok(addresses)
            }
        })
    }

    fn name_of(&self, address: IpAddr) -> Naming<'_> {
        Box::pin(async move {
            let asked = tokio::task::spawn_blocking(move || reverse::ask_system(address));
            let broken = |_| Err(ResolveError::Failed("the lookup broke off".to_owned()));
            asked.await.unwrap_or_else(broken)
        })
    }
}

/// getaddrinfo's own words without the prefix that std puts before them.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ")
        .unwrap_or(&text)
        .to_owned()
}
