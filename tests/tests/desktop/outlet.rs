//! The outlet of the library, as the bridge holds it, and notices for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_e2e::bed;
use agentnet_e2e::desktop::{Session, Who};
use agentnet_notify::notice::{Choice, Notice, NoticeId, NoticeKind, TaskName};
use agentnet_notify::outlet::desktop::{Bus, Desktop};
use agentnet_notify::outlet::{Feedback, Handle, Outlet, OutletError};
use agentnet_notify::text;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A connected outlet and the bridge's end of it.
pub(crate) struct Shower {
    pub(crate) outlet: Arc<Desktop>,
    feedback: mpsc::Receiver<Feedback>,
    runtime: Runtime,
}

impl Shower {
    pub(crate) fn on(session: &Session) -> Self {
        let (sender, feedback) = mpsc::channel(16);
        let outlet = Arc::new(Desktop::new(Bus::At(session.address()), sender));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let running = Arc::clone(&outlet);
        runtime.spawn(async move { running.run().await });
        Self {
            outlet,
            feedback,
            runtime,
        }
    }

    pub(crate) fn try_show(
        &self,
        notice: &Notice,
        earlier: Option<Handle>,
    ) -> Result<Handle, OutletError> {
        let shown = self.runtime.block_on(self.outlet.show(notice, earlier));
        shown.map(|handle| handle.expect("the desktop has ids"))
    }

    /// As the bridge does: again while there is nobody.
    #[track_caller]
    pub(crate) fn show(&self, notice: &Notice, earlier: Option<Handle>) -> Handle {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.try_show(notice, earlier) {
                Ok(handle) => return handle,
                Err(OutletError::Unavailable(_)) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => panic!("not shown: {error}"),
            }
        }
    }

    pub(crate) fn withdraw(&self, notice: &Notice, handle: Handle) {
        self.runtime
            .block_on(self.outlet.withdraw(&notice.id, Some(handle)));
    }

    #[track_caller]
    pub(crate) fn feedback(&mut self) -> Feedback {
        let next = async { timeout(PATIENCE, self.feedback.recv()).await };
        let next = self.runtime.block_on(next).expect("feedback in time");
        next.expect("the outlet lives")
    }

    /// What has come so far.
    pub(crate) fn pending(&mut self) -> Option<Feedback> {
        self.feedback.try_recv().ok()
    }
}

pub(crate) fn notice(id: &str, kind: NoticeKind, body: &str) -> Notice {
    let task = TaskName {
        project: "shop".into(),
        task: "fix-42".into(),
    };
    Notice::new(NoticeId(id.into()), task, kind, body)
}

pub(crate) fn blocked(id: &str) -> Notice {
    let mut notice = notice(id, NoticeKind::Blocked, "wanted pypi.org:443");
    notice.about = Some("pypi.org:443".into());
    let buttons = [
        ("once", "Allow once"),
        ("task", "For this task"),
        ("deny", "Deny"),
    ];
    notice.choices = buttons.map(choice).into();
    notice
}

pub(crate) fn choice((key, label): (&str, &str)) -> Choice {
    Choice {
        key: key.into(),
        label: text::line(label, 40),
    }
}

/// Runs a test with every daemon there is.
pub(crate) fn with_each(test: impl Fn(Who, Session)) {
    for who in Who::ALL {
        match Session::start(who) {
            Ok(session) => test(who, session),
            Err(reason) => return bed::skip(&reason),
        }
    }
}
