//! Questions on connections (RFC 7766).

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::{Answerer, Asker};
use crate::bind::{Arrival, Door};
use crate::metrics::Rejection;
use crate::stream::Stream;

/// Connections of one door at once. A stub comes here only when a datagram was lost or cut; a relay
/// with every question.
const CONNECTIONS: usize = 64;
/// Questions on one connection.
const QUESTIONS: usize = 100;
/// Time for the next question to be there, and for its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest question that is read.
const LONGEST: u16 = 1500;

/// Accepts until the drain begins.
pub(super) async fn run(door: Door, answerer: Arc<Answerer>) {
    let drain = answerer.tasks().drain().clone();
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.cancelled() => return,
            accepted = door.accept() => accepted,
        };
        let Ok(arrival) = accepted else {
            answerer.reject(Rejection::AcceptFailed);
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let permit = match (Arc::clone(&permits).try_acquire_owned(), &door) {
            (Ok(permit), _) => permit,
            (Err(_), Door::Tcp(..)) => {
                answerer.reject(Rejection::TooManyConnections);
                continue;
            }
            // A relay has no more at once, but is done with one before we are.
            (Err(_), Door::Unix(..)) => tokio::select! {
                biased;
                () = drain.cancelled() => return,
                permit = Arc::clone(&permits).acquire_owned() => match permit {
                    Ok(permit) => permit,
                    Err(_) => return,
                },
            },
        };
        let serving = Arc::clone(&answerer);
        answerer.tasks().spawn("dns", async move {
            serve(arrival, &serving).await;
            drop(permit);
        });
    }
}

async fn serve(arrival: Arrival, answerer: &Answerer) {
    let mut stream = arrival.stream;
    let client = Asker::Stream(arrival.peer, arrival.address);
    let drain = answerer.tasks().drain().clone();
    let mut buffer = Vec::new();
    for _ in 0..QUESTIONS {
        let one = tokio::select! {
            biased;
            () = drain.cancelled() => return,
            one = timeout(PATIENCE, exchange(&mut stream, &mut buffer, &client, answerer)) => one,
        };
        if !matches!(one, Ok(Some(()))) {
            return;
        }
    }
}

/// One question and its answer; `None` ends the connection.
async fn exchange(
    stream: &mut Stream,
    buffer: &mut Vec<u8>,
    client: &Asker,
    answerer: &Answerer,
) -> Option<()> {
    let length = stream.read_u16().await.ok()?;
    if length > LONGEST {
        return None;
    }
    buffer.resize(length.into(), 0);
    stream.read_exact(buffer).await.ok()?;
    let reply = answerer.answer(buffer, client)?;
    let mut framed = Vec::with_capacity(reply.len() + 2);
    framed.extend_from_slice(&u16::try_from(reply.len()).ok()?.to_be_bytes());
    framed.extend_from_slice(&reply);
    stream.write_all(&framed).await.ok()
}
