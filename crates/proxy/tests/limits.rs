//! What an agent may take of us.

use std::time::Instant;

use agentnet_policy::Reason;

use crate::harness::{Client, Origin, Proxy, eventually};

fn rejected(cause: &str) -> String {
    format!("connections_rejected_total{{cause=\"{cause}\"}}")
}

#[tokio::test]
async fn turns_connections_over_the_limit_away_with_a_reason() {
    let origin = Origin::echo().await;
    let start = Proxy::with("example.com\n").settings(|raw| raw.max_connections = Some(2));
    let proxy = start.start().await;
    proxy.world.site("example.com", 443, origin.address);
    let first = proxy.tunnel("example.com:443").await;
    let mut second = proxy.client().await;
    assert_eq!(second.get("http://evil.example/").await.status, 403);
    let mut third = proxy.client().await;
    let answer = third.head().await;
    assert_eq!(
        (answer.status, answer.reason()),
        (503, "too_many_connections")
    );
    assert_eq!(
        proxy.metric(&rejected("too_many_connections")).await,
        Some(1.0)
    );
    drop(first);
    proxy.closed(0).await;
    let mut fourth = proxy.client().await;
    assert_eq!(fourth.get("http://evil.example/").await.status, 403);
}

#[tokio::test]
async fn holds_the_place_of_a_connection_for_as_long_as_its_tunnel_lives() {
    let origin = Origin::echo().await;
    let start = Proxy::with("example.com raw\n").settings(|raw| raw.max_connections = Some(1));
    let proxy = start.start().await;
    proxy.world.site("example.com", 443, origin.address);
    let mut tunnel = proxy.tunnel("example.com:443").await;
    assert_eq!(proxy.client().await.head().await.status, 503);
    tunnel.send("x").await;
    assert_eq!(tunnel.read(1).await, b"x");
}

#[tokio::test]
async fn waits_for_a_place_that_comes_free_in_time() {
    let start = Proxy::with("example.com\n").settings(|raw| raw.max_connections = Some(1));
    let proxy = start.start().await;
    let mut first = proxy.client().await;
    first.get("http://evil.example/").await;
    let mut second = proxy.client().await;
    second
        .send("GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        .await;
    drop(first);
    assert_eq!(second.answer().await.status, 403);
    assert_eq!(
        proxy.metric(&rejected("too_many_connections")).await,
        Some(0.0)
    );
}

#[tokio::test]
async fn gives_up_on_a_head_that_does_not_come() {
    let start = Proxy::with("example.com\n").settings(|raw| raw.head_timeout_seconds = Some(1));
    let proxy = start.start().await;
    let since = Instant::now();
    let mut silent = proxy.client().await;
    let mut dripping = proxy.client().await;
    dripping
        .send("GET http://example.com/ HTTP/1.1\r\nHos")
        .await;
    let mut kept = proxy.client().await;
    kept.get("http://evil.example/").await;
    silent.rest_or_reset().await;
    dripping.rest_or_reset().await;
    kept.rest_or_reset().await;
    assert!(since.elapsed().as_secs() < 5);
    eventually("all connections are closed", || Some(())).await;
    assert!(proxy.metric(&rejected("head_timed_out")).await >= Some(1.0));
}

#[tokio::test]
async fn refuses_a_head_that_is_too_large() {
    let proxy = Proxy::start("example.com\n").await;
    for (name, filler) in [("X-Filler", 40_000), ("X-Filler", 500_000)] {
        let mut client = proxy.client().await;
        let head = format!(
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n{name}: {}\r\n\r\n",
            "x".repeat(filler)
        );
        client.try_send(head).await;
        let (seen, _) = client.rest_or_reset().await;
        let seen = String::from_utf8(seen).unwrap();
        assert!(
            seen.is_empty() || seen.starts_with("HTTP/1.1 431 "),
            "{seen}"
        );
    }
    assert_eq!(proxy.world.asked(), [""; 0]);
    assert_eq!(proxy.metric(&rejected("head_too_large")).await, Some(2.0));
}

#[tokio::test]
async fn refuses_more_than_a_hundred_fields() {
    let proxy = Proxy::start("example.com\n").await;
    let mut client = proxy.client().await;
    let fields: String = (0..101)
        .map(|number| format!("X-{number}: 1\r\n"))
        .collect();
    client
        .send(format!(
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n"
        ))
        .await;
    let answer = client.head().await;
    assert_eq!((answer.status, answer.reason()), (431, "bad_request"));
}

#[tokio::test]
async fn closes_a_tunnel_that_is_silent_for_too_long() {
    let origin = Origin::saying("").await;
    let start = Proxy::with("example.com\n").settings(|raw| raw.idle_timeout_seconds = Some(1));
    let proxy = start.start().await;
    proxy.world.site("example.com", 443, origin.address);
    let mut client = proxy.tunnel("example.com:443").await;
    client.rest_or_reset().await;
    assert_eq!(proxy.closed(0).await.reason, Reason::TimedOut);
}

#[tokio::test]
async fn gives_up_on_a_body_that_does_not_come() {
    let origin = Origin::page().await;
    let start = Proxy::with("example.com\n").settings(|raw| raw.idle_timeout_seconds = Some(1));
    let proxy = start.start().await;
    proxy.world.site("example.com", 80, origin.address);
    let mut client = proxy.client().await;
    client
        .send("POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 9\r\n\r\nabc")
        .await;
    let answer = client.head().await;
    assert_eq!((answer.status, answer.reason()), (504, "timed_out"));
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test]
async fn serves_others_while_a_lookup_hangs() {
    let proxy = Proxy::start("*.example.com\nexample.com\n").await;
    proxy.world.name("example.com", &["9.9.9.9"]);
    proxy.world.black_hole("9.9.9.9:443");
    let mut stuck = proxy.client().await;
    stuck
        .send("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n")
        .await;
    let mut other = Client::tcp(proxy.address).await;
    assert_eq!(other.connect("evil.example:443").await.status, 403);
}
