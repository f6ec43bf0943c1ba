use std::sync::atomic::{AtomicUsize, Ordering};

use agentnet_policy::Host;
use tokio::time::{advance, sleep};

use super::super::{Answer, Naming};
use super::*;

/// Answers after a second, and counts.
#[derive(Debug, Default)]
struct Slow {
    asked: AtomicUsize,
    at_once: AtomicUsize,
    most: AtomicUsize,
}

impl Resolve for Slow {
    fn resolve(&self, name: Name) -> Answer<'_> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            let text = name.as_str();
            sleep(Duration::from_secs(if text.starts_with("never") {
                1000
            } else {
                1
            }))
            .await;
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            if text.starts_with("bad") {
                return Err(ResolveError::Failed("no".to_owned()));
            }
            assert!(!text.starts_with("panic"), "as told");
            Ok((0..100).map(|last| IpAddr::from([9, 9, 9, last])).collect())
        })
    }

    fn name_of(&self, address: IpAddr) -> Naming<'_> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let last = address.to_string();
            sleep(Duration::from_secs(if last == "9.9.9.9" {
                1000
            } else {
                1
            }))
            .await;
            Ok((last != "9.9.9.8").then(|| name("a.example")))
        })
    }
}

fn resolver(limits: Limits) -> (Arc<Slow>, Resolver) {
    let slow = Arc::new(Slow::default());
    let tasks = Tasks::new(prometheus::IntCounter::new("p", "p").unwrap());
    (Arc::clone(&slow), Resolver::new(slow, limits, tasks))
}

fn name(text: &str) -> Name {
    Host::parse(text).unwrap().name().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn asks_once_for_many_who_ask_at_the_same_time() {
    let (slow, resolver) = resolver(Limits::default());
    let a = name("a.example");
    let all = futures_util::future::join_all((0..10).map(|_| resolver.resolve(&a))).await;
    assert!(
        all.iter()
            .all(|answer| answer.as_ref().unwrap().len() == super::super::MAX_ANSWERS)
    );
    assert_eq!(slow.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn remembers_answers_for_a_while_and_failures_for_less() {
    let (slow, resolver) = resolver(Limits::default());
    let (good, bad) = (name("a.example"), name("bad.example"));
    for _ in 0..3 {
        assert!(resolver.resolve(&good).await.is_ok());
        assert!(resolver.resolve(&bad).await.is_err());
    }
    assert_eq!(slow.asked.load(Ordering::SeqCst), 2);
    advance(Duration::from_secs(3)).await;
    assert!(resolver.resolve(&good).await.is_ok());
    assert!(resolver.resolve(&bad).await.is_err());
    assert_eq!(slow.asked.load(Ordering::SeqCst), 3);
    advance(Duration::from_secs(30)).await;
    assert!(resolver.resolve(&good).await.is_ok());
    assert_eq!(slow.asked.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn gives_up_after_the_limit_and_keeps_the_number_of_lookups_bounded() {
    let limits = Limits {
        lookups: 2,
        ..Limits::default()
    };
    let (slow, resolver) = resolver(limits);
    let since = Instant::now();
    let names: Vec<Name> = (0..9)
        .map(|number| name(&format!("never{number}.example")))
        .collect();
    let all = futures_util::future::join_all(names.iter().map(|name| resolver.resolve(name))).await;
    assert!(
        all.iter()
            .all(|answer| *answer == Err(ResolveError::TimedOut))
    );
    assert_eq!(since.elapsed().as_secs(), 5);
    assert_eq!(slow.most.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn forgets_old_names_rather_than_grow() {
    let limits = Limits {
        names: 4,
        ..Limits::default()
    };
    let (_, resolver) = resolver(limits);
    for number in 0..20 {
        assert!(
            resolver
                .resolve(&name(&format!("n{number}.example")))
                .await
                .is_ok()
        );
        assert!(resolver.inner.entries().len() <= 4);
    }
    let stuck: Vec<Name> = (0..5)
        .map(|number| name(&format!("never{number}.example")))
        .collect();
    let asks = stuck.iter().map(|name| resolver.resolve(name));
    let all = futures_util::future::join_all(asks).await;
    assert!(all.contains(&Err(ResolveError::Busy)), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn survives_a_source_that_panics() {
    let (slow, resolver) = resolver(Limits::default());
    let broken = name("panic.example");
    assert!(matches!(
        resolver.resolve(&broken).await,
        Err(ResolveError::Failed(_))
    ));
    assert!(matches!(
        resolver.resolve(&broken).await,
        Err(ResolveError::Failed(_))
    ));
    assert_eq!(
        slow.asked.load(Ordering::SeqCst),
        2,
        "nothing is remembered of it"
    );
}

#[tokio::test(start_paused = true)]
async fn remembers_the_name_of_an_address_and_that_it_has_none() {
    let (slow, resolver) = resolver(Limits::default());
    let address = |last| IpAddr::from([9, 9, 9, last]);
    for _ in 0..3 {
        let named = resolver.name_of(address(1)).await.unwrap();
        assert_eq!(named.unwrap().as_str(), "a.example");
        assert_eq!(resolver.name_of(address(8)).await, Ok(None));
    }
    assert_eq!(slow.asked.load(Ordering::SeqCst), 2);
    advance(Duration::from_secs(31)).await;
    resolver.name_of(address(1)).await.unwrap();
    assert_eq!(slow.asked.load(Ordering::SeqCst), 3);
    let never = resolver.name_of(address(9)).await;
    assert_eq!(never, Err(ResolveError::TimedOut));
}
