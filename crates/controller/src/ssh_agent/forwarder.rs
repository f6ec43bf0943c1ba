//! Between a task's socket and the person's agent, for as long as the socket is there.
//!
//! The other end is the agent in the container, who may be hostile: few connections at a time, messages of a bounded size,
//! and a message that may not pass is answered and not passed on. Whether the socket is still there is asked before and
//! after everything that reaches the person's agent, so that what was withdrawn is withdrawn from that moment on.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::keys::Keys;
use super::message::{FAILURE, Request};
use crate::error::Result;
use crate::paths::{own_socket, remove_if_there};

/// The longest message either way, in bytes: OpenSSH's own limit.
const LONGEST: u32 = 256 << 10;
/// Connections at a time; more wait.
const MOST: usize = 8;
/// How often a forwarder looks whether its socket is still there.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long the person's agent may take: it may ask the person (`ssh-add -c`).
const PATIENCE: Duration = Duration::from_secs(120);

/// A bound socket.
#[derive(Debug)]
pub struct Forwarder {
    listener: UnixListener,
    place: PathBuf,
    /// Device and inode: another socket of the same name is not ours.
    identity: (u64, u64),
    agent: PathBuf,
    keys: Keys,
}

/// The device and inode of a socket.
fn identity(place: &Path) -> Option<(u64, u64)> {
    let meta = std::fs::symlink_metadata(place).ok()?;
    meta.file_type()
        .is_socket()
        .then(|| (meta.dev(), meta.ino()))
}

/// A message without its length; `None` at the end, and where it is longer than any may be.
async fn receive(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let length = from.read_u32().await.ok()?;
    if length == 0 || length > LONGEST {
        return None;
    }
    let mut message = Vec::new();
    from.take(u64::from(length))
        .read_to_end(&mut message)
        .await
        .ok()?;
    (message.len() == usize::try_from(length).ok()?).then_some(message)
}

async fn send(to: &mut UnixStream, message: &[u8]) -> Option<()> {
    let length = u32::try_from(message.len()).ok()?;
    let framed = [&length.to_be_bytes()[..], message].concat();
    to.write_all(&framed).await.ok()
}

impl Forwarder {
    /// Binds `place` for one user alone, between whom and `agent` it is.
    ///
    /// # Errors
    /// When it cannot be bound or given to the user.
    pub fn bind(place: &Path, owner: (u32, u32), agent: &Path, keys: Keys) -> Result<Forwarder> {
        remove_if_there(place)?;
        let listener = UnixListener::bind(place)?;
        own_socket(place, owner)?;
        let identity = identity(place)
            .ok_or_else(|| std::io::Error::other("the socket went away while it was made"))?;
        Ok(Forwarder {
            listener,
            place: place.to_owned(),
            identity,
            agent: agent.to_owned(),
            keys,
        })
    }

    /// Serves until the socket is gone.
    pub async fn serve(self) {
        let mut interval = tokio::time::interval(INTERVAL);
        let mut conversations = FuturesUnordered::new();
        while self.is_there() {
            tokio::select! {
                _ = interval.tick() => {}
                Some(()) = conversations.next() => {}
                accepted = self.listener.accept(), if conversations.len() < MOST => match accepted {
                    Ok((client, _)) => conversations.push(self.converse(client)),
                    // Out of descriptors, for one: it passes, or the socket goes.
                    Err(_) => { interval.tick().await; }
                },
            }
        }
    }

    fn is_there(&self) -> bool {
        identity(&self.place) == Some(self.identity)
    }

    async fn converse(&self, mut client: UnixStream) {
        loop {
            let Some(message) = receive(&mut client).await else {
                // The end, or a length that nothing honest has. Whoever waits for an answer gets it.
                send(&mut client, FAILURE).await;
                return;
            };
            let answer = tokio::time::timeout(PATIENCE, self.answer(&message)).await;
            let answer = answer.ok().flatten();
            if send(&mut client, answer.as_deref().unwrap_or(FAILURE))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    async fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let request = Request::parse(message).filter(|request| request.is_for(&self.keys))?;
        if !self.is_there() {
            return None;
        }
        // Anew each time: an agent may tie what it allows to a connection.
        let mut agent = UnixStream::connect(&self.agent).await.ok()?;
        send(&mut agent, &request.message()?).await?;
        let answer = request.answer(&receive(&mut agent).await?, &self.keys)?;
        self.is_there().then_some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITIES: &[u8] = &[
        12, 0, 0, 0, 1, 0, 0, 0, 3, b'k', b'e', b'y', 0, 0, 0, 1, b'c',
    ];
    const SHOWN: &[u8] = &[12, 0, 0, 0, 1, 0, 0, 0, 3, b'k', b'e', b'y', 0, 0, 0, 0];

    struct Bed {
        directory: tempfile::TempDir,
        asked: std::cell::RefCell<Vec<Vec<u8>>>,
    }

    impl Bed {
        fn new() -> Bed {
            Bed {
                directory: tempfile::tempdir().unwrap(),
                asked: std::cell::RefCell::new(Vec::new()),
            }
        }

        fn socket(&self) -> PathBuf {
            self.directory.path().join("agent.sock")
        }

        /// A person's agent that says the same to everything, and remembers what it was asked.
        async fn agent(&self, listener: UnixListener) {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let message = receive(&mut client).await.unwrap();
                self.asked.borrow_mut().push(message);
                send(&mut client, IDENTITIES).await.unwrap();
            }
        }

        /// Runs `client` beside a forwarder and an agent; what the agent was asked.
        async fn run(self, client: impl AsyncFnOnce(&Bed)) -> Vec<Vec<u8>> {
            let me = rustix::process::geteuid().as_raw();
            let me = (me, rustix::process::getegid().as_raw());
            let agent = self.directory.path().join("person.sock");
            let listener = UnixListener::bind(&agent).unwrap();
            let forwarder = Forwarder::bind(&self.socket(), me, &agent, Keys::All).unwrap();
            tokio::select! {
                () = self.agent(listener) => unreachable!(),
                ((), ()) = async { tokio::join!(forwarder.serve(), client(&self)) } => {}
            }
            self.asked.take()
        }

        async fn connect(&self) -> UnixStream {
            UnixStream::connect(self.socket()).await.unwrap()
        }

        fn withdraw(&self) {
            std::fs::remove_file(self.socket()).unwrap();
        }
    }

    async fn ask(client: &mut UnixStream, message: &[u8]) -> Option<Vec<u8>> {
        send(client, message).await?;
        receive(client).await
    }

    #[tokio::test]
    async fn passes_a_question_on_and_ends_with_its_socket() {
        let bed = Bed::new();
        let asked = bed
            .run(async |bed| {
                let mut client = bed.connect().await;
                assert_eq!(ask(&mut client, &[11]).await.unwrap(), SHOWN);
                // On the same connection again; after it was withdrawn never more.
                assert_eq!(ask(&mut client, &[11]).await.unwrap(), SHOWN);
                bed.withdraw();
                let after = ask(&mut client, &[11]).await;
                assert!(after.is_none_or(|answer| answer == FAILURE));
            })
            .await;
        assert_eq!(asked, [vec![11], vec![11]]);
    }

    #[tokio::test]
    async fn another_socket_in_its_place_is_not_its_own() {
        let bed = Bed::new();
        let asked = bed
            .run(async |bed| {
                let mut client = bed.connect().await;
                let other = bed.directory.path().join("other");
                let _listener = UnixListener::bind(&other).unwrap();
                std::fs::rename(&other, bed.socket()).unwrap();
                let after = ask(&mut client, &[11]).await;
                assert!(after.is_none_or(|answer| answer == FAILURE));
            })
            .await;
        assert!(asked.is_empty());
    }

    #[tokio::test]
    async fn a_hostile_client_is_refused_and_its_words_reach_nobody() {
        let bed = Bed::new();
        let asked = bed
            .run(async |bed| {
                let mut client = bed.connect().await;
                // add, remove all, lock, unlock, add from a card, constrained, an extension.
                for kind in [17, 19, 22, 23, 20, 25, 27] {
                    let answer = ask(&mut client, &[kind, 0, 0, 0, 1, b'x']).await;
                    assert_eq!(answer.as_deref(), Some(FAILURE), "{kind}");
                }
                // A length that nothing has, and none at all: an answer, and the end.
                for length in [LONGEST + 1, u32::MAX, 0] {
                    let mut client = bed.connect().await;
                    client.write_all(&length.to_be_bytes()).await.unwrap();
                    assert_eq!(receive(&mut client).await.as_deref(), Some(FAILURE));
                    assert_eq!(receive(&mut client).await, None, "{length}");
                }
                // The longest one is read to its end.
                let long = vec![13; LONGEST as usize];
                assert_eq!(ask(&mut client, &long).await.as_deref(), Some(FAILURE));
                // Connections that say nothing keep nobody out for ever: the next one comes when one goes.
                let mut idle = Vec::new();
                for _ in 0..MOST + 2 {
                    idle.push(bed.connect().await);
                }
                drop(idle);
                let mut next = bed.connect().await;
                assert_eq!(ask(&mut next, &[11]).await.unwrap(), SHOWN);
                bed.withdraw();
            })
            .await;
        assert_eq!(asked, [vec![11]]);
    }

    #[tokio::test]
    async fn no_agent_behind_it_is_a_failure_and_not_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("agent.sock");
        let me = rustix::process::geteuid().as_raw();
        let me = (me, rustix::process::getegid().as_raw());
        let nobody = directory.path().join("nobody");
        let forwarder = Forwarder::bind(&place, me, &nobody, Keys::All).unwrap();
        let client = async {
            let mut client = UnixStream::connect(&place).await.unwrap();
            for _ in 0..2 {
                assert_eq!(ask(&mut client, &[11]).await.as_deref(), Some(FAILURE));
            }
            std::fs::remove_file(&place).unwrap();
        };
        tokio::join!(forwarder.serve(), client);
    }
}
