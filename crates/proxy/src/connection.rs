//! One client connection: hyper's HTTP/1.1 server with limits, behind the strict check of every head
//! ([`Intake`]), and what became of it.

use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use crate::carry::{Waiting, taken};
use crate::clients;
use crate::endpoint::Endpoint;
use crate::handler::{Next, handle};
use crate::intake::Intake;
use crate::listener::Session;
use crate::metrics::Rejection;
use crate::stream::Stream;
use crate::words;

/// Bytes that hyper buffers of one direction at most.
const MAX_BUFFER: usize = 64 * 1024;

/// How long a connection may take to its first request once the drain has begun.
const FIRST_REQUEST: Duration = Duration::from_millis(500);

/// How long, and how many bytes, are read and thrown away after a refusal that closes.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: u64 = 256 * 1024;

/// Serves requests until the connection ends, becomes a tunnel, or the drain begins and the request
/// under way is answered.
pub async fn serve(stream: Stream, session: Arc<Session>) {
    let open = session.listener.policy.now().conduct.clients.is_open();
    let stream = if open {
        stream
    } else {
        // Boxed: few listeners have a list, and every connection would hold what the look-ups need.
        match Box::pin(clients::meet(stream, &session)).await {
            Some(stream) => stream,
            None => return,
        }
    };
    serve_from(stream, Bytes::new(), session).await;
}

/// The same for a connection of which `first` has been read already.
pub(crate) async fn serve_from(stream: Stream, first: Bytes, session: Arc<Session>) {
    // In a box, whose memory is free again when the connection has become a tunnel. The same task goes
    // on: another one would be handed from thread to thread.
    let next = Box::pin(serve_requests(stream, first, session)).await;
    if let Some(waiting) = next {
        waiting.carry().await;
    }
}

/// Serves requests, and says what the connection has become.
async fn serve_requests(
    stream: Stream,
    first: Bytes,
    session: Arc<Session>,
) -> Option<Box<Waiting>> {
    let shared = Arc::clone(&session.listener.shared);
    let endpoint = Endpoint::new(stream, session.link.clone());
    let intake = Intake::new(endpoint, first, session.link.clone(), shared.max_head_bytes);
    let intake = TokioIo::new(intake);
    let next: Arc<Next> = Arc::default();
    let (requests, becoming) = (Arc::clone(&session), Arc::clone(&next));
    let service =
        service_fn(move |request| handle(Arc::clone(&requests), Arc::clone(&becoming), request));
    let mut connection = http1::Builder::new()
        // Without a timer hyper forgets the timeout silently; it also limits the wait for the next
        // request of a kept connection.
        .timer(TokioTimer::new())
        .header_read_timeout(shared.timeouts.head)
        .max_header_size(shared.max_head_bytes)
        .max_buf_size(MAX_BUFFER.max(shared.max_head_bytes))
        .serve_connection(intake, service)
        .with_upgrades();
    let ended = drive(Pin::new(&mut connection), &session).await;
    if !session.has_asked() && !ended.as_ref().is_some_and(is_malformed) {
        session.say(|| words::left(session.socket));
    }
    match ended {
        // Gone silent in the middle of a response: nobody reads it.
        None => session.link.abort(),
        Some(Ok(())) if session.was_refused() => {
            if let Some(parts) = connection.into_parts() {
                linger(parts.io.into_inner().into_endpoint()).await;
            }
        }
        Some(Ok(())) => {}
        Some(Err(error)) => {
            if let Some(rejection) = rejection(&error) {
                shared.metrics.rejected(rejection).inc();
            }
            if is_malformed(&Err(error)) {
                session.say(|| words::bad_request(session.socket));
            }
        }
    }
    next.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn is_malformed(ended: &hyper::Result<()>) -> bool {
    matches!(ended, Err(error) if error.is_parse())
}

/// Polls the connection to its end; `None` if no byte moved for the time of silence allowed.
async fn drive<C>(mut connection: Pin<&mut C>, session: &Session) -> Option<hyper::Result<()>>
where
    C: Future<Output = hyper::Result<()>> + Graceful,
{
    let shared = session.shared();
    let idle = shared.timeouts.idle;
    let mut draining = pin!(shared.tasks.drain().cancelled());
    let mut begun = false;
    let mut patience: Option<Pin<Box<Sleep>>> = None;
    let mut moves = session.link.moves();
    let mut silence = pin!(sleep_until(Instant::now() + idle));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(ended));
        }
        if !begun && (patience.is_some() || draining.as_mut().poll(cx).is_ready()) {
            // hyper would close a connection of which it has seen no request, and that may be on its way:
            // a client that has not asked for anything is waited for a moment.
            let wait = patience.get_or_insert_with(|| Box::pin(sleep(FIRST_REQUEST)));
            if session.has_asked() || wait.as_mut().poll(cx).is_ready() {
                begun = true;
                connection.as_mut().begin_to_end();
                // It acts on that when it is polled.
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Some(ended));
                }
            }
        }
        while silence.as_mut().poll(cx).is_ready() {
            let now = session.link.moves();
            if now == moves {
                return Poll::Ready(None);
            }
            moves = now;
            silence.as_mut().reset(Instant::now() + idle);
        }
        Poll::Pending
    })
    .await
}

/// hyper's connection types share no trait for this.
trait Graceful {
    fn begin_to_end(self: Pin<&mut Self>);
}

impl<I, S> Graceful for http1::UpgradeableConnection<I, S>
where
    S: hyper::service::HttpService<hyper::body::Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S::ResBody: hyper::body::Body + 'static,
    <S::ResBody as hyper::body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn begin_to_end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Reads away what the client still sends after it was refused: closing over unread bytes resets
/// the connection, and the refusal that says why would be lost with it (RFC 9112 §9.6).
async fn linger(endpoint: Endpoint) {
    if let Ok(stream) = endpoint.into_stream() {
        read_away(stream).await;
    }
}

/// The same for a refused CONNECT, which hyper lets go of as if it had become a tunnel.
pub(crate) async fn linger_after_connect(mut upgrade: OnUpgrade, _session: Arc<Session>) {
    if let Some((mut stream, _)) = taken(&mut upgrade).await
        && stream.shutdown().await.is_ok()
    {
        read_away(stream).await;
    }
}

pub(crate) async fn read_away(stream: Stream) {
    let mut rest = stream.take(LINGER_BYTES);
    let mut nowhere = tokio::io::sink();
    // Whatever comes of it, the connection is over.
    timeout(LINGER, tokio::io::copy(&mut rest, &mut nowhere))
        .await
        .ok();
}

/// What hyper answered by itself, without the handler seeing it.
fn rejection(error: &hyper::Error) -> Option<Rejection> {
    if error.is_parse_too_large() {
        Some(Rejection::HeadTooLarge)
    } else if error.is_parse() {
        Some(Rejection::BadHead)
    } else if error.is_timeout() {
        Some(Rejection::HeadTimedOut)
    } else {
        None
    }
}
