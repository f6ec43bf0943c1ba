//! The whole loop on real directories, with outlets that keep what they were shown. The clock is
//! paused: a minute passes when there is nothing else to do.

mod clicks;
mod showing;

use std::fs;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;

use super::*;
use crate::notice::{Choice, Notice, TaskName, Urgency};
use crate::outlet::{Answered, FeedbackSender, Handle, Outlet, OutletError};
use crate::rule::Rule;
use crate::text;

/// What an outlet was asked: the text, and in whose place.
type Seen = (String, Option<Handle>);

/// Keeps what it is shown; fails as often as it is told to.
struct Screen {
    name: &'static str,
    seen: Mutex<Vec<Seen>>,
    withdrawn: Mutex<Vec<Handle>>,
    failures: Mutex<Vec<OutletError>>,
    /// A text that is never shown.
    poison: Mutex<Option<&'static str>>,
    next: AtomicU64,
}

impl Screen {
    fn new(name: &'static str, first: u64) -> Arc<Self> {
        Arc::new(Self {
            name,
            seen: Mutex::default(),
            withdrawn: Mutex::default(),
            failures: Mutex::default(),
            poison: Mutex::default(),
            next: AtomicU64::new(first),
        })
    }

    fn texts(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(text, _)| text.clone()).collect()
    }
}

impl Outlet for Screen {
    fn name(&self) -> &str {
        self.name
    }

    fn takes_clicks(&self) -> bool {
        self.name == "screen"
    }

    fn show<'a>(
        &'a self,
        notice: &'a Notice,
        earlier: Option<Handle>,
    ) -> BoxFuture<'a, Result<Option<Handle>, OutletError>> {
        Box::pin(async move {
            if let Some(failure) = self.failures.lock().unwrap().pop() {
                return Err(failure);
            }
            let text = notice.body.as_str().to_owned();
            if *self.poison.lock().unwrap() == Some(text.as_str()) {
                return Err(OutletError::Unavailable("500".into()));
            }
            self.seen.lock().unwrap().push((text, earlier));
            let new = || Handle(self.next.fetch_add(1, Ordering::Relaxed));
            Ok(Some(earlier.unwrap_or_else(new)))
        })
    }

    fn withdraw<'a>(&'a self, _: &'a NoticeId, handle: Option<Handle>) -> BoxFuture<'a, ()> {
        self.withdrawn.lock().unwrap().extend(handle);
        Box::pin(async {})
    }
}

/// Remembers what it was asked to do.
#[derive(Default)]
struct Doer(Mutex<Vec<(Option<String>, String)>>);

impl Answerer for Doer {
    fn answer<'a>(
        &'a self,
        notice: &'a Notice,
        choice: &'a str,
    ) -> BoxFuture<'a, Result<String, String>> {
        let asked = (notice.about.clone(), choice.to_owned());
        self.0.lock().unwrap().push(asked);
        Box::pin(async { Ok("allowed".to_owned()) })
    }
}

/// A state directory, and the bridges on it, one after the other.
struct World {
    dir: tempfile::TempDir,
    screens: Vec<(Arc<Screen>, Rule)>,
    doer: Arc<Doer>,
}

/// The ends of a bridge that runs.
struct Ends {
    feedback: FeedbackSender,
    incoming: mpsc::Sender<Incoming>,
}

impl Ends {
    /// A source tells of this.
    async fn tells(&self, notice: Box<Notice>) {
        self.incoming.send(Incoming::Show(notice)).await.unwrap();
    }

    /// A person clicks.
    async fn clicks(&self, id: &str, choice: &str) {
        self.says(Feedback::Answered(Answered {
            notice: NoticeId(id.into()),
            choice: choice.into(),
        }))
        .await;
    }

    /// An outlet says something.
    async fn says(&self, feedback: Feedback) {
        self.feedback.send(feedback).await.unwrap();
    }
}

fn task(name: &str) -> TaskName {
    TaskName::new("shop", name).unwrap()
}

impl World {
    fn new() -> Self {
        let world = Self {
            dir: tempfile::tempdir().unwrap(),
            screens: vec![(Screen::new("screen", 100), Rule::default())],
            doer: Arc::default(),
        };
        world.task("fix-42");
        world
    }

    fn task(&self, name: &str) {
        let spool = self.dir.path().join("tasks/shop").join(name).join("spool");
        fs::create_dir_all(spool.join("out")).unwrap();
        fs::create_dir_all(spool.join("in")).unwrap();
    }

    fn write(&self, task: &str, name: &str, json: &str) {
        let out = self
            .dir
            .path()
            .join("tasks/shop")
            .join(task)
            .join("spool/out");
        fs::write(out.join(format!("{name}.tmp")), json).unwrap();
        fs::rename(
            out.join(format!("{name}.tmp")),
            out.join(format!("{name}.json")),
        )
        .unwrap();
    }

    fn say(&self, task: &str, name: &str, text: &str) {
        let json = format!(r#"{{"v":1,"kind":"info","text":"{text}"}}"#);
        self.write(task, name, &json);
    }

    fn screen(&self) -> &Screen {
        &self.screens[0].0
    }

    /// A bridge that does not run yet.
    fn bridge(&self) -> (Bridge, Ends) {
        let (feedback_sender, feedback) = mpsc::channel(8);
        let (incoming_sender, incoming) = mpsc::channel(8);
        let mounted = self.screens.iter().map(|(outlet, rule)| Mounted {
            outlet: Arc::clone(outlet) as Arc<dyn Outlet>,
            rule: rule.clone(),
        });
        let doer: Arc<dyn Answerer> = Arc::clone(&self.doer) as Arc<dyn Answerer>;
        let bridge = Bridge::start(Setup {
            state_dir: self.dir.path().to_owned(),
            mounted: mounted.collect(),
            a_minute: 10,
            answerers: BTreeMap::from([(NoticeKind::Blocked, doer)]),
            incoming,
            feedback,
        });
        let ends = Ends {
            feedback: feedback_sender,
            incoming: incoming_sender,
        };
        (bridge.unwrap(), ends)
    }

    /// Runs a bridge until `during` has ended.
    async fn with_bridge<T>(&self, during: impl AsyncFnOnce(&Ends) -> T) -> T {
        let (bridge, ends) = self.bridge();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let run = bridge.run(async {
            // Whoever drops it wants the end, too.
            drop(stopped.await);
        });
        let during = async {
            let value = during(&ends).await;
            drop(stop);
            value
        };
        let (ended, value) = tokio::join!(run, during);
        ended.unwrap();
        value
    }

    /// Until the screen has shown so many.
    async fn shown(&self, count: usize) {
        eventually(|| self.screen().seen.lock().unwrap().len() >= count).await;
    }
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not happen");
}

/// Long enough for everything that comes by itself.
async fn a_minute() {
    tokio::time::sleep(Duration::from_secs(61)).await;
}

fn blocked(id: &str) -> Box<Notice> {
    let mut notice = Notice::new(
        NoticeId(id.into()),
        task("fix-42"),
        NoticeKind::Blocked,
        "x.example",
    );
    notice.about = Some("x.example:443".into());
    notice.choices.push(Choice {
        key: "once".into(),
        label: text::line("Allow once", 40),
    });
    Box::new(notice)
}
