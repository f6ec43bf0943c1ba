//! Clients that ask at a pace of their own, whatever the answers take.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Held by a test for as long as it needs the machine to itself.
pub static ALONE: Mutex<()> = Mutex::const_new(());

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    clients: JoinSet<()>,
    began: Instant,
}

/// What they did.
#[derive(Debug)]
pub struct Done {
    pub requests: u64,
    pub took: Duration,
}

impl Done {
    pub fn a_second(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }
}

impl Load {
    pub fn new() -> Self {
        Self {
            stop: Arc::default(),
            asked: Arc::default(),
            clients: JoinSet::new(),
            began: Instant::now(),
        }
    }

    /// Adds a client that asks once every `pace`; one that falls behind catches up. `ask` gets the
    /// client's state and gives it back; it panics where an answer is wrong.
    pub fn client<S, A, F>(&mut self, pace: Duration, mut state: S, ask: A)
    where
        S: Send + 'static,
        A: Fn(S) -> F + Send + 'static,
        F: Future<Output = S> + Send,
    {
        let (stop, asked) = (Arc::clone(&self.stop), Arc::clone(&self.asked));
        self.clients.spawn(async move {
            let mut clock = interval(pace);
            clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
            while !stop.load(Ordering::Relaxed) {
                clock.tick().await;
                state = ask(state).await;
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Lets every client finish its request. Panics with the first that met a wrong answer.
    pub async fn end(mut self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        Done {
            requests: self.asked(),
            took: self.began.elapsed(),
        }
    }
}
