//! Notification daemons that behave badly: too late, too loud, and with ids that mean nothing.

use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use agentnet_e2e::bed;
use agentnet_e2e::desktop::{Session, Who};
use agentnet_notify::notice::NoticeId;
use agentnet_notify::outlet::{Answered, Feedback, Handle, OutletError};
use tokio::sync::oneshot;
use zbus::object_server::SignalEmitter;
use zbus::{OwnedVariant, interface};

use crate::outlet::{Shower, blocked};

const PATH: &str = "/org/freedesktop/Notifications";
const NAME: &str = "org.freedesktop.Notifications";

/// Signals for ids that nobody was given, while somebody waits for an answer: more than any queue holds.
const STORM: u32 = 5000;

#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Answers after this time, and clicks on the first button then.
    Late(Duration),
    /// Shouts before it answers, and says of its own notification that it was clicked before anybody has its id.
    Loud,
    /// Has one id for everything, and clicks on it when two notices have it.
    OneId(u32),
}

struct Service {
    manner: Manner,
    calls: u32,
}

#[interface(name = "org.freedesktop.Notifications")]
impl Service {
    fn get_capabilities(&self) -> Vec<&'static str> {
        vec!["body", "actions"]
    }

    fn get_server_information(&self) -> (&'static str, &'static str, &'static str, &'static str) {
        ("rude", "agentnet's tests", "1", "1.2")
    }

    #[expect(clippy::too_many_arguments, reason = "the specification's own")]
    async fn notify(
        &mut self,
        _application: String,
        _replaces: u32,
        _icon: String,
        _summary: String,
        _body: String,
        actions: Vec<String>,
        _hints: HashMap<String, OwnedVariant>,
        _expires: i32,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> u32 {
        self.calls += 1;
        let id = self.calls;
        let first = actions.first().cloned().unwrap_or_default();
        match self.manner {
            Manner::Late(time) => {
                tokio::time::sleep(time).await;
                Self::action_invoked(&emitter, id, &first).await.unwrap();
                id
            }
            Manner::Loud => {
                for other in 1000..1000 + STORM {
                    Self::notification_closed(&emitter, other, 2).await.unwrap();
                    Self::action_invoked(&emitter, other, &first).await.unwrap();
                }
                Self::action_invoked(&emitter, id, &first).await.unwrap();
                id
            }
            Manner::OneId(id) => {
                if self.calls > 2 {
                    Self::action_invoked(&emitter, id, &first).await.unwrap();
                }
                id
            }
        }
    }

    fn close_notification(&self, _id: u32) {}

    #[zbus(signal)]
    async fn notification_closed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        reason: u32,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn action_invoked(emitter: &SignalEmitter<'_>, id: u32, key: &str) -> zbus::Result<()>;
}

/// A daemon on a thread of its own, until this is dropped.
struct Rude {
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Rude {
    fn start(session: &Session, manner: Manner) -> Self {
        let (end, ended) = oneshot::channel::<()>();
        let (ready, started) = mpsc::channel();
        let bus: zbus::Address = session.address().parse().unwrap();
        let service = Service { manner, calls: 0 };
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let connection = zbus::connection::Builder::address(bus)
                    .serve_at(PATH, service)
                    .name(NAME)
                    .build()
                    .await
                    .unwrap();
                ready.send(()).ok();
                ended.await.ok();
                connection.close().await.ok();
            });
        });
        started.recv().expect("the daemon on the bus");
        Self {
            end: Some(end),
            thread: Some(thread),
        }
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn with(manner: Manner, test: impl FnOnce(Shower)) {
    let mut session = match Session::empty(Who::Plain) {
        Ok(session) => session,
        Err(reason) => return bed::skip(&reason),
    };
    session.start_bus();
    let _rude = Rude::start(&session, manner);
    test(Shower::on(&session));
}

fn once(notice: &str) -> Feedback {
    Feedback::Answered(Answered {
        notice: NoticeId(notice.into()),
        choice: "once".into(),
    })
}

/// The next thing of a notice: that a daemon was there first is none.
fn next(shower: &mut Shower) -> Feedback {
    loop {
        let said = shower.feedback();
        if !matches!(said, Feedback::Lost(_)) {
            return said;
        }
    }
}

#[test]
fn what_a_daemon_shows_too_late_can_be_clicked_all_the_same() {
    with(Manner::Late(Duration::from_millis(3500)), |mut shower| {
        let error = shower.try_show(&blocked("a"), None).unwrap_err();
        assert!(
            matches!(&error, OutletError::Unknown(why) if why.contains("did not answer")),
            "{error:?}"
        );
        let said = [next(&mut shower), next(&mut shower)];
        assert!(said.contains(&once("a")), "{said:?}");
        let placed = said
            .iter()
            .any(|said| matches!(said, Feedback::Placed { outlet, .. } if outlet == "desktop"));
        assert!(placed, "{said:?}");
    });
}

#[test]
fn a_storm_of_signals_for_ids_that_nobody_has_holds_nothing_up_and_hides_no_click() {
    with(Manner::Loud, |mut shower| {
        for id in ["a", "b"] {
            shower.show(&blocked(id), None);
            assert_eq!(next(&mut shower), once(id));
        }
        assert_eq!(shower.pending(), None);
    });
}

#[test]
fn a_daemon_with_one_id_for_everything_cannot_make_a_click_an_answer_to_another() {
    for id in [0, 7, u32::MAX] {
        with(Manner::OneId(id), |mut shower| {
            let places: Vec<Handle> = ["a", "b", "c"]
                .map(|notice| shower.show(&blocked(notice), None))
                .into();
            assert_eq!(places.first(), places.last());
            assert_eq!(shower.pending(), None, "{id}");
        });
    }
}
