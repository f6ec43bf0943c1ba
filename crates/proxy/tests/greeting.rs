//! The first bytes of a tunnel: TLS for its target, or plain HTTP, or nothing gets through.

use agentnet_policy::Reason;
use agentnet_policy::event::{Protocol, Word};

use crate::harness::{
    Client, Origin, Proxy, ech, fragmented, hello, hello_of, large_key_share, nameless, server_name,
};

/// A proxy that permits a name, an address and a raw port, all of which lead to `origin`.
async fn proxy(origin: &Origin) -> Proxy {
    let proxy = Proxy::start("example.com\nexample.com:8080\n9.8.7.6:443\nraw.example raw\n").await;
    internet(&proxy, origin);
    proxy
}

fn internet(proxy: &Proxy, origin: &Origin) {
    for port in [80, 443, 8080] {
        proxy.world.site("example.com", port, origin.address);
        proxy.world.site("raw.example", port, origin.address);
    }
    proxy.world.road("9.8.7.6:443", origin.address);
}

/// What comes back in a tunnel to `target` when `bytes` are said in it.
async fn said(proxy: &Proxy, target: &str, bytes: &[u8]) -> Vec<u8> {
    let mut client = proxy.tunnel(target).await;
    client.send(bytes).await;
    client.finish().await;
    client.rest_or_reset().await.0
}

#[tokio::test]
async fn passes_tls_for_the_target_untouched() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin).await;
    let flight = hello("example.com");
    for bytes in [
        flight.clone(),
        fragmented(&flight, 1),
        fragmented(&flight, 7),
    ] {
        let early = [bytes.as_slice(), b"early data"].concat();
        assert_eq!(said(&proxy, "example.com:443", &early).await, early);
    }
    let nameless = hello("9.8.7.6");
    assert_eq!(said(&proxy, "9.8.7.6:443", &nameless).await, nameless);
    for nth in 0..4 {
        assert_eq!(proxy.closed(nth).await.reason, Reason::Allowed);
    }
}

/// Upper case, the trailing dot, a post-quantum key share, Encrypted ClientHello with the target outside:
/// all of them are TLS for the target, in small records as well.
#[tokio::test]
async fn passes_what_clients_really_send() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin).await;
    let named = |name: &str| server_name(&[(0, name.as_bytes())]);
    let flights = [
        hello_of(&[named("Example.COM")]),
        hello_of(&[named("example.com.")]),
        hello_of(&[large_key_share(), named("example.com")]),
        hello_of(&[ech(), named("example.com")]),
        hello_of(&[named("example.com"), ech(), large_key_share()]),
    ];
    for flight in flights {
        for size in [1, 100, 16_000] {
            let bytes = fragmented(&flight, size);
            assert_eq!(said(&proxy, "example.com:443", &bytes).await, bytes);
        }
    }
}

#[tokio::test]
async fn reads_a_greeting_the_same_wherever_it_is_cut() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin).await;
    let flight = hello("example.com");
    for cut in 1..flight.len() {
        let mut client = proxy.tunnel("example.com:443").await;
        client.send_in_two(&flight, cut).await;
        assert_eq!(client.read(flight.len()).await, flight, "cut at {cut}");
    }
    let other = hello("evil.example");
    for cut in 1..other.len() {
        let mut client = proxy.tunnel("example.com:443").await;
        client.send_in_two(&other, cut).await;
        assert_eq!(
            client.rest_or_reset().await.0,
            [21, 3, 3, 0, 2, 2, 112],
            "cut at {cut}"
        );
    }
}

#[tokio::test]
async fn closes_what_names_no_host_or_several_wherever_it_is_cut() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin).await;
    for (nth, row) in nameless("example.com").into_iter().enumerate() {
        let what = row.what;
        assert_eq!(
            said(&proxy, "example.com:443", &row.bytes).await,
            row.answer,
            "{what}"
        );
        let closed = proxy.closed(nth).await;
        assert_eq!(
            (closed.reason, closed.verdict),
            (row.reason, Word::Deny),
            "{what}"
        );
        assert_eq!((closed.up, closed.down), (0, 0), "{what}");
    }
    for row in nameless("example.com") {
        for cut in (1..row.bytes.len()).take(300) {
            let mut client = proxy.tunnel("example.com:443").await;
            client.send_in_two(&row.bytes, cut).await;
            client.finish_if_open().await;
            let answer = client.rest_or_reset().await.0;
            assert_eq!(answer, row.answer, "{} cut at {cut}", row.what);
        }
    }
}

/// Dribbled so that no read ever sees the name (THREATS W83).
#[tokio::test]
async fn closes_a_greeting_that_does_not_come_to_its_end() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin).await;
    let mut client = proxy.tunnel("example.com:443").await;
    client.send(&hello("example.com")[..60]).await;
    assert_eq!(client.rest_or_reset().await.0, b"");
    let closed = proxy.closed(0).await;
    assert_eq!((closed.reason, closed.up), (Reason::TimedOut, 0));
}

#[tokio::test]
async fn closes_what_is_not_for_the_target_and_says_why() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin).await;
    let unrecognized_name: &[u8] = &[21, 3, 3, 0, 2, 2, 112];
    let fronted = hello_of(&[server_name(&[(0, b"cloudflare-ech.com")]), ech()]);
    let rows: [(&str, Vec<u8>, &[u8], Reason); 7] = [
        (
            "example.com:443",
            fronted,
            unrecognized_name,
            Reason::SniMismatch,
        ),
        (
            "example.com:443",
            hello("evil.example"),
            unrecognized_name,
            Reason::SniMismatch,
        ),
        (
            "example.com:443",
            hello("9.8.7.6"),
            unrecognized_name,
            Reason::SniMissing,
        ),
        (
            "9.8.7.6:443",
            hello("evil.example"),
            unrecognized_name,
            Reason::SniMismatch,
        ),
        (
            "example.com:443",
            b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
            &[],
            Reason::NotTls,
        ),
        (
            "example.com:443",
            b"\x05\x01\x00".to_vec(),
            &[],
            Reason::NotTls,
        ),
        (
            "example.com:443",
            hello("example.com")[..50].to_vec(),
            &[],
            Reason::NotTls,
        ),
    ];
    for (nth, (target, bytes, answer, reason)) in rows.into_iter().enumerate() {
        assert_eq!(
            said(&proxy, target, &bytes).await,
            answer,
            "{target} {reason}"
        );
        let closed = proxy.closed(nth).await;
        assert_eq!((closed.reason, closed.verdict), (reason, Word::Deny));
        assert_eq!(
            (closed.up, closed.down),
            (0, 0),
            "nothing reached the other side"
        );
        let sentence = closed.sentence.unwrap();
        assert!(sentence.as_str().contains(reason.as_str()), "{sentence}");
        let series = format!("tunnels_closed_total{{listener=\"default\",reason=\"{reason}\"}}");
        assert!(proxy.metric(&series).await >= Some(1.0));
    }
}

#[tokio::test]
async fn closes_a_tunnel_whose_server_speaks_first_unless_the_rule_says_raw() {
    let origin = Origin::saying("220 mail\r\n").await;
    let proxy = proxy(&origin).await;
    let mut client = proxy.tunnel("raw.example:443").await;
    assert_eq!(client.read(10).await, b"220 mail\r\n");
    let mut client = proxy.tunnel("example.com:443").await;
    assert_eq!(client.rest_or_reset().await.0, b"");
    assert_eq!(proxy.closed(0).await.reason, Reason::NotTls);
}

#[tokio::test]
async fn lets_a_client_go_that_says_nothing() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin).await;
    drop(proxy.tunnel("example.com:443").await);
    assert_eq!(proxy.closed(0).await.reason, Reason::Allowed);
}

#[tokio::test]
async fn refuses_an_encrypted_part_only_when_told() {
    let origin = Origin::echo().await;
    let strict = Proxy::with("example.com\n").settings(|raw| raw.ech = Some("refuse".to_owned()));
    let strict = strict.start().await;
    internet(&strict, &origin);
    let lenient = proxy(&origin).await;
    let plain = hello("example.com");
    let ech = with_ech(&plain);
    assert_eq!(said(&lenient, "example.com:443", &ech).await, ech);
    assert_eq!(said(&strict, "example.com:443", &plain).await, plain);
    assert_eq!(
        said(&strict, "example.com:443", &ech).await,
        [21, 3, 3, 0, 2, 2, 49]
    );
    assert_eq!(strict.closed(1).await.reason, Reason::EchRefused);
}

/// The same ClientHello with an empty `encrypted_client_hello` at its end.
fn with_ech(flight: &[u8]) -> Vec<u8> {
    let mut bytes = [flight, &[0xfe, 0x0d, 0, 0]].concat();
    let add = |bytes: &mut Vec<u8>, at: usize| {
        let length = u16::from_be_bytes([bytes[at], bytes[at + 1]]) + 4;
        bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
    };
    // Record, handshake (the low two of three bytes), then the extensions behind session, suites
    // and compression.
    add(&mut bytes, 3);
    add(&mut bytes, 7);
    let suites = 44 + usize::from(bytes[43]);
    let compression =
        suites + 2 + usize::from(u16::from_be_bytes([bytes[suites], bytes[suites + 1]]));
    let extensions = compression + 1 + usize::from(bytes[compression]);
    add(&mut bytes, extensions);
    bytes
}

#[tokio::test]
async fn records_in_mode_observe_what_enforce_would_close() {
    let origin = Origin::echo().await;
    let proxy = Proxy::with("example.com\n").settings(|raw| raw.mode = Some("observe".to_owned()));
    let proxy = proxy.start().await;
    internet(&proxy, &origin);
    let other = hello("evil.example");
    assert_eq!(said(&proxy, "example.com:443", &other).await, other);
    assert_eq!(proxy.closed(0).await.reason, Reason::SniMismatch);
    assert_eq!(
        said(&proxy, "raw.example:443", b"SSH-2.0-x\r\n").await,
        b"SSH-2.0-x\r\n"
    );
    assert_eq!(proxy.closed(1).await.reason, Reason::NotTls);
}

#[tokio::test]
async fn closes_an_unchecked_tunnel_when_its_line_loses_the_word() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin).await;
    let mut opaque = proxy.tunnel("raw.example:443").await;
    let mut checked = proxy.tunnel("example.com:443").await;
    let flight = hello("example.com");
    checked.send(&flight).await;
    assert_eq!(checked.read(flight.len()).await, flight);
    proxy.write("project.txt", "example.com\nraw.example\n");
    proxy.reload().await;
    opaque.rest_or_reset().await;
    assert_eq!(proxy.closed(0).await.reason, Reason::PolicyChanged);
    checked.send("x").await;
    assert_eq!(checked.read(1).await, b"x");
}

async fn get(client: &mut Client, path: &str, host: &str) -> (u16, String) {
    client
        .send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        .await;
    let answer = client.answer().await;
    (answer.status, answer.reason().to_owned())
}

#[tokio::test]
async fn serves_plain_http_in_a_tunnel_as_requests_to_its_target() {
    let origin = Origin::page().await;
    let proxy = proxy(&origin).await;
    for (target, host) in [
        ("example.com:80", "example.com"),
        ("example.com:8080", "example.com:8080"),
    ] {
        let mut client = proxy.tunnel(target).await;
        for path in ["/a", "/b?c"] {
            assert_eq!(get(&mut client, path, host).await, (200, String::new()));
        }
        let mismatch = (403, "host_mismatch".to_owned());
        assert_eq!(get(&mut client, "/", "evil.example").await, mismatch);
        let absolute = format!("http://{host}/x");
        assert_eq!(
            get(&mut client, &absolute, host).await,
            (200, String::new())
        );
        client
            .send("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
            .await;
        assert_eq!(client.head().await.reason(), "bad_request");
    }
    let lines: Vec<String> = origin
        .seen()
        .iter()
        .map(|seen| seen.line().to_owned())
        .collect();
    let once = ["GET /a HTTP/1.1", "GET /b?c HTTP/1.1", "GET /x HTTP/1.1"];
    assert_eq!(lines, [once, once].concat());
    let connect = proxy.decision(0).await;
    assert_eq!(
        (connect.protocol, connect.verdict),
        (Protocol::Connect, Word::Allow)
    );
    let get = proxy.decision(1).await;
    assert_eq!((get.protocol, get.port), (Protocol::Http, 80));
    assert_eq!(get.path.unwrap().as_str(), "/a");
}

#[tokio::test]
async fn checks_the_heads_in_a_tunnel_as_well() {
    let origin = Origin::page().await;
    let proxy = proxy(&origin).await;
    let mut client = proxy.tunnel("example.com:80").await;
    client
        .send("GET / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx")
        .await;
    assert_eq!(client.head().await.reason(), "bad_request");
    assert_eq!(origin.seen().len(), 0);
}
