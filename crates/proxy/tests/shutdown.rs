//! The drain.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Client, Origin, Proxy, eventually, within};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn ends_at_once_when_nothing_is_open() {
    let mut proxy = Proxy::start("example.com raw\n").await;
    let mut idle = proxy.client().await;
    assert_eq!(idle.get("http://evil.example/").await.status, 403);
    assert!(
        proxy.drain(LONG).await,
        "an idle connection is no reason to wait"
    );
    assert_eq!(idle.rest().await, b"");
}

#[tokio::test]
async fn finishes_the_request_under_way_and_accepts_no_other() {
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let (arrived, arrival) = tokio::sync::oneshot::channel::<()>();
    let once = std::sync::Mutex::new(Some((wait, arrived)));
    let origin = Origin::serving(move |mut stream| {
        let (wait, arrived) = once.lock().unwrap().take().unwrap();
        async move {
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            arrived.send(()).unwrap();
            wait.await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
                .await
                .unwrap();
        }
    })
    .await;
    let mut proxy = Proxy::start("example.com raw\n").await;
    proxy.world.site("example.com", 80, origin.address);
    let mut client = proxy.client().await;
    client
        .send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
        .await;
    within("the request at the origin", arrival).await.unwrap();
    let address = proxy.address;
    let drain = proxy.draining(LONG);
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within("new connections are refused", refused).await;
    go.send(()).unwrap();
    let answer = client.answer().await;
    assert_eq!(
        (answer.text().as_str(), answer.field("connection")),
        ("done", Some("close"))
    );
    assert!(within("the drain", drain).await.unwrap());
    let log = proxy.log();
    assert_eq!(
        log.lines().count(),
        2,
        "decision and end are written before it is over: {log}"
    );
}

#[tokio::test]
async fn cuts_tunnels_after_the_grace_and_records_them() {
    let origin = Origin::echo().await;
    let mut proxy = Proxy::start("example.com raw\n").await;
    proxy.world.site("example.com", 443, origin.address);
    let mut client = proxy.tunnel("example.com:443").await;
    client.send("abc").await;
    client.read(3).await;
    assert!(!proxy.drain(Duration::from_millis(50)).await);
    client.rest_or_reset().await;
    assert!(proxy.events().iter().any(|event| event.up == 3));
}

#[tokio::test]
async fn lets_a_tunnel_end_by_itself_within_the_grace() {
    let origin = Origin::echo().await;
    let mut proxy = Proxy::start("example.com raw\n").await;
    proxy.world.site("example.com", 443, origin.address);
    let mut client = proxy.tunnel("example.com:443").await;
    let drain = proxy.draining(LONG);
    client.send("still here").await;
    assert_eq!(client.read(10).await, b"still here");
    client.finish().await;
    assert_eq!(client.rest().await, b"");
    assert!(within("the drain", drain).await.unwrap());
}

#[tokio::test]
async fn is_no_longer_ready_while_it_drains() {
    let origin = Origin::echo().await;
    let mut proxy = Proxy::start("example.com raw\n").await;
    proxy.world.site("example.com", 443, origin.address);
    let mut admin = Client::tcp(proxy.admin).await;
    let mut tunnel = proxy.tunnel("example.com:443").await;
    admin
        .send("GET /events HTTP/1.1\r\nHost: admin\r\n\r\n")
        .await;
    admin.head().await;
    let drain = proxy.draining(LONG);
    within("the stream ends", admin.rest_or_reset()).await;
    tunnel.finish().await;
    tunnel.rest().await;
    assert!(within("the drain", drain).await.unwrap());
    eventually("the socket file is gone", || {
        (!proxy.socket.exists()).then_some(())
    })
    .await;
}
