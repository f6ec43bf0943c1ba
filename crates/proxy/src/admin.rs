//! The admin listener: metrics, health, the effective policy, the live stream, reload.
//!
//! It is never on the agent's side. `egress:PORT` binds loopback and the addresses of the interface
//! of the default route, each bound to its device: an agent can reach the proxy's other address
//! through its own link (a socket bound to a device needs no route, and Linux answers for all its
//! addresses on every interface), and the address it came to would look right.

mod client;
mod policy;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;

pub use self::client::{Asked, ClientError, ask, knock};
use crate::accept;
use crate::app::StartError;
use crate::bind::{Access, Door, Doors};
use crate::diagnostic;
use crate::listener::{Listener, Shared};
use crate::metrics::{self, Rejection};
use crate::reload::{Outcome, Reloader, Trigger};
use crate::settings::{Address, AdminAddress};
use crate::surroundings::Machine;

/// Admin connections at once, `/events` readers included.
const MAX_CONNECTIONS: usize = 64;

type AdminBody = UnsyncBoxBody<Bytes, Infallible>;

/// A door of the admin listener.
#[derive(Debug)]
pub struct Own {
    /// The socket.
    pub door: Door,
}

/// Binds the admin listener.
///
/// # Errors
/// When an address cannot be bound.
pub fn bind(
    address: &AdminAddress,
    machine: &Machine,
    doors: &mut Doors,
) -> Result<Vec<Own>, StartError> {
    let mut open = |address: Address, interface: Option<&str>| match doors.open(
        &address,
        Access::Owner,
        interface,
    ) {
        Ok(door) => Ok(Own { door }),
        Err(source) => Err(StartError::Bind { address, source }),
    };
    match address {
        AdminAddress::Off => Ok(Vec::new()),
        AdminAddress::At(address) => Ok(vec![open(address.clone(), None)?]),
        AdminAddress::Egress(port) => {
            let at = |ip: IpAddr| Address::Tcp(SocketAddr::new(ip, *port));
            let mut doors = vec![open(at(Ipv4Addr::LOCALHOST.into()), None)?];
            // A container without IPv6 has no ::1 either.
            doors.extend(open(at(Ipv6Addr::LOCALHOST.into()), None));
            let Some((interface, addresses)) = machine.egress() else {
                diagnostic::warn("no default route: the admin listener is on loopback only");
                return Ok(doors);
            };
            for address in addresses {
                doors.push(open(at(address), Some(interface))?);
            }
            Ok(doors)
        }
    }
}

/// Accepts on one door until the drain begins.
pub async fn run(own: Own, admin: Arc<Admin>) {
    let bound = match own.door.address() {
        Ok(Address::Tcp(address)) => Some(address.ip()),
        Ok(Address::Unix(_)) | Err(_) => None,
    };
    let tasks = admin.shared.tasks.clone();
    loop {
        let arrival = tokio::select! {
            biased;
            () = tasks.drain().cancelled() => return,
            arrival = own.door.accept() => arrival,
        };
        let Ok(arrival) = arrival else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let elsewhere = |bound: IpAddr| {
            !bound.is_unspecified() && arrival.local().map(|at| at.ip()) != Some(bound)
        };
        if bound.is_some_and(elsewhere) {
            admin.shared.metrics.rejected(Rejection::WrongAddress).inc();
            continue;
        }
        let Ok(permit) = Arc::clone(&admin.permits).try_acquire_owned() else {
            admin
                .shared
                .metrics
                .rejected(Rejection::TooManyConnections)
                .inc();
            accept::turn_away(arrival).await;
            continue;
        };
        let serving = Arc::clone(&admin);
        let drain = tasks.drain().clone();
        tasks.spawn("admin connection", async move {
            let service = service_fn(|request| answer(Arc::clone(&serving), request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(30))
                .serve_connection(TokioIo::new(arrival.stream), service);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                // What is wrong with an admin client is for the client to see.
                ended = connection.as_mut() => drop(ended),
                () = drain.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await.ok();
                }
            }
            drop(permit);
        });
    }
}

/// What the admin listener answers from.
#[derive(Debug)]
pub struct Admin {
    listeners: Arc<[Arc<Listener>]>,
    shared: Arc<Shared>,
    reloader: Reloader,
    permits: Arc<Semaphore>,
}

impl Admin {
    /// For these listeners.
    #[must_use]
    pub fn new(listeners: Arc<[Arc<Listener>]>, shared: Arc<Shared>, reloader: Reloader) -> Self {
        Self {
            listeners,
            shared,
            reloader,
            permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }
}

async fn answer(
    admin: Arc<Admin>,
    request: Request<Incoming>,
) -> Result<Response<AdminBody>, Infallible> {
    let get = [Method::GET, Method::HEAD].contains(request.method());
    let post = request.method() == Method::POST;
    Ok(match request.uri().path() {
        "/metrics" if get => {
            for listener in admin.listeners.iter() {
                listener.policy.show_budgets();
            }
            match admin.shared.metrics.render() {
                Ok(text) => respond(StatusCode::OK, metrics::CONTENT_TYPE, text),
                Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
            }
        }
        "/live" if get => plain(StatusCode::OK, "live\n"),
        "/ready" if get => admin.ready(),
        "/policy" if get => json_response(StatusCode::OK, &policy::describe(&admin.listeners)),
        "/events" if get => admin.events(request.uri().query()),
        "/reload" if post => admin.reload().await,
        "/metrics" | "/live" | "/ready" | "/policy" | "/events" => {
            plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n")
        }
        "/reload" => plain(StatusCode::METHOD_NOT_ALLOWED, "use POST\n"),
        _ => plain(
            StatusCode::NOT_FOUND,
            "there is /metrics, /live, /ready, /policy, /events and POST /reload\n",
        ),
    })
}

impl Admin {
    /// A statement, not an open port: it is served by the same runtime as the proxy, after every
    /// listener was bound and every policy loaded, and until the drain begins.
    fn ready(&self) -> Response<AdminBody> {
        let draining = self.shared.tasks.drain().is_cancelled();
        let listeners: Vec<_> = self
            .listeners
            .iter()
            .map(|listener| {
                let active = listener.policy.now();
                let rules = active.policy.rules().len();
                json!({ "name": listener.name, "generation": active.generation, "rules": rules })
            })
            .collect();
        let body = json!({ "v": 1, "ready": !draining, "listeners": listeners });
        let status = if draining {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        };
        json_response(status, &body)
    }

    async fn reload(&self) -> Response<AdminBody> {
        let reports = self.reloader.reload(Trigger::Asked).await;
        let failed = reports
            .iter()
            .any(|report| report.outcome == Outcome::Failed);
        let status = if failed {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::OK
        };
        json_response(
            status,
            &json!({ "v": 1, "ok": !failed, "listeners": reports }),
        )
    }

    /// Events as they happen, one JSON object a line; `?last=N` sends the last N first.
    fn events(&self, query: Option<&str>) -> Response<AdminBody> {
        let last = query
            .and_then(|query| query.strip_prefix("last="))
            .unwrap_or("0");
        let Ok(last) = last.parse::<usize>() else {
            return plain(StatusCode::BAD_REQUEST, "write /events?last=N\n");
        };
        let (recent, watch) = self.shared.journal.watch(last);
        let lost = self.shared.metrics.events_dropped_stream.clone();
        let drain = self.shared.tasks.drain().clone();
        let first = stream::iter(recent.into_iter().map(|line| Ok(Frame::data(line))));
        let rest = stream::unfold(
            (watch, lost, drain),
            |(mut watch, lost, drain)| async move {
                loop {
                    let received = tokio::select! {
                        biased;
                        () = drain.cancelled() => return None,
                        received = watch.recv() => received,
                    };
                    match received {
                        Ok(line) => return Some((Ok(Frame::data(line)), (watch, lost, drain))),
                        // The reader was too slow: it goes on with what is still there.
                        Err(RecvError::Lagged(lines)) => lost.inc_by(lines),
                        Err(RecvError::Closed) => return None,
                    }
                }
            },
        );
        let body = StreamBody::new(futures_util::StreamExt::chain(first, rest)).boxed_unsync();
        let mut response = Response::new(body);
        let kind = HeaderValue::from_static("application/x-ndjson");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<AdminBody> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn plain(status: StatusCode, text: &str) -> Response<AdminBody> {
    respond(status, "text/plain; charset=utf-8", text.to_owned())
}

fn json_response(status: StatusCode, value: &serde_json::Value) -> Response<AdminBody> {
    respond(status, "application/json", format!("{value}\n"))
}
