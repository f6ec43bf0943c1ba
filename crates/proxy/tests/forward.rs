//! Plain HTTP, terminated and serialised anew.

use agentnet_policy::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Origin, Proxy, eventually};

const EXAMPLE: &str = "example.com\nother.example\nraw.example:80 raw\n";

async fn proxy_to(origin: &Origin) -> Proxy {
    let proxy = Proxy::start(EXAMPLE).await;
    proxy.world.site("example.com", 80, origin.address);
    proxy.world.site("raw.example", 80, origin.address);
    proxy.world.site("other.example", 80, origin.address);
    proxy
}

#[tokio::test]
async fn asks_in_origin_form_with_the_host_that_was_judged() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin).await;
    let mut client = proxy.client().await;
    client.send("GET http://EXAMPLE.com:80/a/b?c=d HTTP/1.1\r\nHost: example.COM\r\nX-Kept: 1\r\nX-Kept: 2\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert!(answer.field("via").unwrap().starts_with("1.1 agentnet-"));
    let seen = &origin.seen()[0];
    assert_eq!(seen.line(), "GET /a/b?c=d HTTP/1.1");
    assert_eq!(seen.fields("host"), ["example.com"]);
    assert_eq!(seen.fields("x-kept"), ["1", "2"]);
    assert_eq!(seen.fields("via").len(), 1);
    let decision = proxy.decision(0).await;
    assert_eq!(decision.path.unwrap().as_str(), "/a/b");
    let closed = proxy.closed(0).await;
    assert_eq!((closed.down, closed.reason), (5, Reason::Allowed));
    let bytes = |direction: &str| {
        format!("http_bytes_total{{direction=\"{direction}\",listener=\"default\"}}")
    };
    assert_eq!(proxy.metric(&bytes("down")).await, Some(5.0));
    #[expect(clippy::cast_precision_loss, reason = "a few bytes")]
    let up = closed.up as f64;
    assert_eq!(proxy.metric(&bytes("up")).await, Some(up));
    assert!(up > 0.0);
}

#[tokio::test]
async fn strips_the_fields_of_the_hop_and_those_that_connection_names() {
    let origin = Origin::http(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Secret-Hop\r\nX-Secret-Hop: 1\r\n\
         Keep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\nX-End: 1\r\n\r\nok",
    )
    .await;
    let proxy = proxy_to(&origin).await;
    let mut client = proxy.client().await;
    client
        .send(
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\
             Connection: host, content-length, transfer-encoding, connection, X-Mine, keep-alive\r\n\
             X-Mine: 1\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\n\
             TE: trailers\r\nKeep-Alive: 5\r\nX-Other: 1\r\n\r\nabc",
        )
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.text(), "ok");
    for gone in [
        "x-secret-hop",
        "keep-alive",
        "proxy-authenticate",
        "connection",
    ] {
        assert_eq!(answer.field(gone), None, "{}", answer.head);
    }
    assert_eq!(answer.field("x-end"), Some("1"));
    let seen = &origin.seen()[0];
    assert_eq!(seen.fields("host"), ["example.com"], "never by nomination");
    assert_eq!(seen.fields("content-length"), ["3"]);
    assert_eq!(seen.body, "abc");
    assert_eq!(seen.fields("x-other"), ["1"]);
    for gone in [
        "x-mine",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "keep-alive",
        "connection",
    ] {
        assert_eq!(seen.fields(gone), [""; 0], "{}", seen.head);
    }
}

#[tokio::test]
async fn keeps_connections_on_both_sides_but_never_for_another_target() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("http://example.com/").await.text(), "hello");
    }
    assert_eq!(client.get("http://other.example/").await.text(), "hello");
    let mut second = proxy.client().await;
    assert_eq!(second.get("http://example.com/").await.text(), "hello");
    let connections: Vec<usize> = origin.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 0, 1, 0]);
}

#[tokio::test]
async fn opens_a_new_upstream_connection_after_the_policy_has_changed() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin).await;
    let mut client = proxy.client().await;
    client.get("http://example.com/").await;
    proxy.write(
        "project.txt",
        "example.com\nother.example\n# changed\nnew.example\n",
    );
    proxy.reload().await;
    client.get("http://example.com/").await;
    let connections: Vec<usize> = origin.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1]);
}

#[tokio::test]
async fn asks_again_when_a_kept_connection_was_closed_meanwhile() {
    let origin =
        Origin::http("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Note: Connection: close\r\n\r\nok")
            .await;
    let proxy = proxy_to(&origin).await;
    let mut client = proxy.client().await;
    for _ in 0..20 {
        assert_eq!(client.get("http://example.com/").await.status, 200);
    }
}

#[tokio::test]
async fn streams_a_response_while_it_is_made() {
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let wait = std::sync::Arc::new(tokio::sync::Mutex::new(Some(wait)));
    let origin = Origin::serving(move |mut stream| {
        let wait = std::sync::Arc::clone(&wait);
        async move {
            let mut head = [0; 4096];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            let first = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
            stream.write_all(first.as_bytes()).await.unwrap();
            let wait = wait.lock().await.take().unwrap();
            wait.await.unwrap();
            stream
                .write_all(b"4\r\nlast\r\n0\r\nHost: evil\r\n\r\n")
                .await
                .unwrap();
        }
    })
    .await;
    let proxy = proxy_to(&origin).await;
    let mut client = proxy.client().await;
    client
        .send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
        .await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.chunk().await, b"first");
    go.send(()).unwrap();
    assert_eq!(client.chunk().await, b"last");
    assert_eq!(
        client.chunk().await,
        b"",
        "the end, and the trailer is left out"
    );
    assert_eq!(proxy.closed(0).await.down, 9);
}

#[tokio::test]
async fn streams_an_upload_and_meets_the_expectation_of_a_continue() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin).await;
    let mut client = proxy.client().await;
    client
        .send(
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nExpect: 100-continue\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
        )
        .await;
    assert_eq!(client.head().await.status, 100);
    client.send("3;note=x\r\nabc\r\n").await;
    client.send("0\r\nX-Trailer: 1\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "hello");
    let seen = &origin.seen()[0];
    assert_eq!(
        seen.body, "3\r\nabc\r\n0\r\n\r\n",
        "framed anew: no extension, no trailer"
    );
    assert_eq!(seen.fields("expect"), [""; 0]);
}

#[tokio::test]
async fn gives_redirects_back_without_following() {
    let origin = Origin::http(
        "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let proxy = proxy_to(&origin).await;
    let mut client = proxy.client().await;
    let answer = client.get("http://example.com/").await;
    assert_eq!(
        (answer.status, answer.field("location")),
        (302, Some("http://evil.example/"))
    );
    assert_eq!(
        client.get("http://evil.example/").await.reason(),
        "not_listed"
    );
    assert_eq!(proxy.world.asked(), ["example.com"]);
}

#[tokio::test]
async fn breaks_off_a_response_that_broke_off() {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let origin = Origin::serving(move |mut stream| async move {
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            let part = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n");
            stream.write_all(part.as_bytes()).await.unwrap();
        })
        .await;
        let proxy = proxy_to(&origin).await;
        let mut client = proxy.client().await;
        client
            .send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            .await;
        let (seen, reset) = client.rest_or_reset().await;
        let seen = String::from_utf8(seen).unwrap();
        assert!(reset, "{seen}");
        assert!(!seen.contains("\r\n0\r\n"), "{seen}");
        assert_eq!(proxy.closed(0).await.reason, Reason::UpstreamFailed);
    }
}

#[tokio::test]
async fn breaks_off_an_upload_that_broke_off() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin).await;
    for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut client = proxy.client().await;
        let head =
            format!("POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\n{framing}\r\n\r\n");
        client.send(head).await;
        client.send("5\r\nhello\r\n").await;
        drop(client);
    }
    eventually("both connections are gone", || {
        (proxy.world.dialled() >= 2).then_some(())
    })
    .await;
    assert_eq!(
        origin.seen().len(),
        0,
        "the origin never takes a part for the whole"
    );
}

#[tokio::test]
async fn refuses_a_websocket_unless_the_rule_says_raw() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin).await;
    let mut client = proxy.client().await;
    let ask = |host: &str, protocol: &str| {
        format!(
            "GET http://{host}/ws HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive, Upgrade\r\n\
             Upgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAAQ\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
    };
    client.send(ask("example.com", "websocket")).await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.reason()),
        (403, "upgrade_not_listed")
    );
    client.send(ask("example.com", "h2c")).await;
    assert_eq!(
        client.answer().await.text(),
        "hello",
        "an offer that can be ignored is"
    );
    let seen = &origin.seen()[0];
    for gone in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(seen.fields(gone), [""; 0], "{}", seen.head);
    }
}

#[tokio::test]
async fn carries_an_upgrade_where_the_rule_says_raw() {
    let origin = Origin::serving(|mut stream| async move {
        let mut request = [0; 4096];
        let count = stream.read(&mut request).await.unwrap();
        assert!(String::from_utf8_lossy(&request[..count]).contains("upgrade: websocket"));
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                      Upgrade: websocket\r\n\r\nfirst words";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.ok();
    })
    .await;
    let proxy = proxy_to(&origin).await;
    let mut client = proxy.client().await;
    client
        .send(
            "GET http://raw.example/ HTTP/1.1\r\nHost: raw.example\r\nConnection: upgrade\r\n\
             Upgrade: websocket\r\n\r\n",
        )
        .await;
    let answer = client.head().await;
    assert_eq!(
        (answer.status, answer.field("upgrade")),
        (101, Some("websocket"))
    );
    assert_eq!(client.read(11).await, b"first words");
    client.send("frame").await;
    assert_eq!(client.read(5).await, b"frame");
    drop(client);
    assert_eq!(proxy.closed(0).await.up, 5);
}

/// The bytes of another protocol may begin like an empty line, or like a request.
#[tokio::test]
async fn loses_no_byte_that_came_before_an_upgrade_was_answered() {
    let early: [&[u8]; 4] = [
        b"\r\n\0\x01frame",
        b"GET http://raw.example/ HTTP/1.1\r\nHost: raw.example\r\n\r\n\0frame",
        b"\0frame",
        b"GET http://raw.exa",
    ];
    for early in early {
        let origin = Origin::serving(|mut stream| async move {
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                          Upgrade: websocket\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            let (mut reader, mut writer) = stream.split();
            tokio::io::copy(&mut reader, &mut writer).await.ok();
        })
        .await;
        let proxy = proxy_to(&origin).await;
        let mut client = proxy.client().await;
        let request = "GET http://raw.example/ HTTP/1.1\r\nHost: raw.example\r\n\
                       Connection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        client.send([request.as_bytes(), early].concat()).await;
        assert_eq!(client.head().await.status, 101);
        let echoed = client.read(early.len()).await;
        assert_eq!(
            echoed.escape_ascii().to_string(),
            early.escape_ascii().to_string()
        );
    }
}

/// NTLM and Negotiate log a connection in, and not a request (RFC 4559 §6).
#[tokio::test]
async fn gives_a_connection_that_is_logged_in_to_no_other_client() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin).await;
    let ask = |with: &'static str| {
        format!("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n{with}\r\n")
    };
    let mut client = proxy.client().await;
    for with in ["", "Authorization: Negotiate YII=\r\n", ""] {
        client.send(ask(with)).await;
        assert_eq!(client.answer().await.text(), "hello");
    }
    let mut second = proxy.client().await;
    second.send(ask("")).await;
    assert_eq!(second.answer().await.text(), "hello");
    second.send(ask("Authorization: ntlm TlRM\r\n")).await;
    assert_eq!(second.answer().await.text(), "hello");
    let connections: Vec<usize> = origin.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1, 1, 0, 2]);
}

#[tokio::test]
async fn notices_a_request_that_has_been_here() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin).await;
    let mut client = proxy.client().await;
    client.get("http://example.com/").await;
    let via = origin.seen()[0].fields("via")[0].to_owned();
    client
        .send(format!(
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nVia: 1.0 a, {via}\r\n\r\n"
        ))
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.reason()), (403, "loop"));
}

#[tokio::test]
async fn answers_head_and_bodiless_responses_without_a_body() {
    let origin = Origin::http_with(|seen| {
        if seen.line().starts_with("HEAD") {
            "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_owned()
        } else {
            "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n".to_owned()
        }
    })
    .await;
    let proxy = proxy_to(&origin).await;
    let mut client = proxy.client().await;
    client
        .send("HEAD http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
        .await;
    let answer = client.head().await;
    assert_eq!(
        (answer.status, answer.field("content-length")),
        (200, Some("1000"))
    );
    assert_eq!(client.get("http://example.com/").await.status, 304);
    assert_eq!(origin.seen()[1].connection, 0, "the connection is kept");
}

#[tokio::test]
async fn believes_the_chunks_of_a_response_and_not_a_length_beside_them() {
    let origin = Origin::http(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    let proxy = proxy_to(&origin).await;
    let mut client = proxy.client().await;
    for _ in 0..2 {
        client
            .send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            .await;
        assert_eq!(client.head().await.field("content-length"), None);
        assert_eq!(client.chunk().await, b"hello");
        assert_eq!(client.chunk().await, b"");
    }
}

#[tokio::test]
async fn says_502_when_a_response_is_framed_as_nobody_can_tell() {
    for coding in ["gzip", "gzip, chunked", "chunked, chunked"] {
        let origin = Origin::http_with(move |_| {
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n")
        })
        .await;
        let proxy = proxy_to(&origin).await;
        let answer = proxy.client().await.get("http://example.com/").await;
        assert_eq!((answer.status, answer.reason()), (502, "upstream_failed"));
    }
}

#[tokio::test]
async fn lets_no_server_speak_in_the_name_of_the_proxy() {
    let said =
        "HTTP/1.1 403 Forbidden\r\nX-Agentnet-Reason: not_listed\r\nContent-Length: 0\r\n\r\n";
    let origin = Origin::http(said).await;
    let proxy = proxy_to(&origin).await;
    let answer = proxy.client().await.get("http://example.com/").await;
    assert_eq!((answer.status, answer.reason()), (403, ""));
}

#[tokio::test]
async fn says_502_when_the_server_speaks_no_http() {
    let origin = Origin::saying("SSH-2.0-nothing\r\n").await;
    let proxy = proxy_to(&origin).await;
    let answer = proxy.client().await.get("http://example.com/").await;
    assert_eq!((answer.status, answer.reason()), (502, "upstream_failed"));
}

#[tokio::test]
async fn says_504_when_the_server_never_answers() {
    let origin = Origin::saying("").await;
    let start = Proxy::with(EXAMPLE).settings(|raw| raw.idle_timeout_seconds = Some(1));
    let proxy = start.start().await;
    proxy.world.site("example.com", 80, origin.address);
    let answer = proxy.client().await.get("http://example.com/").await;
    assert_eq!((answer.status, answer.reason()), (504, "timed_out"));
}

#[tokio::test]
async fn serves_an_http_1_0_client() {
    let origin =
        Origin::http("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
            .await;
    let proxy = proxy_to(&origin).await;
    let mut client = proxy.client().await;
    client
        .send("GET http://example.com/ HTTP/1.0\r\n\r\n")
        .await;
    let seen = String::from_utf8(client.rest().await).unwrap();
    assert!(
        seen.starts_with("HTTP/1.0 200 OK\r\n") && seen.ends_with("\r\n\r\nok"),
        "{seen}"
    );
}
