//! Doors for programs that take the proxy for their host, because the [`answerer`](crate::answerer)
//! said so: TLS goes where its server name says, plain HTTP where its Host field says.
//!
//! Nothing is decrypted and nothing redirected: the program connects to the proxy's own address, says
//! a name, and the name with the door's port is judged like any request. Without a name nothing goes
//! anywhere, and never to an address.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use agentnet_policy::{Ask, Denial, Host, Reason, Request, Target};
use bytes::Bytes;
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::carry::carry_on;
use crate::connect::{self, Opened};
use crate::connection::read_away;
use crate::handler::{self, Refused};
use crate::hello::{Fault, Hello, Reader};
use crate::listener::Session;
use crate::metrics::Rejection;
use crate::record::Record;
use crate::stream::Stream;

/// Time for a ClientHello once its first byte is there (THREATS W83).
const WHOLE: Duration = Duration::from_secs(5);
/// Time to tell a client why it is refused.
const TELL: Duration = Duration::from_millis(50);
/// Bytes read at once.
const PIECE: usize = 4096;

/// Alerts of TLS (RFC 8446 §6.2).
const ACCESS_DENIED: u8 = 49;
const INTERNAL_ERROR: u8 = 80;

/// Serves a connection to a door for TLS.
pub(crate) async fn serve_tls(mut stream: Stream, session: Arc<Session>, port: NonZeroU16) {
    let active = session.listener.policy.now_full();
    if !session.is_permitted(&active).await {
        let mut record = Record::of_tls(&session);
        drop(record.turned_away(&active));
        return tell(stream, Some(alert(ACCESS_DENIED))).await;
    }
    let (hello, first) = match read_hello(&mut stream, &session).await {
        Ok(read) => read,
        Err(Unread::Nothing) => return,
        Err(Unread::Late) => {
            let rejected = &session.shared().metrics;
            return rejected.rejected(Rejection::HeadTimedOut).inc();
        }
        Err(Unread::Fault(fault)) => {
            Record::of_tls(&session).unreadable(&fault, None, advice(fault));
            return tell(stream, fault.alert()).await;
        }
    };
    let mut record = Record::of_tls(&session);
    let named = hello.server_name.clone().ok_or(Fault::NoName);
    let named = named.map(|name| Target::new(Host::Name(name), port));
    let checked = named.and_then(|target| {
        hello.check(&target, session.shared().ech)?;
        Ok(target)
    });
    let target = match checked {
        Ok(target) => target,
        Err(fault) => {
            let name = hello.server_name.map(Host::Name);
            let target = name.map(|host| Target::new(host, port));
            record.unreadable(&fault, target.as_ref(), advice(fault));
            return tell(stream, fault.alert()).await;
        }
    };
    record.set_target(&target);
    reach(record, stream, first, target).await;
}

/// What to do about a greeting without a name: there is no tunnel to open here.
fn advice(fault: Fault) -> &'static str {
    match fault {
        Fault::NoName | Fault::BadName | Fault::OtherName => {
            "name the host in the TLS handshake, or ask the proxy with CONNECT"
        }
        Fault::NotTls | Fault::Malformed | Fault::TooLong | Fault::Ech => fault.advice(),
    }
}

/// Judges and connects.
pub(crate) async fn open(record: &mut Record, target: Target) -> Result<Opened, Refused> {
    let session = Arc::clone(record.session());
    let active = session.listener.policy.now_full();
    let manners = active.conduct.manners.as_deref();
    let granted = if manners.is_some_and(|manners| !manners.knows(&HeaderMap::new())) {
        // Nobody can show credentials here.
        let denial = Denial::new(target, Reason::AuthRequired);
        Err(Refused::new(Arc::clone(&active), denial, None))
    } else {
        let request = Request {
            target,
            ask: Ask::Tunnel,
        };
        handler::grant(record, Arc::clone(&active), request).await
    };
    match granted {
        Ok(granted) => connect::open(record, granted).await,
        Err(refused) => Err(refused),
    }
}

/// Connects and carries, or refuses.
async fn reach(mut record: Record, stream: Stream, first: Bytes, target: Target) {
    match open(&mut record, target).await {
        Ok(Opened {
            watched,
            stream: upstream,
            early,
            ..
        }) => {
            carry_on(record, watched, (stream, upstream), (first, early));
        }
        Err(refused) => {
            let reason = refused.denial.reason();
            drop(refused.answer(&mut record));
            let description = if reason.status() >= 500 {
                INTERNAL_ERROR
            } else {
                ACCESS_DENIED
            };
            tell(stream, Some(alert(description))).await;
        }
    }
}

/// Why there is no ClientHello.
enum Unread {
    /// The client said nothing, or left.
    Nothing,
    /// It did not come in time.
    Late,
    Fault(Fault),
}

async fn read_hello(stream: &mut Stream, session: &Session) -> Result<(Hello, Bytes), Unread> {
    let shared = session.shared();
    let drain = shared.tasks.drain().clone();
    let mut until = Instant::now() + shared.timeouts.head.min(shared.timeouts.idle);
    let mut reader = Reader::default();
    let mut said = Vec::new();
    loop {
        let before = said.len();
        said.reserve(PIECE);
        let came = tokio::select! {
            biased;
            came = timeout_at(until, stream.read_buf(&mut said)) => came,
            // Who has not begun is not waited for.
            () = drain.cancelled(), if before == 0 => return Err(Unread::Nothing),
        };
        match came {
            Err(_) => return Err(Unread::Late),
            Ok(Ok(0) | Err(_)) if before == 0 => return Err(Unread::Nothing),
            Ok(Ok(0) | Err(_)) => return Err(Unread::Fault(Fault::NotTls)),
            Ok(Ok(_)) if before == 0 => until = Instant::now() + WHOLE,
            Ok(Ok(_)) => {}
        }
        match reader.feed(said.get(before..).unwrap_or_default()) {
            Ok(Some(hello)) => return Ok((hello, said.into())),
            Ok(None) => {}
            Err(fault) => return Err(Unread::Fault(fault)),
        }
    }
}

/// A fatal alert record of TLS 1.2.
fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

/// Sends an alert, if the client speaks TLS, and closes.
async fn tell(mut stream: Stream, alert: Option<[u8; 7]>) {
    if let Some(alert) = alert {
        let told = async {
            stream.write_all(&alert).await?;
            stream.shutdown().await
        };
        // It fits every socket buffer; a client that is gone does not need it.
        timeout(TELL, told).await.ok();
    }
    read_away(stream).await;
}
