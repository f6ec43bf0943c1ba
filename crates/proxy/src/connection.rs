//! One client connection: hyper's HTTP/1.1 server with limits, and what became of it.
//!
//! The strict check of the raw head comes in front of this, over the same stream, before hyper sees
//! a byte of it.

use std::sync::Arc;
use std::task::Poll;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::endpoint::Endpoint;
use crate::handler::handle;
use crate::listener::Session;
use crate::metrics::Rejection;
use crate::stream::Stream;

/// Bytes that hyper buffers of one direction at most.
const MAX_BUFFER: usize = 128 * 1024;

/// Serves requests until the connection ends, becomes a tunnel, or the drain begins and the request
/// under way is answered.
pub async fn serve(stream: Stream, session: Arc<Session>) {
    let shared = Arc::clone(&session.listener.shared);
    let endpoint = TokioIo::new(Endpoint::new(stream, session.abort.clone()));
    let service = service_fn(move |request| handle(Arc::clone(&session), request));
    let connection = http1::Builder::new()
        // Without a timer hyper forgets the timeout silently; it also limits the wait for the next
        // request of a kept connection.
        .timer(TokioTimer::new())
        .header_read_timeout(shared.timeouts.head)
        .max_header_size(shared.max_head_bytes)
        .max_buf_size(MAX_BUFFER.max(shared.max_head_bytes))
        .serve_connection(endpoint, service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let drain = shared.tasks.drain();
    let mut draining = std::pin::pin!(drain.cancelled());
    let mut begun = false;
    let ended = std::future::poll_fn(|cx| {
        if !begun && draining.as_mut().poll(cx).is_ready() {
            begun = true;
            connection.as_mut().graceful_shutdown();
        }
        match connection.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    if let Err(error) = ended
        && let Some(rejection) = rejection(&error)
    {
        shared.metrics.rejected(rejection).inc();
    }
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
