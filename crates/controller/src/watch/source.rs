//! Follows the tasks of a state directory and tells what happens: who is there, how they are, what
//! their proxies decide.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use jiff::Timestamp;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::Message;
use crate::decisions::follow;
use crate::engine::{Engine, EngineError, Running};
use crate::error::Result;
use crate::labels::Role;
use crate::output::printable;
use crate::record::Record;
use crate::stats::{Before, Stats, word};
use crate::task::TaskId;

/// How often the state directory is looked at.
const ROSTER: Duration = Duration::from_secs(1);
/// Least time between two rounds of figures; a round never takes more than a fifth of the time.
const FIGURES: Duration = Duration::from_secs(2);
/// Time until a proxy that was lost is looked for again.
const AGAIN: Duration = Duration::from_secs(1);
/// Tasks that are asked for figures at once.
const AT_ONCE: usize = 8;

/// What the source asks of its surroundings.
pub trait Surroundings: Send + Sync + 'static {
    /// An engine.
    type Engine: Engine;
    /// The records of the tasks that are watched, in order.
    fn records(&self) -> Result<Vec<Record>>;
    /// The engine of a task.
    fn engine_of(&self, record: &Record) -> Result<Self::Engine>;
}

/// What a follower follows: a task that is brought up anew has another.
type Followed = (TaskId, Timestamp);

/// Tells everything to `sender` until it is closed. `history`: earlier decisions of each task that
/// are told first.
pub async fn run<S: Surroundings>(
    surroundings: Arc<S>,
    history: u32,
    figures: bool,
    tracker: TaskTracker,
    sender: Sender<Message>,
) {
    let mut followers: HashMap<Followed, DropGuard> = HashMap::new();
    if figures {
        let (surroundings, sender) = (Arc::clone(&surroundings), sender.clone());
        tracker.spawn(async move {
            let closed = sender.clone();
            tokio::select! {
                () = closed.closed() => {}
                () = tell_figures(&*surroundings, &sender) => {}
            }
        });
    }
    loop {
        // A state directory that cannot be read for a moment changes nothing.
        if let Ok(records) = surroundings.records() {
            let wanted = |followed: &Followed| {
                let mut up = records.iter().filter(|record| record.phase.is_up());
                up.any(|record| key(record) == *followed)
            };
            followers.retain(|followed, _| wanted(followed));
            let new: Vec<_> = records
                .iter()
                .filter(|record| record.phase.is_up() && !followers.contains_key(&key(record)))
                .cloned()
                .collect();
            if sender.send(Message::Tasks(records)).await.is_err() {
                return;
            }
            for record in new {
                let token = CancellationToken::new();
                followers.insert(key(&record), token.clone().drop_guard());
                let (surroundings, sender) = (Arc::clone(&surroundings), sender.clone());
                tracker.spawn(async move {
                    tokio::select! {
                        () = token.cancelled() => {}
                        () = follow_task(&*surroundings, &record, history, &sender) => {}
                    }
                });
            }
        }
        tokio::select! {
            () = sender.closed() => return,
            () = sleep(ROSTER) => {}
        }
    }
}

fn key(record: &Record) -> Followed {
    (record.task.clone(), record.since)
}

/// Follows one task's proxy, and again when it was lost, until nobody listens.
async fn follow_task<S: Surroundings>(
    surroundings: &S,
    record: &Record,
    history: u32,
    sender: &Sender<Message>,
) {
    let id = &record.task;
    let Some(proxy) = record.container(Role::Proxy) else {
        return;
    };
    // A log that is opened again begins with what was told already.
    let mut newest = Timestamp::MIN;
    let mut first = true;
    while !sender.is_closed() {
        // What happened while it was lost.
        let lines = if first { history } else { history.max(500) };
        let lost = match surroundings.engine_of(record) {
            Ok(engine) => match engine.inspect_container(proxy).await {
                Ok(state) if state.running == Running::Running => {
                    sender.send(Message::Followed(id.clone())).await.ok();
                    first = false;
                    let told = newest;
                    let ended = follow(&engine, proxy, lines, |event| {
                        let is_new = event.time > told;
                        newest = newest.max(event.time);
                        let message = Message::Event(id.clone(), Box::new(event));
                        async move {
                            if is_new {
                                // The loop sees that nobody listens.
                                sender.send(message).await.ok();
                            }
                        }
                    });
                    match ended.await {
                        Ok(()) => "its proxy ended".to_owned(),
                        Err(e) => e.to_string(),
                    }
                }
                Ok(state) => format!("its proxy is {}", word(&state.running)),
                Err(EngineError::NotFound(_)) => "its proxy is gone".to_owned(),
                Err(e) => e.to_string(),
            },
            Err(e) => e.to_string(),
        };
        let message = Message::Lost(id.clone(), printable(&lost));
        sender.send(message).await.ok();
        sleep(AGAIN).await;
    }
}

/// Asks all tasks how they are, round after round.
async fn tell_figures<S: Surroundings>(surroundings: &S, sender: &Sender<Message>) {
    let mut before: HashMap<TaskId, Before> = HashMap::new();
    loop {
        let begun = Instant::now();
        let records = surroundings.records().unwrap_or_default();
        let asked = records.into_iter().map(|record| {
            let mut figures = before.remove(&record.task).unwrap_or_default();
            async move {
                let now = Timestamp::now();
                let stats = match surroundings.engine_of(&record) {
                    Ok(engine) => Stats::gather(&engine, &record, &mut figures, now).await,
                    Err(e) => Stats::resting(&record, now, printable(&e.to_string())),
                };
                (record.task, figures, stats)
            }
        });
        let asked: Vec<_> = asked.collect();
        let mut told = iter(asked).buffer_unordered(AT_ONCE);
        let mut next = HashMap::new();
        while let Some((id, figures, stats)) = told.next().await {
            next.insert(id.clone(), figures);
            sender.send(Message::Stats(id, Box::new(stats))).await.ok();
        }
        before = next;
        sleep(FIGURES.max(begun.elapsed() * 4)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decisions::made::denied;
    use crate::engine::fake::FakeEngine;
    use crate::record::{Phase, made};
    use std::sync::Mutex;
    use tokio::sync::mpsc::{Receiver, channel};

    /// Tasks that the test brings up and down, on an engine in memory.
    struct Stage {
        records: Mutex<Vec<Record>>,
        engine: Mutex<FakeEngine>,
    }

    /// The one fake engine, shared.
    struct Surrounded(Arc<Stage>);

    impl Surroundings for Surrounded {
        type Engine = FakeEngine;

        fn records(&self) -> Result<Vec<Record>> {
            Ok(self.0.records.lock().unwrap().clone())
        }

        fn engine_of(&self, _: &Record) -> Result<FakeEngine> {
            let fresh = FakeEngine::new(FakeEngine::docker28());
            Ok(std::mem::replace(
                &mut *self.0.engine.lock().unwrap(),
                fresh,
            ))
        }
    }

    fn proxy_with(hosts: &[(&str, i64)]) -> FakeEngine {
        let engine = FakeEngine::new(FakeEngine::docker28());
        let proxy = made().task.resource(Role::Proxy);
        engine.add_running(&proxy);
        let lines: Vec<_> = hosts
            .iter()
            .map(|(host, second)| {
                format!(
                    "{}\n",
                    serde_json::to_string(&denied(host, *second)).unwrap()
                )
            })
            .collect();
        engine.prints(&proxy, &lines.concat());
        engine
    }

    async fn next_event(receiver: &mut Receiver<Message>) -> String {
        loop {
            if let Message::Event(_, event) = receiver.recv().await.unwrap() {
                return event.host.to_string();
            }
        }
    }

    async fn next_loss(receiver: &mut Receiver<Message>) -> String {
        loop {
            if let Message::Lost(_, why) = receiver.recv().await.unwrap() {
                return why;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_is_started_again_is_followed_on_without_telling_twice() {
        let stage = Arc::new(Stage {
            records: Mutex::new(vec![made()]),
            engine: Mutex::new(proxy_with(&[("a.example", 1), ("b.example", 2)])),
        });
        let (sender, mut receiver) = channel(16);
        let tracker = TaskTracker::new();
        let source = run(
            Arc::new(Surrounded(Arc::clone(&stage))),
            100,
            false,
            tracker.clone(),
            sender,
        );
        tracker.spawn(source);
        assert_eq!(next_event(&mut receiver).await, "a.example");
        assert_eq!(next_event(&mut receiver).await, "b.example");
        assert_eq!(next_loss(&mut receiver).await, "its proxy ended");
        assert_eq!(next_loss(&mut receiver).await, "its proxy is gone");
        *stage.engine.lock().unwrap() = proxy_with(&[("b.example", 2), ("c.example", 3)]);
        assert_eq!(next_event(&mut receiver).await, "c.example");
        drop(receiver);
        tracker.close();
        // Nobody listens: everything ends by itself.
        tracker.wait().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_goes_down_is_followed_no_more_and_one_that_comes_up_is() {
        let down = Record {
            phase: Phase::Down,
            ..made()
        };
        let stage = Arc::new(Stage {
            records: Mutex::new(vec![down.clone()]),
            engine: Mutex::new(proxy_with(&[("a.example", 1)])),
        });
        let (sender, mut receiver) = channel(16);
        let tracker = TaskTracker::new();
        let source = run(
            Arc::new(Surrounded(Arc::clone(&stage))),
            100,
            false,
            tracker.clone(),
            sender,
        );
        tracker.spawn(source);
        let Some(Message::Tasks(records)) = receiver.recv().await else {
            panic!("first who is there")
        };
        assert_eq!(records, std::slice::from_ref(&down));
        *stage.records.lock().unwrap() = vec![made()];
        assert_eq!(next_event(&mut receiver).await, "a.example");
        *stage.records.lock().unwrap() = vec![down];
        // The last word of a follower may be on its way; then there is only the roster.
        let mut quiet = 0;
        while quiet < 5 {
            match receiver.recv().await.unwrap() {
                Message::Tasks(_) => quiet += 1,
                Message::Lost(..) if quiet < 3 => {}
                other @ (Message::Event(..)
                | Message::Stats(..)
                | Message::Followed(_)
                | Message::Lost(..)) => panic!("{other:?}"),
            }
        }
    }
}
