//! The whole loop on real directories, with outlets that keep what they were shown. The clock is
//! paused: a minute passes when there is nothing else to do.

use std::fs;
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
    next: AtomicU64,
}

impl Screen {
    fn new(name: &'static str, first: u64) -> Arc<Self> {
        Arc::new(Self {
            name,
            seen: Mutex::default(),
            withdrawn: Mutex::default(),
            failures: Mutex::default(),
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

    /// Runs a bridge until `during` has ended.
    async fn with_bridge<T>(&self, during: impl AsyncFnOnce(&Ends) -> T) -> T {
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
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let run = bridge.unwrap().run(async {
            // Whoever drops it wants the end, too.
            drop(stopped.await);
        });
        let during = async {
            let value = during(&ends).await;
            drop(stop);
            value
        };
        tokio::join!(run, during).1
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

fn click(id: &str, choice: &str) -> Feedback {
    Feedback::Answered(Answered {
        notice: NoticeId(id.into()),
        choice: choice.into(),
    })
}

#[tokio::test(start_paused = true)]
async fn what_was_written_before_is_shown_once_and_never_again() {
    let world = World::new();
    world.say("fix-42", "a", "before");
    world.with_bridge(async |_| world.shown(1).await).await;
    world.say("fix-42", "b", "between");
    world.with_bridge(async |_| world.shown(2).await).await;
    world.with_bridge(async |_| a_minute().await).await;
    assert_eq!(world.screen().texts(), ["before", "between"]);
}

#[tokio::test(start_paused = true)]
async fn new_tasks_are_found_and_their_names_come_from_the_path() {
    let world = World::new();
    world
        .with_bridge(async |_| {
            world.task("later");
            world.write(
                "later",
                "a",
                r#"{"v":1,"kind":"test","text":"fix-42: done"}"#,
            );
            world.shown(1).await;
        })
        .await;
    assert_eq!(world.screen().texts(), ["fix-42: done"]);
    let kept = crate::status::read(&directory(world.dir.path()))
        .unwrap()
        .unwrap();
    assert_eq!(kept.last[0].title.as_str(), "later: test");
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_ten_and_a_line_and_then_all_is_as_before() {
    let world = World::new();
    world.task("other");
    for number in 0..2000 {
        world.say("fix-42", &format!("n-{number:05}"), "noise");
    }
    world
        .with_bridge(async |_| {
            world.shown(11).await;
            world.say("other", "a", "signal");
            world.shown(12).await;
            a_minute().await;
            world.say("fix-42", "z", "again");
            world.shown(13).await;
        })
        .await;
    let texts = world.screen().texts();
    assert_eq!(texts.iter().filter(|text| *text == "noise").count(), 10);
    assert_eq!(
        texts[10..],
        ["and 1990 more from fix-42", "signal", "again"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_cannot_drown_what_agentnet_says_of_it() {
    let world = World::new();
    let own = world.dir.path().join("notify/out");
    fs::create_dir_all(&own).unwrap();
    for number in 0..50 {
        world.say("fix-42", &format!("n-{number:05}"), "noise");
    }
    world
        .with_bridge(async |_| {
            world.shown(11).await;
            let json = r#"{"v":1,"kind":"error","text":"out of memory","project":"shop","task":"fix-42","urgency":"critical"}"#;
            fs::write(own.join("oom.tmp"), json).unwrap();
            fs::rename(own.join("oom.tmp"), own.join("oom.json")).unwrap();
            world.shown(12).await;
        })
        .await;
    assert_eq!(world.screen().texts()[11], "out of memory");
    let kept = crate::status::read(&directory(world.dir.path()))
        .unwrap()
        .unwrap();
    assert_eq!(kept.last.back().unwrap().urgency, Urgency::Critical);
}

#[tokio::test(start_paused = true)]
async fn an_outlet_that_is_away_gets_everything_later_in_order_and_others_do_not_wait() {
    let mut world = World::new();
    world
        .screens
        .push((Screen::new("away", 1), Rule::default()));
    let away = Arc::clone(&world.screens[1].0);
    *away.failures.lock().unwrap() = vec![OutletError::Unavailable("no daemon".into()); 5];
    for name in ["a", "b", "c"] {
        world.say("fix-42", name, name);
    }
    world
        .with_bridge(async |_| {
            world.shown(3).await;
            eventually(|| away.texts().len() == 3).await;
        })
        .await;
    assert_eq!(away.texts(), ["a", "b", "c"]);
    assert_eq!(world.screen().texts(), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn what_perhaps_was_shown_is_not_tried_again() {
    let world = World::new();
    *world.screen().failures.lock().unwrap() = vec![OutletError::Unknown("hung".into())];
    world.say("fix-42", "a", "first");
    world.say("fix-42", "b", "second");
    world.with_bridge(async |_| a_minute().await).await;
    assert_eq!(world.screen().texts(), ["second"]);
}

#[tokio::test(start_paused = true)]
async fn an_open_notice_is_shown_again_in_its_place_by_the_next_bridge() {
    let world = World::new();
    world
        .with_bridge(async |ends| {
            ends.incoming
                .send(Incoming::Show(blocked("b")))
                .await
                .unwrap();
            world.shown(1).await;
        })
        .await;
    world
        .with_bridge(async |ends| {
            world.shown(2).await;
            ends.feedback
                .send(click("b", "never offered"))
                .await
                .unwrap();
            ends.feedback.send(click("b", "once")).await.unwrap();
            ends.feedback.send(click("b", "once")).await.unwrap();
            world.shown(3).await;
        })
        .await;
    world.with_bridge(async |_| a_minute().await).await;
    let place = Some(Handle(100));
    let seen = world.screen().seen.lock().unwrap().clone();
    let expected = [
        ("x.example", None),
        ("x.example", place),
        ("allowed", place),
    ];
    assert_eq!(seen, expected.map(|(text, at)| (text.to_owned(), at)));
    let asked = (Some("x.example:443".to_owned()), "once".to_owned());
    assert_eq!(*world.doer.0.lock().unwrap(), [asked]);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_begins_anew_is_shown_what_is_open_and_nothing_else() {
    let world = World::new();
    world.say("fix-42", "a", "plain");
    world
        .with_bridge(async |ends| {
            ends.incoming
                .send(Incoming::Show(blocked("b")))
                .await
                .unwrap();
            world.shown(2).await;
            ends.feedback
                .send(Feedback::Lost("screen".into()))
                .await
                .unwrap();
            world.shown(3).await;
            a_minute().await;
        })
        .await;
    let seen = world.screen().seen.lock().unwrap().clone();
    assert_eq!(seen[2], ("x.example".to_owned(), None));
    assert_eq!(seen.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_withdrawn_or_dismissed_is_not_open_any_more() {
    let world = World::new();
    world
        .with_bridge(async |ends| {
            for notice in [blocked("a"), blocked("b")] {
                ends.incoming.send(Incoming::Show(notice)).await.unwrap();
            }
            world.shown(2).await;
            let withdraw = Incoming::Withdraw(NoticeId("a".into()));
            ends.incoming.send(withdraw).await.unwrap();
            let dismissed = Feedback::Dismissed(NoticeId("b".into()));
            ends.feedback.send(dismissed).await.unwrap();
            eventually(|| !world.screen().withdrawn.lock().unwrap().is_empty()).await;
            for id in ["a", "b"] {
                ends.feedback.send(click(id, "once")).await.unwrap();
            }
            a_minute().await;
        })
        .await;
    world.with_bridge(async |_| a_minute().await).await;
    assert_eq!(world.screen().texts().len(), 2);
    assert!(world.doer.0.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_answered_in_time_is_taken_away() {
    let world = World::new();
    let mut late = blocked("late");
    let until = unix_now() + 1;
    late.until = Some(until);
    world
        .with_bridge(async |ends| {
            ends.incoming.send(Incoming::Show(late)).await.unwrap();
            world.shown(1).await;
        })
        .await;
    // The clock of the world, which no test can pause.
    while unix_now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    world.with_bridge(async |_| a_minute().await).await;
    assert_eq!(*world.screen().withdrawn.lock().unwrap(), [Handle(100)]);
    assert_eq!(world.screen().texts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_is_answered_into_the_tasks_own_directory() {
    let world = World::new();
    let json = r#"{"v":1,"kind":"clarification","text":"Which?","choices":["one","two"]}"#;
    world.write("fix-42", "q-1", json);
    world
        .with_bridge(async |ends| {
            world.shown(1).await;
            ends.feedback
                .send(click("shop/fix-42/q-1/0", "1"))
                .await
                .unwrap();
            world.shown(2).await;
        })
        .await;
    assert_eq!(world.screen().texts(), ["Which?", "answered: two"]);
    let answer = world.dir.path().join("tasks/shop/fix-42/spool/in/q-1.json");
    assert_eq!(
        fs::read_to_string(answer).unwrap(),
        r#"{"v":1,"choice":1,"text":"two"}"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_question_of_a_task_that_is_gone_is_taken_away() {
    let world = World::new();
    let json = r#"{"v":1,"kind":"clarification","text":"Which?","choices":["one","two"]}"#;
    world.write("fix-42", "q-1", json);
    world
        .with_bridge(async |_| {
            world.shown(1).await;
            fs::remove_dir_all(world.dir.path().join("tasks/shop/fix-42")).unwrap();
            eventually(|| !world.screen().withdrawn.lock().unwrap().is_empty()).await;
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn each_outlet_gets_what_it_wants() {
    let mut world = World::new();
    let errors = Rule {
        kinds: Some(vec![NoticeKind::Error]),
        ..Rule::default()
    };
    world.screens.push((Screen::new("errors", 1), errors));
    world.say("fix-42", "a", "chatter");
    world.write("fix-42", "b", r#"{"v":1,"kind":"error","text":"broken"}"#);
    world.with_bridge(async |_| world.shown(2).await).await;
    assert_eq!(world.screens[1].0.texts(), ["broken"]);
}

#[tokio::test(start_paused = true)]
async fn an_outlet_that_is_no_longer_configured_is_not_waited_for() {
    let mut world = World::new();
    *world.screen().failures.lock().unwrap() = vec![OutletError::Unavailable("x".into()); 50];
    world.say("fix-42", "a", "x");
    let out = world.dir.path().join("tasks/shop/fix-42/spool/out");
    world
        .with_bridge(async |_| eventually(|| fs::read_dir(&out).unwrap().count() == 0).await)
        .await;
    world.screens[0].0 = Screen::new("other", 1);
    world.with_bridge(async |_| a_minute().await).await;
    let (ledger, _) = Ledger::open(&directory(world.dir.path())).unwrap();
    assert_eq!((ledger.len(), world.screen().texts().len()), (0, 0));
}
