//! The client side: `agentnet-proxy admin …` and `healthcheck`. Real requests to the real listener.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::dial;
use crate::refusal::{OWN_NAME, PROXY_STATUS};
use crate::settings::{Address, AdminAddress};
use crate::stream::Stream;

/// Time until the response begins; an event stream then lasts.
const PATIENCE: Duration = Duration::from_secs(10);

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Asked {
    /// GET /metrics
    Metrics,
    /// GET /live
    Live,
    /// GET /ready
    Ready,
    /// GET /policy
    Policy,
    /// GET /events, until it is interrupted
    Events,
    /// POST /reload
    Reload,
}

impl Asked {
    fn request(self) -> (Method, &'static str) {
        match self {
            Self::Metrics => (Method::GET, "/metrics"),
            Self::Live => (Method::GET, "/live"),
            Self::Ready => (Method::GET, "/ready"),
            Self::Policy => (Method::GET, "/policy"),
            Self::Events => (Method::GET, "/events?last=256"),
            Self::Reload => (Method::POST, "/reload"),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The settings say that there is no admin listener.
    #[error("the admin listener is off: start the proxy with --admin")]
    Off,
    /// Nobody answers.
    #[error("{address} does not answer: {source}")]
    Unreachable {
        /// Where it should be.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// It answers, but not with HTTP, or it broke off.
    #[error("{address} broke off: {source}")]
    Broken {
        /// Where it is.
        address: Address,
        /// What was wrong.
        source: hyper::Error,
    },
    /// It takes too long.
    #[error("{0} did not answer in 10 s")]
    Slow(Address),
    /// The answer cannot be passed on.
    #[error("the answer cannot be written: {0}")]
    Output(io::Error),
}

/// Asks the admin listener and writes the body to `output` as it comes.
///
/// # Errors
/// When there is no answer.
pub async fn ask(
    at: &AdminAddress,
    asked: Asked,
    output: &mut (dyn Write + Send),
) -> Result<StatusCode, ClientError> {
    let address = match at {
        AdminAddress::Off => return Err(ClientError::Off),
        AdminAddress::Egress(port) => {
            Address::Tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), *port))
        }
        AdminAddress::At(address) => address.clone(),
    };
    let (method, path) = asked.request();
    send(&address, method, path, Some(output))
        .await
        .map(|head| head.status)
}

/// True if the proxy itself answers at `door`: `OPTIONS *` is for whoever it reaches (RFC 9110
/// §9.3.7), so it is neither judged nor counted as a request of the task.
///
/// # Errors
/// When there is no answer.
pub async fn knock(door: &Address) -> Result<bool, ClientError> {
    let head = send(door, Method::OPTIONS, "*", None).await?;
    let ours = head
        .headers
        .get(PROXY_STATUS)
        .is_some_and(|value| value == OWN_NAME);
    Ok(head.status.is_success() && ours)
}

async fn send(
    address: &Address,
    method: Method,
    path: &'static str,
    mut output: Option<&mut (dyn Write + Send)>,
) -> Result<http::response::Parts, ClientError> {
    let stream = connect(address).await?;
    let broken = |source| ClientError::Broken {
        address: address.clone(),
        source,
    };
    let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method;
    *request.uri_mut() = http::Uri::from_static(path);
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_static(OWN_NAME));
    let exchange = async {
        let response = timeout(PATIENCE, sender.send_request(request))
            .await
            .map_err(|_| ClientError::Slow(address.clone()))?
            .map_err(broken)?;
        let (head, mut body) = response.into_parts();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(broken)?;
            if let (Some(data), Some(output)) = (frame.data_ref(), output.as_mut()) {
                output
                    .write_all(data)
                    .and_then(|()| output.flush())
                    .map_err(ClientError::Output)?;
            }
        }
        Ok(head)
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        head = exchange.as_mut() => head,
        // The connection may end first, with the last piece of the body still to be read.
        ended = connection => match ended {
            Ok(()) => exchange.await,
            Err(source) => Err(broken(source)),
        },
    }
}

async fn connect(address: &Address) -> Result<Stream, ClientError> {
    let connecting = async {
        match address {
            Address::Tcp(at) => dial::own_listener(*at).await,
            Address::Unix(path) => dial::own_socket(path).await,
        }
    };
    timeout(PATIENCE, connecting)
        .await
        .map_err(|_| ClientError::Slow(address.clone()))?
        .map_err(|source| ClientError::Unreachable {
            address: address.clone(),
            source,
        })
}
