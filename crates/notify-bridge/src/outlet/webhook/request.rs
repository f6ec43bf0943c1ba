//! One POST on one connection.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Url;
use super::trust::Trust;

/// What is to be sent, and where.
pub(super) struct Request<'a> {
    pub(super) url: &'a Url,
    pub(super) token: Option<&'a HeaderValue>,
    pub(super) trust: Option<&'a Trust>,
    pub(super) body: Vec<u8>,
}

/// Why there is no status.
pub(super) enum Failure {
    /// The request never left.
    NotSent(String),
    /// It left, and perhaps arrived.
    Unanswered(String),
}

/// The one door of the webhook: name and port are the configuration's.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
async fn connect(url: &Url) -> std::io::Result<TcpStream> {
    TcpStream::connect((url.host.as_str(), url.port)).await
}

impl Request<'_> {
    /// Sends it; each of the two waits takes no longer than `patience`.
    pub(super) async fn send(self, patience: Duration) -> Result<StatusCode, Failure> {
        let late = |_| Failure::NotSent("no connection in time".to_owned());
        let stream = timeout(patience, connect(self.url)).await.map_err(late)?;
        let stream = stream.map_err(|e| Failure::NotSent(e.to_string()))?;
        match self.trust {
            Some(trust) => {
                let wrapped = timeout(patience, trust.wrap(stream, &self.url.host)).await;
                let stream = wrapped.map_err(late)?.map_err(Failure::NotSent)?;
                self.exchange(stream, patience).await
            }
            None => self.exchange(stream, patience).await,
        }
    }

    async fn exchange<S>(self, stream: S, patience: Duration) -> Result<StatusCode, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let not_sent = |e: &dyn std::fmt::Display| Failure::NotSent(e.to_string());
        let mut request = http::Request::post(self.url.path.as_str())
            .header(header::HOST, self.url.authority.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "agentnet-notify");
        if let Some(token) = self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        let request = request
            .body(Full::new(Bytes::from(self.body)))
            .map_err(|e| not_sent(&e))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| not_sent(&e))?;
        let answer = async {
            tokio::pin!(connection);
            let sending = sender.send_request(request);
            tokio::pin!(sending);
            loop {
                tokio::select! {
                    // First: an answer counts, also when the connection ends right behind it.
                    biased;
                    answer = &mut sending => return answer,
                    _ = &mut connection => {}
                }
            }
        };
        match timeout(patience, answer).await {
            // The body of an answer is of no interest, and is not read.
            Ok(Ok(answer)) => Ok(answer.status()),
            Ok(Err(e)) => Err(Failure::Unanswered(format!("no answer: {e}"))),
            Err(_) => Err(Failure::Unanswered("no answer in time".to_owned())),
        }
    }
}
