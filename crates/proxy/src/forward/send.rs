//! Sending a request upstream: over an idle connection where there is one, else over a new one.

use std::sync::Arc;
use std::time::Duration;

use agentnet_policy::{Reason, Target};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, header};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{Connection, Key, Lease, via};
use crate::body::{LAST_CHUNK, Upload};
use crate::endpoint::{Endpoint, Link};
use crate::exchange::Exchange;
use crate::handler::Granted;
use crate::headers;
use crate::listener::Session;
use crate::reach::{Reached, Unreached, Wish, reach};
use crate::tunnel::Direction;
use crate::upstream::Form;

/// Largest response head in bytes, and the most that is buffered of one response.
const MAX_RESPONSE_HEAD: usize = 64 * 1024;

/// How long a kept connection may take to be ready again.
const READY: Duration = Duration::from_millis(50);

/// Why there is no response.
pub(super) enum Failure {
    Unreached(Unreached),
    Broken(Reason, Option<String>),
}

/// What is needed to send a request, once or twice.
pub(super) struct Send<'a> {
    pub(super) session: &'a Arc<Session>,
    pub(super) granted: &'a Granted,
    pub(super) key: Key,
    pub(super) parts: &'a Parts,
    pub(super) upgrade: Option<HeaderValue>,
}

impl Send<'_> {
    /// Sends the request over an idle connection if there is one, else over a new one.
    pub(super) async fn send(
        &self,
        incoming: Incoming,
        exchange: &Arc<Exchange>,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let pool = &self.session.listener.pool;
        let lease = |connection| Lease {
            pool: pool.clone(),
            key: self.key.clone(),
            connection,
        };
        let empty = incoming.is_end_stream();
        let mut request = self
            .request(Upload::new(incoming, Arc::clone(exchange)), exchange)
            .await?;
        let mut tried = false;
        while let Some(mut connection) = pool.take(&self.key) {
            // Its last response was read to the end; that hyper is done with it as well takes a moment
            // only. A server that answered before it had the whole request is another matter.
            match timeout(READY, connection.sender.ready()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => continue,
            }
            tried = true;
            match self.try_on(&mut connection, request, exchange).await {
                Ok(response) => return Ok((response, lease(connection))),
                Err(Tried::Unsent(unsent)) => request = self.undress(*unsent),
                // The server closed the idle connection just as the request went out. Whether it
                // saw the request is unknown, so only what is safe twice is sent twice (RFC 9110
                // §9.2.2), and only what is still there: a body is not.
                Err(Tried::Failed(_)) if empty && self.parts.method.is_safe() => {
                    let upload = Upload::empty(Arc::clone(exchange));
                    request = self.request(upload, exchange).await?;
                    break;
                }
                Err(Tried::Failed(failure)) => return Err(failure),
            }
        }
        let mut connection = match self.open().await {
            Ok(connection) => connection,
            Err(failure) => {
                if !tried {
                    exchange.unsent();
                }
                return Err(failure);
            }
        };
        match self.try_on(&mut connection, request, exchange).await {
            Ok(response) => Ok((response, lease(connection))),
            Err(Tried::Failed(failure)) => Err(failure),
            Err(Tried::Unsent(_)) => Err(Failure::Broken(
                Reason::UpstreamFailed,
                Some("it closed the connection at once".to_owned()),
            )),
        }
    }

    async fn open(&self) -> Result<Connection, Failure> {
        let shared = self.session.shared();
        let wish = if self.upgrade.is_some() {
            Wish::Tunnel
        } else {
            Wish::Request
        };
        let Reached {
            stream,
            early,
            address,
            route,
            form,
        } = reach(
            shared,
            &self.granted.active,
            &self.granted.grant,
            wish,
            &self.key.from,
        )
        .await
        .map_err(Failure::Unreached)?;
        if !early.is_empty() {
            let said = "it answered before it was asked".to_owned();
            return Err(Failure::Broken(Reason::UpstreamFailed, Some(said)));
        }
        let socket = stream.descriptor();
        let link = Link::default();
        let endpoint = TokioIo::new(Endpoint::new(stream, link.clone()));
        let (sender, connection) = http1::Builder::new()
            .max_header_size(MAX_RESPONSE_HEAD)
            .max_buf_size(MAX_RESPONSE_HEAD)
            .handshake::<_, Upload>(endpoint)
            .await
            .map_err(|error| broken(Reason::UpstreamFailed, &error))?;
        shared.tasks.spawn("upstream", async move {
            // How it ended is seen by the exchange that it carried.
            connection.with_upgrades().await.ok();
        });
        Ok(Connection {
            sender,
            link,
            address,
            route,
            form,
            socket,
        })
    }

    async fn try_on(
        &self,
        connection: &mut Connection,
        mut request: Request<Upload>,
        exchange: &Exchange,
    ) -> Result<Response<Incoming>, Tried> {
        if let Form::Absolute(authorization) = &connection.form {
            self.dress(&mut request, authorization.as_ref());
        }
        exchange.set_upstream(&connection.link, connection.address);
        let mut sending = std::pin::pin!(connection.sender.try_send_request(request));
        let idle = self.session.shared().timeouts.idle;
        let mut seen = exchange.moved();
        let sent = loop {
            match timeout(idle, sending.as_mut()).await {
                Ok(sent) => break sent,
                // Silence is limited, not the time an upload takes.
                Err(_) if exchange.moved() != seen => seen = exchange.moved(),
                Err(_) => {
                    connection.link.abort();
                    let said = "it sent no response".to_owned();
                    return Err(Tried::Failed(Failure::Broken(Reason::TimedOut, Some(said))));
                }
            }
        };
        sent.map_err(|mut error| match error.take_message() {
            Some(unsent) => Tried::Unsent(Box::new(unsent)),
            None => {
                let reason = exchange.broken().unwrap_or(Reason::UpstreamFailed);
                Tried::Failed(broken(reason, error.error()))
            }
        })
    }

    /// Writes a request as a parent wants it: with the whole URL, made of what was judged.
    fn dress(&self, request: &mut Request<Upload>, authorization: Option<&HeaderValue>) {
        let authority = headers::host_of(self.granted.grant.target());
        let whole = Uri::builder()
            .scheme("http")
            .authority(authority.as_bytes())
            .path_and_query(resource(&self.parts.uri));
        // Both parts were parsed before.
        if let Ok(whole) = whole.build() {
            *request.uri_mut() = whole;
        }
        if let Some(authorization) = authorization {
            let headers = request.headers_mut();
            headers.insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
    }

    /// The other way: the next connection may be of another kind.
    fn undress(&self, mut request: Request<Upload>) -> Request<Upload> {
        *request.uri_mut() = origin_form(&self.parts.uri);
        request.headers_mut().remove(header::PROXY_AUTHORIZATION);
        request
    }

    /// The request as it will be sent, paid for but for its body.
    async fn request(
        &self,
        upload: Upload,
        exchange: &Exchange,
    ) -> Result<Request<Upload>, Failure> {
        let target: &Target = self.granted.grant.target();
        let via = via(self.session, &self.granted.active);
        let mut request = Request::new(upload);
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = origin_form(&self.parts.uri);
        let host = headers::host_of(target);
        let manners = self.granted.active.conduct.manners.as_deref();
        *request.headers_mut() = headers::upstream_request(
            &self.parts.headers,
            host,
            via.as_deref(),
            self.upgrade.as_ref(),
            manners.map(|manners| (&manners.fields, self.session.address)),
        );
        let paid = exchange.passes(Direction::Up, head_size(&request)).await;
        paid.map_err(|reason| Failure::Broken(reason, None))?;
        Ok(request)
    }
}

enum Tried {
    /// Nothing of the request has left.
    Unsent(Box<Request<Upload>>),
    Failed(Failure),
}

fn broken(reason: Reason, error: &hyper::Error) -> Failure {
    let detail = (reason == Reason::UpstreamFailed).then(|| error.to_string());
    Failure::Broken(reason, detail)
}

fn origin_form(uri: &Uri) -> Uri {
    Uri::from(resource(uri))
}

fn resource(uri: &Uri) -> PathAndQuery {
    let root = || PathAndQuery::from_static("/");
    uri.path_and_query().cloned().unwrap_or_else(root)
}

/// What the head of a request weighs on the wire: a URL and a header carry data out as well as a
/// body does. With what hyper adds where the body's length is not known.
fn head_size(request: &Request<Upload>) -> usize {
    let line = request.method().as_str().len()
        + " ".len()
        + request
            .uri()
            .path_and_query()
            .map_or(1, |path| path.as_str().len())
        + " HTTP/1.1\r\n".len();
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    let framing = match request.body().size_hint().exact() {
        Some(_) => 0,
        None => "transfer-encoding: chunked\r\n".len() + LAST_CHUNK,
    };
    line + fields.sum::<usize>() + "\r\n".len() + framing
}
