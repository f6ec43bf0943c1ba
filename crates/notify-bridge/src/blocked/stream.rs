//! The live stream of a proxy's decisions, over HTTP from its admin listener.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// The longest wait for a connection and for an answer's head; the stream itself may be silent.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where a proxy's events are: `http://127.0.0.1:9100/events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Events {
    host: String,
    port: u16,
    path: String,
}

impl FromStr for Events {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?}: write it as http://127.0.0.1:9100/events");
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
            return Err(wrong());
        }
        let path = match uri.path() {
            "/" => "/events",
            path => path,
        };
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(9100),
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, path } = self;
        if host.contains(':') {
            write!(f, "http://[{host}]:{port}{path}")
        } else {
            write!(f, "http://{host}:{port}{path}")
        }
    }
}

/// An open stream. The connection ends with it.
#[derive(Debug)]
pub(super) struct Body {
    body: Incoming,
    _connection: AbortOnDropHandle<()>,
}

impl Body {
    /// The next bytes; `None`: it is over.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            let frame = self.body.frame().await?.ok()?;
            if let Ok(bytes) = frame.into_data() {
                return Some(bytes);
            }
        }
    }
}

/// Name and port are what the person named.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
async fn connect(events: &Events) -> std::io::Result<TcpStream> {
    TcpStream::connect((events.host.as_str(), events.port)).await
}

/// Opens the stream; why not, in a clause.
pub(super) async fn open(events: &Events) -> Result<Body, String> {
    let opening = async {
        let stream = connect(events).await.map_err(|e| e.to_string())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| e.to_string())?;
        let connection = AbortOnDropHandle::new(spawn(async move {
            drop(connection.await);
        }));
        let request = Request::get(events.path.as_str())
            .header(header::HOST, format!("{}:{}", events.host, events.port))
            .body(Empty::<Bytes>::new())
            .map_err(|e| e.to_string())?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(|e| e.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("it answered {}", answer.status()));
        }
        Ok(Body {
            body: answer.into_body(),
            _connection: connection,
        })
    };
    timeout(PATIENCE, opening)
        .await
        .map_err(|_| "no answer in time".to_owned())?
}

#[expect(
    clippy::disallowed_methods,
    reason = "it ends with the handle, which the stream holds"
)]
fn spawn(work: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_events_is_an_http_url_and_nothing_else() {
        for (text, shown) in [
            (
                "http://127.0.0.1:9100/events",
                "http://127.0.0.1:9100/events",
            ),
            ("http://127.0.0.1", "http://127.0.0.1:9100/events"),
            ("http://[::1]:1/x", "http://[::1]:1/x"),
        ] {
            assert_eq!(text.parse::<Events>().unwrap().to_string(), shown);
        }
        for text in [
            "https://a/events",
            "127.0.0.1:9100",
            "/events",
            "http://u:p@a/",
            "",
        ] {
            assert!(text.parse::<Events>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_a_clause() {
        let events: Events = "http://127.0.0.1:1/events".parse().unwrap();
        let why = open(&events).await.unwrap_err();
        assert!(why.contains("refused"), "{why}");
    }
}
