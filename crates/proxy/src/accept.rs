//! The accept loop of one door.
//!
//! A connection is served only with a permit in hand. When none comes free within a second the
//! client is told so and counted; meanwhile the rest waits in the kernel's backlog. Running out of
//! descriptors is waited out, never fatal and never a busy loop (THREATS W115).

use std::io;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::bind::{Arrival, Door, Others};
use crate::connection;
use crate::diagnostic;
use crate::listener::{Listener, Purpose, Session};
use crate::metrics::Rejection;
use crate::raw_doors::{self, Book};
use crate::settings::TransparentKind;
use crate::transparent;
use crate::words;

/// How long an accepted connection waits for a permit.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a client reads when the limit is reached; the words are those of the reason.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 too_many_connections: this task has too many connections open\r\n\
    X-Agentnet-Reason: too_many_connections\r\n\
    Proxy-Status: agentnet; error=connection_limit_reached; details=\"too_many_connections\"\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// How long a queue must be empty before its socket is closed: connections that have begun elsewhere
/// take a moment to arrive in it.
const QUIET: Duration = Duration::from_millis(5);

/// The same where another process goes on listening beside us: a handshake that has begun here ends here.
const QUIET_BESIDE: Duration = Duration::from_millis(50);

/// How long that takes at most.
const LEAVING: Duration = Duration::from_secs(1);

/// Accepts until the drain begins, and then what had come before it: closing a listening socket
/// resets what waits in its queue.
/// `way` is what its clients take us for.
pub async fn run(door: Door, way: Way, listener: Arc<Listener>, permits: Arc<Semaphore>) {
    let drain = listener.shared.tasks.drain().clone();
    let mut entrance = Entrance {
        way,
        listener,
        permits,
        exhausted: false,
    };
    loop {
        tokio::select! {
            biased;
            () = drain.cancelled() => break,
            arrival = door.accept() => entrance.arrived(arrival).await,
        }
    }
    let quiet = match door.others() {
        // The queue is theirs as well, and outlives us.
        Others::Same => return,
        Others::Nobody => QUIET,
        Others::Beside => {
            door.turn_away_new();
            QUIET_BESIDE
        }
    };
    let until = Instant::now() + LEAVING;
    while let Ok(arrival) = timeout(quiet, door.accept()).await {
        entrance.arrived(arrival).await;
        if Instant::now() >= until {
            return;
        }
    }
}

/// What comes in at a door.
#[derive(Clone, Debug)]
pub enum Way {
    /// Clients of a proxy.
    Proxy,
    /// Clients of a host that says its name in what is spoken; the port of the hosts.
    Transparent(TransparentKind, NonZeroU16),
    /// A relay, with clients of the names in this book.
    Raw(Arc<Book>),
}

/// Where connections come in.
struct Entrance {
    way: Way,
    listener: Arc<Listener>,
    permits: Arc<Semaphore>,
    /// There was no descriptor the last time.
    exhausted: bool,
}

impl Entrance {
    async fn arrived(&mut self, arrival: io::Result<Arrival>) {
        let (listener, permits) = (&self.listener, &self.permits);
        let shared = &listener.shared;
        let arrival = match arrival {
            Ok(arrival) => arrival,
            Err(error) if is_exhaustion(&error) => {
                shared.metrics.rejected(Rejection::OutOfDescriptors).inc();
                if !self.exhausted {
                    diagnostic::error(format_args!(
                        "cannot accept at listener {}: {error}; waiting for connections to end",
                        listener.name
                    ));
                }
                self.exhausted = true;
                // Not all doors at the same moment: the number of the request is as good as random.
                let spread = shared.next_request() % 50;
                sleep(Duration::from_millis(50 + spread)).await;
                return;
            }
            Err(_) => {
                // The client went away between its handshake and our accept, most likely.
                shared.metrics.rejected(Rejection::AcceptFailed).inc();
                sleep(Duration::from_millis(1)).await;
                return;
            }
        };
        if self.exhausted {
            self.exhausted = false;
            diagnostic::note(format_args!("listener {} accepts again", listener.name));
        }
        let permit = match Arc::clone(permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => match timeout(PATIENCE, Arc::clone(permits).acquire_owned()).await {
                Ok(Ok(permit)) => permit,
                Ok(Err(_)) | Err(_) => {
                    shared.metrics.rejected(Rejection::TooManyConnections).inc();
                    listener.tally.refused();
                    let (level, text) = words::too_many();
                    shared.journal.say(level, || text);
                    if self.speaks_http() {
                        turn_away(arrival).await;
                    }
                    return;
                }
            },
        };
        if let Way::Raw(book) = &self.way {
            let (listener, book) = (Arc::clone(listener), Arc::clone(book));
            let serving = raw_doors::serve(arrival, permit, listener, book);
            return shared.tasks.spawn("connection", serving);
        }
        // Nobody else needs the own address, and it costs a question.
        let same = listener.policy.now().conduct.bind.same;
        let local = if same { arrival.local() } else { None };
        let addresses = (arrival.address, local.map(|local| local.ip()));
        let client = (arrival.peer, arrival.stream.descriptor());
        let mut session = Session::new(Arc::clone(listener), client, addresses, permit);
        if let Way::Transparent(_, port) = self.way {
            session.purpose = Purpose::Origin(port);
        }
        let session = Arc::new(session);
        session.say(|| words::arrived(session.client.as_str(), session.socket, session.local));
        let stream = arrival.stream;
        match self.way {
            Way::Transparent(TransparentKind::Tls, port) => {
                let serving = transparent::serve_tls(stream, session, port);
                shared.tasks.spawn("connection", serving);
            }
            Way::Transparent(TransparentKind::Http, _) | Way::Proxy | Way::Raw(_) => {
                let serving = connection::serve(stream, session);
                shared.tasks.spawn("connection", serving);
            }
        }
    }

    /// What is not their protocol means nothing to other clients.
    fn speaks_http(&self) -> bool {
        match self.way {
            Way::Proxy | Way::Transparent(TransparentKind::Http, _) => true,
            Way::Transparent(TransparentKind::Tls, _) | Way::Raw(_) => false,
        }
    }
}

/// EMFILE, ENFILE, ENOBUFS, ENOMEM: nothing is wrong with the connection, it cannot be had now.
fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| {
        [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].contains(&errno)
    })
}

/// Says why, and closes; takes 55 ms at most.
pub(crate) async fn turn_away(arrival: Arrival) {
    let mut stream = arrival.stream;
    let answer = async {
        // The request came while it waited for its place. Closing over unread bytes would reset the
        // connection, and the answer with it.
        let mut unread = [0; 1024];
        timeout(Duration::from_millis(5), stream.read(&mut unread))
            .await
            .ok();
        stream.write_all(TOO_MANY).await?;
        stream.shutdown().await
    };
    // The answer fits every socket buffer; a client that is gone does not need it.
    timeout(Duration::from_millis(50), answer).await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentnet_policy::Reason;

    #[test]
    fn says_the_reason_in_its_own_words() {
        let text = String::from_utf8(TOO_MANY.to_vec()).unwrap();
        let reason = Reason::TooManyConnections;
        let line = format!(
            "HTTP/1.1 {} {reason}: {}\r\n",
            reason.status(),
            reason.clause()
        );
        assert!(text.starts_with(&line), "{text}");
    }

    #[test]
    fn takes_a_lack_of_descriptors_for_what_it_is() {
        assert!(is_exhaustion(&io::Error::from_raw_os_error(24)));
        assert!(is_exhaustion(&io::Error::from_raw_os_error(23)));
        assert!(!is_exhaustion(&io::Error::from(
            io::ErrorKind::ConnectionAborted
        )));
    }
}
