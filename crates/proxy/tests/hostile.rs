//! Requests made to be read in two ways: the rows of the threat list, over a real socket.

pub mod heads;

use agentnet_policy::Reason;

use self::heads::{HEADS, NO_HOSTS};
use crate::harness::{Origin, Proxy, eventually, within};

/// Everything that is no request for a host, and its answer.
fn rows() -> Vec<(u16, &'static str, String)> {
    let heads = HEADS
        .iter()
        .map(|(status, reason, head)| (*status, *reason, (*head).to_owned()));
    let long = "a".repeat(64);
    let long = [
        format!("{long}.example.com"),
        format!("{}example.com", "a.".repeat(122)),
    ];
    let hosts = NO_HOSTS.iter().map(|host| (*host).to_owned()).chain(long);
    let forms = |host: String| {
        [
            format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"),
            format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ]
    };
    let hosts = hosts.flat_map(forms).map(|head| (400, "bad_request", head));
    heads.chain(hosts).collect()
}

#[tokio::test]
async fn refuses_what_two_parsers_could_read_differently() {
    let proxy = Proxy::start("**.example.com:*\n").await;
    proxy.world.name("example.com", &["9.9.9.9"]);
    let rows = rows();
    let mut other = Vec::new();
    for (status, reason, sent) in &rows {
        let mut client = proxy.client().await;
        client.send(sent).await;
        let answer = client.head().await;
        if (answer.status, answer.reason()) != (*status, *reason) {
            other.push((sent, answer.head));
        }
    }
    assert!(other.is_empty(), "{other:#?}");
    assert_eq!(
        proxy.world.asked(),
        [""; 0],
        "none of them is worth a question"
    );
    assert_eq!(proxy.world.dialled(), 0);
    eventually("an event each", || {
        (proxy.events().len() == rows.len()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn refuses_it_the_same_wherever_it_is_cut() {
    let proxy = Proxy::start("**.example.com:*\n").await;
    proxy.world.name("example.com", &["9.9.9.9"]);
    for (status, reason, sent) in rows() {
        for cut in 1..sent.len() {
            let mut client = proxy.client().await;
            client.send_in_two(&sent, cut).await;
            let answer = client.head().await;
            assert_eq!(
                (answer.status, answer.reason()),
                (status, reason),
                "{sent:?} cut at {cut}"
            );
        }
    }
    assert_eq!(proxy.world.asked(), [""; 0]);
    assert_eq!(proxy.world.dialled(), 0);
}

#[tokio::test]
async fn closes_after_a_malformed_request() {
    let proxy = Proxy::start("example.com\n").await;
    let mut client = proxy.client().await;
    let smuggled = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\nGET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    client.send(smuggled).await;
    assert_eq!(client.answer().await.status, 400);
    client.rest_or_reset().await;
    assert_eq!(proxy.decision(0).await.reason, Reason::BadRequest);
    assert_eq!(proxy.events().len(), 1);
}

#[tokio::test]
async fn reads_a_head_the_same_wherever_it_is_cut() {
    let proxy = Proxy::start("example.com\n").await;
    let head = "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n";
    for cut in 1..head.len() {
        let mut client = proxy.client().await;
        client.send_in_two(head, cut).await;
        assert_eq!(client.head().await.reason(), "not_listed", "cut at {cut}");
    }
}

#[tokio::test]
async fn answers_what_came_before_a_faulty_head_and_nothing_after_it() {
    let origin = Origin::page().await;
    let proxy = Proxy::start("example.com\n").await;
    proxy.world.site("example.com", 80, origin.address);
    let good = "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n";
    let bad = "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\
               Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let sent = format!("{good}{bad}{good}");
    let mut client = proxy.client().await;
    client.send(&sent).await;
    let answers = [client.answer().await, client.answer().await];
    assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 400]);
    assert!(answers[1].text().contains("send one of them"));
    let (rest, _) = client.rest_or_reset().await;
    assert_eq!(rest, b"");
    assert_eq!(origin.seen().len(), 1);
    let told = proxy.decision(1).await;
    assert_eq!(
        (told.reason, told.method.as_str(), told.path),
        (Reason::BadRequest, "", None),
        "nothing is told of what was not read"
    );
    // The same head, cut at every byte.
    for cut in 1..bad.len() - 5 {
        let mut client = proxy.client().await;
        client.send_in_two(bad, cut).await;
        let answer = client.head().await;
        assert_eq!(answer.reason(), "bad_request", "cut at {cut}");
    }
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn takes_its_own_substitute_from_a_client_for_what_it_is() {
    let proxy = Proxy::start("example.com\n").await;
    let mut client = proxy.client().await;
    client
        .send("GET /faulty-head HTTP/1.1\r\nHost: agentnet.invalid\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.reason()), (400, "bad_request"));
    assert!(answer.text().contains("not a web server"));
}

#[tokio::test]
async fn answers_requests_sent_in_one_go_in_order() {
    let origin = Origin::page().await;
    let proxy = Proxy::start("example.com\n").await;
    proxy.world.site("example.com", 80, origin.address);
    let mut client = proxy.client().await;
    let one = |host: &str| format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    client
        .send(one("example.com") + &one("evil.example") + &one("example.com"))
        .await;
    let statuses = [
        client.answer().await.status,
        client.answer().await.status,
        client.answer().await.status,
    ];
    assert_eq!(statuses, [200, 403, 200]);
}

#[tokio::test]
async fn writes_nothing_of_a_request_to_the_log_unescaped() {
    let proxy = Proxy::start("example.com\n").await;
    let mut client = proxy.client().await;
    let path = "/%0a\u{9b}31m\u{202e}\u{85}";
    client
        .send(format!(
            "GET http://evil.example{path} HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        ))
        .await;
    client.head().await;
    let sent = proxy
        .client()
        .await
        .connect("e\u{301}vil.example:443")
        .await;
    assert_eq!(sent.status, 400);
    eventually("an event", || (!proxy.log().is_empty()).then_some(())).await;
    let log = proxy.log();
    let bad = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    assert!(!log.contains(bad), "{log:?}");
    assert!(
        log.lines().all(|line| line.starts_with("{\"v\":1,")),
        "{log}"
    );
}

#[tokio::test]
async fn forwards_no_body_bytes_as_a_second_request() {
    let origin = Origin::page().await;
    let proxy = Proxy::start("example.com\n").await;
    proxy.world.site("example.com", 80, origin.address);
    let mut client = proxy.client().await;
    let inner = "GET /admin HTTP/1.1\r\nHost: example.com\r\n\r\n";
    let head = "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\n";
    client
        .send(format!("{head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()))
        .await;
    client.rest_or_reset().await;
    for seen in origin.seen() {
        assert_eq!(seen.line(), "POST / HTTP/1.1");
        let framings = seen.fields("content-length").len() + seen.fields("transfer-encoding").len();
        assert_eq!(framings, 1, "{}", seen.head);
    }
}

/// A body that breaks its framing: nobody may take what came before for the whole.
#[tokio::test]
async fn resets_the_upstream_on_a_bad_chunk() {
    let proxy = Proxy::start("example.com\n").await;
    for chunk in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5these-bytes\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello",
        "0\r\nHost: evil.example\n\r\n",
    ] {
        for before in ["", "3\r\nabc\r\n"] {
            let body = format!("{before}{chunk}");
            for cut in 1..body.len() {
                let (origin, received) = Origin::listening().await;
                proxy.world.site("example.com", 80, origin.address);
                let before = proxy.world.dialled();
                let mut client = proxy.client().await;
                let head = "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n";
                client.send(head).await;
                client.send_in_two(&body, cut).await;
                let (seen, _) = client.rest_or_reset().await;
                let seen = String::from_utf8(seen).unwrap();
                assert!(!seen.starts_with("HTTP/1.1 200"), "{body:?}: {seen}");
                if proxy.world.dialled() == before {
                    continue;
                }
                let (bytes, reset) = within("the end", received).await.unwrap();
                let bytes = String::from_utf8(bytes).unwrap();
                assert!(reset, "{body:?} cut at {cut}: {bytes:?}");
                assert!(
                    !bytes.ends_with("0\r\n\r\n"),
                    "{body:?} cut at {cut}: {bytes:?}"
                );
            }
        }
    }
}

/// The one spelling of a coding that passes leaves as the proxy's own.
#[tokio::test]
async fn frames_what_is_chunked_anew() {
    let origin = Origin::page().await;
    let proxy = Proxy::start("example.com\n").await;
    proxy.world.site("example.com", 80, origin.address);
    let mut client = proxy.client().await;
    client
        .send("POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: Chunked\r\n\r\n\
               5;a=b\r\nhello\r\n0\r\nHost: evil.example\r\nContent-Length: 9\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 200);
    let seen = &origin.seen()[0];
    assert_eq!(seen.fields("transfer-encoding"), ["chunked"]);
    assert_eq!(seen.fields("host"), ["example.com"]);
    assert_eq!(seen.fields("content-length"), [""; 0]);
    assert_eq!(seen.body, "5\r\nhello\r\n0\r\n\r\n");
}

/// What follows a refused CONNECT is looked at by nobody: it must not be taken for a request.
#[tokio::test]
async fn takes_nothing_behind_a_refused_connect_for_a_request() {
    let origin = Origin::page().await;
    let proxy = Proxy::start("example.com\n").await;
    proxy.world.site("example.com", 80, origin.address);
    let behind = "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\
                  Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for connect in [
        "CONNECT denied.example:443 HTTP/1.1\r\nHost: denied.example:443\r\n\r\n",
        "CONNECT denied.example:443 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "CONNECT nonsense HTTP/1.1\r\nHost: nonsense\r\n\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nContent-Length: 0\r\n\r\n",
    ] {
        let mut client = proxy.client().await;
        client.send(format!("{connect}{behind}")).await;
        assert!(client.answer().await.status >= 400);
        let (rest, _) = client.rest_or_reset().await;
        assert!(rest.is_empty(), "{}", rest.escape_ascii());
    }
    assert_eq!(origin.seen().len(), 0);
}
