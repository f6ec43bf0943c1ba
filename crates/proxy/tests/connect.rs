//! CONNECT and what flows through it.

use std::net::SocketAddr;

use agentnet_policy::Reason;
use agentnet_policy::event::{Protocol, Word};

use crate::harness::{Client, Origin, Proxy, eventually};

const EXAMPLE: &str = "example.com raw\nraw.example:22 raw\n*.wild.example\n";

#[tokio::test]
async fn carries_bytes_both_ways_and_counts_them() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.site("example.com", 443, origin.address);
    let mut client = proxy.tunnel("example.com:443").await;
    client.send("over and out").await;
    assert_eq!(client.read(12).await, b"over and out");
    client.finish().await;
    assert_eq!(client.rest().await, b"");
    let decision = proxy.decision(0).await;
    assert_eq!(
        (decision.protocol, decision.verdict),
        (Protocol::Connect, Word::Allow)
    );
    assert_eq!(decision.reason, Reason::Allowed);
    assert_eq!(
        (decision.host.as_str(), decision.port),
        ("example.com", 443)
    );
    assert_eq!(decision.rule.unwrap().text.as_str(), "example.com raw");
    assert_eq!(decision.status, Some(200));
    let closed = proxy.closed(0).await;
    assert_eq!(
        (closed.up, closed.down, closed.reason),
        (12, 12, Reason::Allowed)
    );
    assert_eq!(closed.id, decision.id);
    let bytes = |direction: &str| {
        format!("tunnel_bytes_total{{direction=\"{direction}\",listener=\"default\"}}")
    };
    assert_eq!(proxy.metric(&bytes("up")).await, Some(12.0));
    assert_eq!(proxy.metric(&bytes("down")).await, Some(12.0));
    assert_eq!(proxy.metric("tunnels").await, Some(0.0));
}

#[tokio::test]
async fn serves_a_unix_socket_as_well() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.site("example.com", 443, origin.address);
    let mut client = Client::unix(&proxy.socket).await;
    assert_eq!(client.connect("example.com:443").await.status, 200);
    client.send("x").await;
    assert_eq!(client.read(1).await, b"x");
    assert!(
        proxy
            .decision(0)
            .await
            .client
            .as_str()
            .starts_with("unix:pid=")
    );
}

#[tokio::test]
async fn loses_no_byte_that_came_together_with_the_request() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.site("example.com", 443, origin.address);
    let mut client = proxy.client().await;
    let request = "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\nearly bird";
    client.send(request).await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.read(10).await, b"early bird");
}

#[tokio::test]
async fn delivers_what_a_server_says_first() {
    let origin = Origin::saying("SSH-2.0-test\r\n").await;
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.site("raw.example", 22, origin.address);
    let mut client = proxy.tunnel("raw.example:22").await;
    assert_eq!(client.read(14).await, b"SSH-2.0-test\r\n");
}

#[tokio::test]
async fn passes_a_half_close_on_and_keeps_the_other_half() {
    let origin = Origin::serving(|mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream
            .write_all(format!("{} bytes", all.len()).as_bytes())
            .await
            .unwrap();
    })
    .await;
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.site("example.com", 443, origin.address);
    let mut client = proxy.tunnel("example.com:443").await;
    client.send("four").await;
    client.finish().await;
    assert_eq!(client.rest().await, b"4 bytes");
}

#[tokio::test]
async fn moves_bulk_without_changing_a_byte() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.site("example.com", 443, origin.address);
    let mut client = proxy.tunnel("example.com:443").await;
    let block: Vec<u8> = (0..1_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    for _ in 0..4 {
        client.send(&block).await;
        assert!(client.read(block.len()).await == block);
    }
}

#[tokio::test]
async fn resets_the_client_when_the_server_resets() {
    let origin = Origin::serving(|stream| async move {
        stream.set_zero_linger().unwrap();
        drop(stream);
    })
    .await;
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.site("example.com", 443, origin.address);
    let mut client = proxy.tunnel("example.com:443").await;
    let (_, reset) = client.rest_or_reset().await;
    assert!(reset, "a broken tunnel must not look finished");
    assert_eq!(proxy.closed(0).await.reason, Reason::UpstreamFailed);
}

#[tokio::test]
async fn refuses_with_the_reason_where_every_reader_looks() {
    let proxy = Proxy::start(EXAMPLE).await;
    let mut client = proxy.client().await;
    let answer = client.connect("evil.example:443").await;
    assert_eq!(answer.status, 403);
    let said = format!(
        "not_listed: evil.example:443: {}",
        Reason::NotListed.clause()
    );
    assert_eq!(answer.phrase(), said);
    assert_eq!(answer.reason(), "not_listed");
    let status = "agentnet; error=http_request_denied; details=\"not_listed\"";
    assert_eq!(answer.field("proxy-status"), Some(status));
    let text = answer.text();
    let (first, second) = text.split_once('\n').unwrap();
    let machine: serde_json::Value = serde_json::from_str(first).unwrap();
    assert_eq!(machine["reason"], "not_listed");
    assert_eq!(machine["host"], "evil.example");
    assert_eq!(machine["port"], 443);
    assert!(
        second.starts_with("evil.example:443 was refused (not_listed)"),
        "{second}"
    );
    assert_eq!(
        client.rest().await,
        b"",
        "what follows a refused CONNECT is not a request"
    );
    let decision = proxy.decision(0).await;
    assert_eq!(
        (decision.verdict, decision.reason),
        (Word::Deny, Reason::NotListed)
    );
    assert_eq!(decision.sentence.unwrap().as_str(), second.trim_end());
}

#[tokio::test]
async fn never_resolves_or_dials_what_is_denied() {
    let proxy = Proxy::start("example.com\nbad.example deny\n").await;
    proxy.world.name("bad.example", &["9.9.9.9"]);
    for target in [
        "evil.example:443",
        "bad.example:443",
        "example.com:8443",
        "c2VjcmV0.evil.example:443",
    ] {
        let answer = proxy.client().await.connect(target).await;
        assert_eq!(answer.status, 403, "{target}");
    }
    let mut client = proxy.client().await;
    assert_eq!(client.get("http://evil.example/").await.status, 403);
    assert_eq!(proxy.world.asked(), [""; 0]);
    assert_eq!(proxy.world.dialled(), 0);
}

#[tokio::test]
async fn resolves_an_allowed_name_once_for_many() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.site("example.com", 443, origin.address);
    for _ in 0..3 {
        drop(proxy.tunnel("EXAMPLE.com.:443").await);
    }
    assert_eq!(
        proxy.world.asked(),
        ["example.com"],
        "canonical, absolute, and remembered"
    );
}

/// Rebinding: public when it is checked, something else a moment later (THREATS W64).
#[tokio::test]
async fn dials_what_was_admitted_whatever_the_name_leads_to_next() {
    for (lies, method) in [
        ("127.0.0.1", "CONNECT"),
        ("169.254.169.254", "GET"),
        ("10.0.0.1", "GET"),
    ] {
        let proxy = Proxy::start(EXAMPLE).await;
        proxy.world.name("example.com", &["9.9.9.9", "9.9.9.8"]);
        proxy.world.rebind("example.com", &[lies]);
        let mut client = proxy.client().await;
        let (answer, port) = match method {
            "GET" => (client.get("http://example.com/").await, 80),
            _ => (client.connect("example.com:443").await, 443),
        };
        assert_eq!(answer.reason(), "connect_failed");
        assert_eq!(proxy.world.asked(), ["example.com"], "asked once");
        let admitted = [9, 8].map(|last| SocketAddr::from(([9, 9, 9, last], port)));
        assert_eq!(proxy.world.dialled_to(), admitted);
        // Whoever asks anew gets the answer that is judged anew.
        let other = Proxy::with(EXAMPLE).world(&proxy.world).start().await;
        let answer = other.client().await.connect("example.com:443").await;
        assert_eq!(answer.status, 403, "{}", answer.head);
        assert_eq!(proxy.world.dialled(), 2);
    }
}

#[tokio::test]
async fn says_502_when_the_name_has_no_address() {
    let proxy = Proxy::start(EXAMPLE).await;
    let answer = proxy
        .client()
        .await
        .connect("nowhere.wild.example:443")
        .await;
    assert_eq!((answer.status, answer.reason()), (502, "resolve_failed"));
    assert!(
        answer.text().contains("Name or service not known"),
        "{}",
        answer.text()
    );
    let decision = proxy.decision(0).await;
    assert_eq!(
        (decision.verdict, decision.reason),
        (Word::Allow, Reason::ResolveFailed)
    );
}

#[tokio::test]
async fn says_502_when_nothing_listens_and_never_200_before() {
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.name("example.com", &["9.9.9.9"]);
    let answer = proxy.client().await.connect("example.com:443").await;
    assert_eq!((answer.status, answer.reason()), (502, "connect_failed"));
    assert!(
        answer.phrase().contains("9.9.9.9:443"),
        "{}",
        answer.phrase()
    );
}

#[tokio::test]
async fn says_504_when_no_address_answers_in_time() {
    let start = Proxy::with(EXAMPLE).settings(|raw| raw.connect_timeout_seconds = Some(1));
    let proxy = start.start().await;
    proxy.world.name("example.com", &["9.9.9.9"]);
    proxy.world.black_hole("9.9.9.9:443");
    let answer = proxy.client().await.connect("example.com:443").await;
    assert_eq!((answer.status, answer.reason()), (504, "timed_out"));
}

#[tokio::test]
async fn tries_the_next_address_beside_one_that_is_silent() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(EXAMPLE).await;
    proxy
        .world
        .name("example.com", &["9.9.9.9", "2600::9", "9.9.9.8"]);
    proxy.world.black_hole("[2600::9]:443");
    proxy.world.road("9.9.9.8:443", origin.address);
    let mut client = proxy.tunnel("example.com:443").await;
    client.send("x").await;
    assert_eq!(client.read(1).await, b"x");
    assert_eq!(
        proxy.decision(0).await.address,
        Some("9.9.9.8".parse().unwrap())
    );
}

#[tokio::test]
async fn lets_one_private_answer_spoil_the_set() {
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.name("example.com", &["9.9.9.9", "10.0.0.1"]);
    let answer = proxy.client().await.connect("example.com:443").await;
    assert_eq!((answer.status, answer.reason()), (403, "private_address"));
    let status = "agentnet; error=destination_ip_prohibited; details=\"private_address\"";
    assert_eq!(answer.field("proxy-status"), Some(status));
    assert_eq!(proxy.world.dialled(), 0);
    assert_eq!(proxy.decision(0).await.verdict, Word::Deny);
}

#[tokio::test]
async fn refuses_its_own_addresses_and_the_gateway() {
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.name("example.com", &["8.7.6.5"]);
    proxy.world.name("a.wild.example", &["8.7.6.1"]);
    let answer = proxy.client().await.connect("example.com:443").await;
    assert_eq!((answer.status, answer.reason()), (403, "loop"));
    let answer = proxy.client().await.connect("a.wild.example:443").await;
    assert_eq!((answer.status, answer.reason()), (403, "private_address"));
}

#[tokio::test]
async fn records_a_request_whose_client_did_not_wait() {
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.name("c2vjcmv0.wild.example", &["9.9.9.9"]);
    proxy.world.black_hole("9.9.9.9:443");
    let mut client = proxy.client().await;
    let target = "c2VjcmV0.wild.example:443";
    client
        .send(format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
        ))
        .await;
    eventually("the dial", || (proxy.world.dialled() > 0).then_some(())).await;
    drop(client);
    let decision = proxy.decision(0).await;
    assert_eq!(
        (decision.host.as_str(), decision.verdict),
        ("c2vjcmv0.wild.example", Word::Allow)
    );
    assert_eq!(decision.status, None);
}

#[tokio::test]
async fn ends_the_upstream_when_the_client_goes_away() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.site("example.com", 443, origin.address);
    drop(proxy.tunnel("example.com:443").await);
    proxy.closed(0).await;
    assert_eq!(proxy.metric("tunnels").await, Some(0.0));
}

#[tokio::test]
async fn serves_an_old_client_that_names_no_host() {
    let origin = Origin::saying("SSH-2.0-test\r\n").await;
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.site("raw.example", 22, origin.address);
    let mut client = proxy.client().await;
    client.send("CONNECT raw.example:22 HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.read(14).await, b"SSH-2.0-test\r\n");
}

#[tokio::test]
async fn tells_a_client_that_did_not_wait_for_the_answer_why() {
    let proxy = Proxy::start(EXAMPLE).await;
    let mut client = proxy.client().await;
    let hello = "x".repeat(20_000);
    client
        .send(format!(
            "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n{hello}"
        ))
        .await;
    let (seen, reset) = client.rest_or_reset().await;
    let seen = String::from_utf8(seen).unwrap();
    assert!(
        seen.starts_with("HTTP/1.1 403 not_listed") && !reset,
        "{seen}"
    );
}
