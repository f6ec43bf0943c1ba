//! A resolver that remembers for a short while and asks for a name once at a time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentnet_policy::Name;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::reverse::Reverse;
use super::{Found, Resolve, ResolveError};
use crate::tasks::Tasks;

type Outcome = Result<Arc<[IpAddr]>, ResolveError>;

/// Bounds of a [`Resolver`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long one request waits for its answer.
    pub timeout: Duration,
    /// Lookups under way at once; each occupies a thread of the blocking pool until it ends.
    pub lookups: usize,
    /// Names remembered.
    pub names: usize,
    /// How long an answer is used. getaddrinfo gives no TTL, so this is short.
    pub positive: Duration,
    /// How long a failure is used.
    pub negative: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            lookups: 32,
            names: 1024,
            positive: Duration::from_secs(30),
            negative: Duration::from_secs(2),
        }
    }
}

#[derive(Debug)]
enum Entry {
    Known { outcome: Outcome, until: Instant },
    Asked(watch::Receiver<Option<Outcome>>),
}

/// A [`Resolve`] behind a bounded cache with single flight.
#[derive(Clone, Debug)]
pub struct Resolver {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    source: Arc<dyn Resolve>,
    limits: Limits,
    lookups: Arc<Semaphore>,
    entries: Mutex<HashMap<Name, Entry>>,
    reverse: Reverse,
    tasks: Tasks,
}

impl Resolver {
    /// Puts the cache before `source`; lookups run on `tasks`.
    #[must_use]
    pub fn new(source: Arc<dyn Resolve>, limits: Limits, tasks: Tasks) -> Self {
        let lookups = Arc::new(Semaphore::new(limits.lookups));
        let entries = Mutex::default();
        Self {
            inner: Arc::new(Inner {
                source,
                limits,
                lookups,
                entries,
                reverse: Reverse::default(),
                tasks,
            }),
        }
    }

    /// The addresses of `name`: at least one, at most [`super::MAX_ANSWERS`].
    ///
    /// # Errors
    /// When the resolver fails, has no address, takes longer than the limit or is overloaded.
    pub async fn resolve(&self, name: &Name) -> Outcome {
        let mut answer = match self.inner.ask(name) {
            Asked::Known(outcome) => return outcome,
            Asked::UnderWay(answer) => answer,
            Asked::Full => return Err(ResolveError::Busy),
        };
        let answered = timeout(self.inner.limits.timeout, answer.wait_for(Option::is_some)).await;
        match answered {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(ResolveError::Empty)),
            // The lookup's task ended without a word: it panicked, and was counted there.
            Ok(Err(_)) => Err(ResolveError::Failed("the lookup broke off".to_owned())),
            Err(_) => Err(ResolveError::TimedOut),
        }
    }
}

impl Resolver {
    /// The name that the holder of `address` gives it, if any. Nothing proves it: ask for the
    /// addresses of the name.
    ///
    /// # Errors
    /// When the resolver fails, takes longer than the limit or is overloaded.
    pub async fn name_of(&self, address: IpAddr) -> Found {
        if let Some(found) = self.inner.reverse.known(address) {
            return found;
        }
        let inner = Arc::clone(&self.inner);
        let (tell, answer) = tokio::sync::oneshot::channel();
        // A task of its own, as above: its permit is held until the thread is really free. Those that
        // wait for a permit are as many as there are connections, which have a limit.
        self.inner.tasks.spawn("reverse", async move {
            let found = match inner.lookups.acquire().await {
                Ok(_permit) => match inner.reverse.known(address) {
                    // Somebody asked the same while this one waited.
                    Some(found) => found,
                    None => inner.source.name_of(address).await,
                },
                Err(_) => Err(ResolveError::Busy),
            };
            let keep = match found {
                Ok(_) => inner.limits.positive,
                Err(_) => inner.limits.negative,
            };
            let (until, most) = (Instant::now() + keep, inner.limits.names);
            inner.reverse.remember(address, found.clone(), until, most);
            // Whoever asked may have given up.
            tell.send(found).ok();
        });
        match timeout(self.inner.limits.timeout, answer).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(ResolveError::Failed("the lookup broke off".to_owned())),
            Err(_) => Err(ResolveError::TimedOut),
        }
    }
}

enum Asked {
    Known(Outcome),
    UnderWay(watch::Receiver<Option<Outcome>>),
    Full,
}

impl Inner {
    fn entries(&self) -> MutexGuard<'_, HashMap<Name, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(self: &Arc<Self>, name: &Name) -> Asked {
        let now = Instant::now();
        let mut entries = self.entries();
        match entries.get(name) {
            Some(Entry::Known { outcome, until }) if *until > now => {
                return Asked::Known(outcome.clone());
            }
            Some(Entry::Asked(answer)) if answer.has_changed().is_ok() => {
                return Asked::UnderWay(answer.clone());
            }
            Some(Entry::Known { .. } | Entry::Asked(_)) | None => {}
        }
        if entries.len() >= self.limits.names && !make_room(&mut entries, now) {
            return Asked::Full;
        }
        let (tell, answer) = watch::channel(None);
        entries.insert(name.clone(), Entry::Asked(answer.clone()));
        drop(entries);
        // A task of its own: a lookup goes on when the request that began it gives up, and its
        // permit is held until the thread is really free.
        let (inner, name) = (Arc::clone(self), name.clone());
        self.tasks.spawn("resolve", async move {
            let outcome = inner.look_up(&name).await;
            let keep = match outcome {
                Ok(_) => inner.limits.positive,
                Err(_) => inner.limits.negative,
            };
            let until = Instant::now() + keep;
            inner.entries().insert(
                name,
                Entry::Known {
                    outcome: outcome.clone(),
                    until,
                },
            );
            tell.send_replace(Some(outcome));
        });
        Asked::UnderWay(answer)
    }

    async fn look_up(&self, name: &Name) -> Outcome {
        let Ok(_permit) = self.lookups.acquire().await else {
            return Err(ResolveError::Busy);
        };
        let mut answers = self.source.resolve(name.clone()).await?;
        answers.truncate(super::MAX_ANSWERS);
        if answers.is_empty() {
            Err(ResolveError::Empty)
        } else {
            Ok(answers.into())
        }
    }
}

/// Forgets what is stale, or else any one answer. False when every entry is a lookup under way.
fn make_room(entries: &mut HashMap<Name, Entry>, now: Instant) -> bool {
    let before = entries.len();
    entries.retain(|_, entry| match entry {
        Entry::Known { until, .. } => *until > now,
        Entry::Asked(answer) => answer.has_changed().is_ok(),
    });
    if entries.len() < before {
        return true;
    }
    let victim = entries.iter().find_map(|(name, entry)| match entry {
        Entry::Known { .. } => Some(name.clone()),
        Entry::Asked(_) => None,
    });
    victim.is_some_and(|name| entries.remove(&name).is_some())
}

#[cfg(test)]
mod tests;
