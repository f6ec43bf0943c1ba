//! The proxy's figures from its admin listener, without the engine.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::engine::{Output, Seat};
use crate::link::{self, Bridge};
use crate::plan::ADMIN_PORT;

/// It is on this machine: what does not answer soon is asked through the engine.
const PATIENCE: Duration = Duration::from_millis(500);

/// What Prometheus would get; `None` where that is not to be had from here.
pub(super) async fn metrics(seat: &Seat) -> Option<String> {
    // The bridge is named after the network's id, so that no other engine's container has this address here; and
    // without an address of ours on it, the question would go out by the default route.
    match link::look(&seat.network) {
        Bridge::Here(addresses) if !addresses.is_empty() => {}
        Bridge::Here(_) | Bridge::NotHere => return None,
    }
    get(SocketAddr::from((seat.v4, ADMIN_PORT))).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "to our own proxy's admin listener: an address that the engine gave us, none of the agent's"
)]
async fn get(address: SocketAddr) -> Option<String> {
    let answer = timeout(PATIENCE, async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        // HTTP/1.0: the answer is in one piece, and ends with the connection.
        let question = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(question.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        let most = u64::try_from(Output::LIMIT).unwrap_or(u64::MAX);
        stream.take(most).read_to_end(&mut answer).await.ok()?;
        Some(answer)
    });
    let answer = String::from_utf8(answer.await.ok()??).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?;
    (status == "200").then(|| body.to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn answered(answer: &'static str) -> Option<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = [0; 1024];
            let length = stream.read(&mut question).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&question[..length]).into_owned()
        };
        let (body, question) = tokio::join!(get(address), server);
        assert!(question.starts_with("GET /metrics HTTP/1.0\r\n"));
        body
    }

    #[tokio::test]
    async fn the_body_of_a_good_answer_is_told_and_nothing_else() {
        let good = answered("HTTP/1.0 200 OK\r\ncontent-length: 6\r\n\r\na 1\nb ").await;
        assert_eq!(good.as_deref(), Some("a 1\nb "));
        for bad in [
            "HTTP/1.0 503 Busy\r\n\r\nbusy",
            "HTTP/1.0 200 OK\r\n",
            "",
            "200",
        ] {
            assert_eq!(answered(bad).await, None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn nobody_is_asked_on_a_network_that_is_not_here() {
        let seat = Seat {
            network: "ffffffffffffffff".into(),
            v4: std::net::Ipv4Addr::LOCALHOST,
        };
        assert_eq!(metrics(&seat).await, None);
    }
}
