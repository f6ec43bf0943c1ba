//! A notification daemon that can show a title and a text, and nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use tokio::sync::oneshot;
use zbus::object_server::SignalEmitter;
use zbus::{OwnedVariant, interface};

use super::Received;

/// The daemon, on a thread of its own. Its connection ends when this is dropped.
#[derive(Debug)]
pub struct Plain {
    seen: Arc<Mutex<Seen>>,
    address: String,
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    received: Vec<Received>,
    open: Vec<u32>,
    last: u32,
}

struct Service(Arc<Mutex<Seen>>);

#[interface(name = "org.freedesktop.Notifications")]
impl Service {
    fn get_capabilities(&self) -> Vec<&'static str> {
        vec!["body"]
    }

    fn get_server_information(&self) -> (&'static str, &'static str, &'static str, &'static str) {
        ("plain", "agentnet's tests", "1", "1.2")
    }

    #[expect(clippy::too_many_arguments, reason = "the specification's own")]
    fn notify(
        &self,
        application: String,
        replaces: u32,
        _icon: String,
        summary: String,
        body: String,
        actions: Vec<String>,
        hints: HashMap<String, OwnedVariant>,
        _expires: i32,
    ) -> u32 {
        let mut seen = self.0.lock().unwrap();
        let id = if seen.open.contains(&replaces) {
            replaces
        } else {
            seen.last += 1;
            seen.last
        };
        seen.open.retain(|open| *open != id);
        seen.open.push(id);
        let urgency = hints.get("urgency").and_then(|it| u8::try_from(it).ok());
        seen.received.push(Received {
            id,
            application,
            summary,
            drawn: body.clone(),
            body,
            urgency: match urgency {
                Some(0) => "LOW",
                Some(2) => "CRITICAL",
                _ => "NORMAL",
            }
            .to_owned(),
            actions: actions
                .chunks(2)
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect(),
        });
        id
    }

    async fn close_notification(
        &self,
        id: u32,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> zbus::fdo::Result<()> {
        self.0.lock().unwrap().open.retain(|open| *open != id);
        Self::notification_closed(&emitter, id, 3).await?;
        Ok(())
    }

    #[zbus(signal)]
    async fn notification_closed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        reason: u32,
    ) -> zbus::Result<()>;
}

const PATH: &str = "/org/freedesktop/Notifications";
const NAME: &str = "org.freedesktop.Notifications";

impl Plain {
    pub(super) fn start(address: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (end, ended) = oneshot::channel::<()>();
        let (ready, started) = mpsc::channel();
        let service = Service(Arc::clone(&seen));
        let bus: zbus::Address = address.parse().expect("an address");
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let connection = zbus::connection::Builder::address(bus)
                    .serve_at(PATH, service)
                    .name(NAME)
                    .build()
                    .await
                    .expect("a connection");
                ready.send(()).ok();
                ended.await.ok();
                connection.close().await.ok();
            });
        });
        started.recv().expect("the plain daemon on the bus");
        Self {
            seen,
            address: address.to_owned(),
            end: Some(end),
            thread: Some(thread),
        }
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.seen.lock().unwrap().received.clone()
    }

    pub(super) fn displayed(&self) -> usize {
        self.seen.lock().unwrap().open.len()
    }

    /// As a person would; here through the call that anybody may make.
    pub(super) fn close_all(&self) {
        let open = self.seen.lock().unwrap().open.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let bus: zbus::Address = self.address.parse().expect("an address");
            let connection = zbus::connection::Builder::address(bus).build().await;
            let connection = connection.expect("a connection");
            for id in open {
                connection
                    .call_method(Some(NAME), PATH, Some(NAME), "CloseNotification", &(id,))
                    .await
                    .expect("closed");
            }
        });
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
