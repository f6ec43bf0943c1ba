//! The proxy's end of a relay's connections.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use agentnet_policy::{Ask, Host, Request, Target, Verdict};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Book;
use super::wire::{self, OPENING, Opening};
use crate::bind::Arrival;
use crate::carry::carry_through;
use crate::connect::Opened;
use crate::connection::{self, read_away};
use crate::listener::{Listener, Purpose, Session};
use crate::metrics::Rejection;
use crate::record::Record;
use crate::stream::Stream;
use crate::transparent;

/// Time for what a relay says first, and for a list to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves one connection of a relay.
pub(crate) async fn serve(
    mut arrival: Arrival,
    permit: OwnedSemaphorePermit,
    listener: Arc<Listener>,
    book: Arc<Book>,
) {
    let metrics = &listener.shared.metrics;
    let mut said = [0; OPENING];
    let opening = match timeout(PATIENCE, arrival.stream.read_exact(&mut said)).await {
        Ok(Ok(_)) => Opening::read(said),
        Ok(Err(_)) => None,
        Err(_) => return metrics.rejected(Rejection::HeadTimedOut).inc(),
    };
    let target = match opening {
        Some(Opening::List) => return tell(arrival.stream, &listener, &book).await,
        Some(Opening::Connection(door)) => {
            let table = book.of(&listener.policy.now());
            let name = table.name(*door.ip()).cloned().map(Host::Name);
            name.zip(NonZeroU16::new(door.port()))
        }
        None => None,
    };
    let Some((host, port)) = target else {
        // A door that nobody was told of.
        return metrics.rejected(Rejection::BadHead).inc();
    };
    let client = (arrival.peer, arrival.stream.descriptor());
    let mut session = Session::new(Arc::clone(&listener), client, (None, None), permit);
    session.purpose = Purpose::Origin(port);
    enter(arrival.stream, Arc::new(session), Target::new(host, port)).await;
}

/// Goes the way of the door: whatever is spoken there, or what says its own name.
async fn enter(stream: Stream, session: Arc<Session>, target: Target) {
    let active = session.listener.policy.now_full();
    let request = Request {
        target: target.clone(),
        ask: Ask::Tunnel,
    };
    let judged = active.policy.judge(request, Timestamp::now());
    let anything = matches!(judged, Verdict::Allow(grant) if grant.raw());
    match (target.port(), session.purpose) {
        (443, Purpose::Origin(port)) if !anything => {
            transparent::serve_tls(stream, session, port).await;
        }
        (80, _) if !anything => connection::serve(stream, session).await,
        _ => pass(stream, session, target).await,
    }
}

/// As if the client had sent CONNECT.
async fn pass(stream: Stream, session: Arc<Session>, target: Target) {
    let mut record = Record::of_raw(&session, &target);
    let active = session.listener.policy.now_full();
    if !session.is_permitted(&active).await {
        drop(record.turned_away(&active));
        return read_away(stream).await;
    }
    match transparent::open(&mut record, target).await {
        Ok(Opened {
            watched,
            stream: upstream,
            early,
            greeting,
        }) => {
            let said = (Bytes::new(), early);
            carry_through(record, watched, (stream, upstream), said, greeting);
        }
        Err(refused) => {
            drop(refused.answer(&mut record));
            read_away(stream).await;
        }
    }
}

/// Tells where to listen, and again when that has changed, until the relay goes.
async fn tell(mut stream: Stream, listener: &Listener, book: &Book) {
    let drain = listener.shared.tasks.drain().clone();
    let mut generation = listener.policy.generation();
    let mut told: Option<Vec<u8>> = None;
    loop {
        generation.mark_unchanged();
        let list = wire::list(book.of(&listener.policy.now()).doors());
        if told.as_ref() != Some(&list) {
            let sent = timeout(PATIENCE, stream.write_all(&list)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
            told = Some(list);
        }
        tokio::select! {
            () = drain.cancelled() => return,
            changed = generation.changed() => if changed.is_err() { return },
            // It has nothing more to say, so this is its end.
            _ = stream.read_u8() => return,
        }
    }
}
