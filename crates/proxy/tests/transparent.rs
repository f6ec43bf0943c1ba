//! Doors for programs that take the proxy for their host.

use std::net::SocketAddr;

use agentnet_policy::event::{Protocol, Word};
use agentnet_policy::{Event, Reason};

use crate::harness::{Client, Origin, Proxy, fragmented, hello, nameless};

const LINES: &str =
    "example.com\n*.wild.example\nhere.example\nport.example:8443\nspent.example up=1B\n";
const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];
const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// A proxy with a door for each kind, in a world where example.com is `origin`.
async fn start(origin: &Origin) -> Proxy {
    let doors = |raw: &mut agentnet_proxy::settings::Raw| {
        raw.transparent_tls = vec!["127.0.0.1:0=443".to_owned()];
        raw.transparent_http = vec!["127.0.0.1:0=80".to_owned()];
    };
    let proxy = Proxy::with(LINES).settings(doors).start().await;
    for port in [80, 443] {
        proxy.world.site("example.com", port, origin.address);
        proxy.world.site("a.wild.example", port, origin.address);
        proxy.world.site("spent.example", port, origin.address);
    }
    proxy
}

async fn tls(proxy: &Proxy) -> Client {
    Client::tcp(proxy.transparent_tls()).await
}

/// What comes back from the door for TLS.
async fn said(proxy: &Proxy, bytes: &[u8]) -> Vec<u8> {
    let mut client = tls(proxy).await;
    client.send(bytes).await;
    client.finish_if_open().await;
    client.rest_or_reset().await.0
}

async fn asked(proxy: &Proxy, request: &str) -> crate::harness::Answer {
    let mut client = Client::tcp(proxy.transparent_http()).await;
    client.send(request).await;
    client.answer().await
}

fn told(event: &Event) -> (Protocol, Word, Reason, String) {
    let host = format!("{}:{}", event.host, event.port);
    (event.protocol, event.verdict, event.reason, host)
}

#[tokio::test]
async fn tls_goes_where_its_name_says_byte_for_byte() {
    let origin = Origin::echo().await;
    let proxy = start(&origin).await;
    let flight = hello("example.com");
    for bytes in [
        flight.clone(),
        fragmented(&flight, 1),
        fragmented(&hello("A.Wild.Example"), 7),
    ] {
        let early = [bytes.as_slice(), b"early data"].concat();
        assert_eq!(said(&proxy, &early).await, early);
    }
    let event = proxy.decision(0).await;
    let example = "example.com:443".to_owned();
    let expected = (Protocol::Tls, Word::Allow, Reason::Allowed, example);
    assert_eq!(told(&event), expected);
    assert_eq!((event.method.as_str(), event.status), ("TLS", None));
    assert_eq!(event.rule.unwrap().text.as_str(), "example.com");
    assert_eq!(proxy.decision(2).await.host.as_str(), "a.wild.example");
    let closed = proxy.closed(0).await;
    let sent = u64::try_from(flight.len() + 10).unwrap();
    assert_eq!((closed.up, closed.down), (sent, sent));
    let series = "requests_total{listener=\"default\",protocol=\"tls\",reason=\"allowed\",verdict=\"allow\"}";
    assert_eq!(proxy.metric(series).await, Some(3.0));
}

#[tokio::test]
async fn a_handshake_is_read_the_same_wherever_it_is_cut() {
    let origin = Origin::echo().await;
    let proxy = start(&origin).await;
    let allowed = hello("example.com");
    let denied = (hello("evil.example"), ACCESS_DENIED.to_vec());
    for (flight, answer) in [(allowed.clone(), allowed), denied] {
        for cut in 1..flight.len() {
            let mut client = tls(&proxy).await;
            client.send_in_two(&flight, cut).await;
            assert_eq!(client.read(answer.len()).await, answer, "cut at {cut}");
        }
    }
    assert_eq!(
        proxy.world.asked(),
        vec!["example.com"; proxy.world.asked().len()]
    );
}

#[tokio::test]
async fn a_name_that_is_not_permitted_goes_nowhere_and_is_not_looked_up() {
    let origin = Origin::echo().await;
    let proxy = start(&origin).await;
    for (nth, (name, reason)) in [
        ("evil.example", Reason::NotListed),
        ("port.example", Reason::PortNotListed),
        ("metadata.google.internal", Reason::PrivateAddress),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(said(&proxy, &hello(name)).await, ACCESS_DENIED, "{name}");
        let expected = (Protocol::Tls, Word::Deny, reason, format!("{name}:443"));
        let event = proxy.decision(nth).await;
        assert_eq!(told(&event), expected);
        assert_eq!(event.status, None);
        assert!(event.sentence.unwrap().as_str().contains(reason.as_str()));
    }
    assert_eq!(proxy.world.asked(), Vec::<String>::new());
    let blocked = "blocked_hosts_total{host=\"evil.example\",listener=\"default\"}";
    assert_eq!(proxy.metric(blocked).await, Some(1.0));
}

#[tokio::test]
async fn without_one_name_nothing_goes_anywhere() {
    let origin = Origin::echo().await;
    let proxy = start(&origin).await;
    let request = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec();
    let mut truncated = hello("example.com");
    truncated.truncate(40);
    for (nth, (bytes, answer, reason)) in [
        // An address is not sent as a name (RFC 6066 §3).
        (
            hello("9.8.7.6"),
            UNRECOGNIZED_NAME.as_slice(),
            Reason::SniMissing,
        ),
        (request, &[], Reason::NotTls),
        (b"SSH-2.0-x\r\n".to_vec(), &[], Reason::NotTls),
        (truncated, &[], Reason::NotTls),
        (
            b"CONNECT example.com:443 HTTP/1.1\r\n\r\n".to_vec(),
            &[],
            Reason::NotTls,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(said(&proxy, &bytes).await, answer, "{nth}");
        let event = proxy.decision(nth).await;
        assert_eq!(
            (event.protocol, event.verdict, event.reason),
            (Protocol::Tls, Word::Deny, reason)
        );
    }
    // Who says nothing has asked for nothing.
    assert_eq!(said(&proxy, b"").await, b"");
    assert_eq!(proxy.events().len(), 5);
    assert_eq!(proxy.world.dialled(), 0);
}

#[tokio::test]
async fn a_handshake_for_no_host_or_several_goes_nowhere_wherever_it_is_cut() {
    let origin = Origin::echo().await;
    let proxy = start(&origin).await;
    for (nth, row) in nameless("example.com").into_iter().enumerate() {
        assert_eq!(said(&proxy, &row.bytes).await, row.answer, "{}", row.what);
        let event = proxy.decision(nth).await;
        let expected = (Word::Deny, row.reason);
        assert_eq!((event.verdict, event.reason), expected, "{}", row.what);
    }
    for row in nameless("example.com") {
        for cut in (1..row.bytes.len()).take(300) {
            let mut client = tls(&proxy).await;
            client.send_in_two(&row.bytes, cut).await;
            client.finish_if_open().await;
            let answer = client.rest_or_reset().await.0;
            assert_eq!(answer, row.answer, "{} cut at {cut}", row.what);
        }
    }
    assert_eq!(proxy.world.asked(), [""; 0]);
    assert_eq!(proxy.world.dialled(), 0);
}

#[tokio::test]
async fn failures_of_what_is_permitted_are_alerts_of_another_kind() {
    let origin = Origin::echo().await;
    let proxy = start(&origin).await;
    assert_eq!(said(&proxy, &hello("b.wild.example")).await, INTERNAL_ERROR);
    let event = proxy.decision(0).await;
    assert_eq!(
        (event.verdict, event.reason),
        (Word::Allow, Reason::ResolveFailed)
    );
}

#[tokio::test]
async fn a_budget_counts_here_as_well() {
    let origin = Origin::echo().await;
    let proxy = start(&origin).await;
    said(&proxy, &hello("spent.example")).await;
    assert_eq!(proxy.closed(0).await.reason, Reason::BudgetSpent);
    assert_eq!(said(&proxy, &hello("spent.example")).await, ACCESS_DENIED);
    assert_eq!(proxy.decision(1).await.reason, Reason::BudgetSpent);
}

#[tokio::test]
async fn a_tunnel_ends_with_the_line_that_allowed_it() {
    let origin = Origin::echo().await;
    let proxy = start(&origin).await;
    let flight = hello("example.com");
    let mut client = tls(&proxy).await;
    client.send(&flight).await;
    assert_eq!(client.read(flight.len()).await, flight);
    proxy.write("project.txt", "other.example\n");
    proxy.reload().await;
    client.rest_or_reset().await;
    assert_eq!(proxy.closed(0).await.reason, Reason::PolicyChanged);
}

#[tokio::test]
async fn a_name_that_leads_back_to_the_proxy_goes_nowhere() {
    let origin = Origin::echo().await;
    let proxy = start(&origin).await;
    // The proxy's own interface, and the door itself.
    for (nth, own) in ["8.7.6.5", "127.0.0.1"].into_iter().enumerate() {
        proxy.world.name("here.example", &[own]);
        assert_eq!(said(&proxy, &hello("here.example")).await, ACCESS_DENIED);
        let answer = asked(&proxy, "GET / HTTP/1.1\r\nHost: here.example\r\n\r\n").await;
        assert_eq!(answer.status, 403, "{}", answer.head);
        let reason = proxy.decision(2 * nth).await.reason;
        assert!(
            matches!(reason, Reason::Loop | Reason::PrivateAddress),
            "{reason}"
        );
    }
    assert_eq!(proxy.decision(0).await.reason, Reason::Loop);
    assert_eq!(proxy.world.dialled(), 0);
}

#[tokio::test]
async fn clients_that_may_not_use_the_listener_are_told_so() {
    let doors = |raw: &mut agentnet_proxy::settings::Raw| {
        raw.transparent_tls = vec!["127.0.0.1:0=443".to_owned()];
        raw.client = Some(vec!["10.9.9.0/24".to_owned()]);
    };
    let proxy = Proxy::with(LINES).settings(doors).start().await;
    assert_eq!(said(&proxy, &hello("example.com")).await, ACCESS_DENIED);
    assert_eq!(proxy.decision(0).await.reason, Reason::ClientNotAllowed);
}

#[tokio::test]
async fn where_credentials_are_wanted_nobody_can_show_them_here() {
    let doors = |raw: &mut agentnet_proxy::settings::Raw| {
        raw.transparent_tls = vec!["127.0.0.1:0=443".to_owned()];
        raw.transparent_http = vec!["127.0.0.1:0=80".to_owned()];
    };
    let builder = Proxy::with(LINES).settings(doors);
    let proxy = builder
        .tinyproxy("Port 1\nBasicAuth user pass\n")
        .start()
        .await;
    assert_eq!(said(&proxy, &hello("example.com")).await, ACCESS_DENIED);
    assert_eq!(proxy.decision(0).await.reason, Reason::AuthRequired);
    let answer = asked(&proxy, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").await;
    assert_eq!(answer.status, 407, "{}", answer.head);
    assert_eq!(proxy.world.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for_for_ever() {
    let impatient = |raw: &mut agentnet_proxy::settings::Raw| {
        raw.transparent_tls = vec!["127.0.0.1:0=443".to_owned()];
        raw.head_timeout_seconds = Some(1);
    };
    let proxy = Proxy::with(LINES).settings(impatient).start().await;
    let mut silent = tls(&proxy).await;
    assert_eq!(silent.rest_or_reset().await.0, b"");
    let cause = "connections_rejected_total{cause=\"head_timed_out\"}";
    assert_eq!(proxy.metric(cause).await, Some(1.0));
    assert_eq!(proxy.events(), []);
}

#[tokio::test]
async fn a_drain_waits_for_what_flows_and_not_for_who_has_said_nothing() {
    let origin = Origin::echo().await;
    let mut proxy = start(&origin).await;
    let flight = hello("example.com");
    let mut flowing = tls(&proxy).await;
    flowing.send(&flight).await;
    assert_eq!(flowing.read(flight.len()).await, flight);
    let mut silent = tls(&proxy).await;
    let draining = proxy.draining(std::time::Duration::from_secs(5));
    assert_eq!(silent.rest_or_reset().await.0, b"");
    flowing.send("more").await;
    assert_eq!(flowing.read(4).await, b"more");
    flowing.finish().await;
    flowing.rest().await;
    assert!(draining.await.unwrap(), "nothing had to be cut");
}

#[tokio::test]
async fn plain_http_goes_where_its_host_says() {
    let origin = Origin::page().await;
    let proxy = start(&origin).await;
    let mut client = Client::tcp(proxy.transparent_http()).await;
    for host in ["example.com", "EXAMPLE.com:80", "a.wild.example"] {
        client
            .send(format!("GET /x?y HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(client.answer().await.status, 200, "{host}");
    }
    let seen = origin.seen();
    assert_eq!(seen[0].line(), "GET /x?y HTTP/1.1");
    assert_eq!(seen[1].fields("host"), ["example.com"]);
    let event = proxy.decision(0).await;
    let example = "example.com:80".to_owned();
    let expected = (Protocol::Http, Word::Allow, Reason::Allowed, example);
    assert_eq!(told(&event), expected);
}

#[tokio::test]
async fn plain_http_that_is_not_permitted_is_refused_in_words() {
    let origin = Origin::page().await;
    let proxy = start(&origin).await;
    let answer = asked(&proxy, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert_eq!((answer.status, answer.reason()), (403, "not_listed"));
    let answer = asked(&proxy, "GET / HTTP/1.1\r\nHost: port.example\r\n\r\n").await;
    assert_eq!((answer.status, answer.reason()), (403, "port_not_listed"));
    assert_eq!(proxy.world.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_a_request_to_a_web_server_by_name_is_a_bad_request() {
    let origin = Origin::page().await;
    let proxy = start(&origin).await;
    let own = rustix::system::uname()
        .nodename()
        .to_str()
        .unwrap()
        .to_owned();
    let own = format!("GET / HTTP/1.1\r\nHost: {own}\r\n\r\n");
    let door: SocketAddr = proxy.transparent_http();
    let door = format!("GET / HTTP/1.1\r\nHost: {door}\r\n\r\n");
    let mut requests = vec![
        "GET / HTTP/1.1\r\nHost: 9.9.9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [2606:2800:220:1::1]\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@example.com\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: example.com\r\nHost: example.com\r\n\r\n",
        "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    requests.extend([own.as_str(), door.as_str()]);
    for request in requests {
        let answer = asked(&proxy, request).await;
        assert_eq!(
            (answer.status, answer.reason()),
            (400, "bad_request"),
            "{request}"
        );
    }
    let other = asked(&proxy, "GET / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n").await;
    assert_eq!((other.status, other.reason()), (403, "host_mismatch"));
    let trace = asked(&proxy, "TRACE / HTTP/1.1\r\nHost: example.com\r\n\r\n").await;
    assert_eq!(trace.status, 405);
    assert_eq!(proxy.world.dialled(), 0);
}

#[tokio::test]
async fn who_is_refused_is_told_by_the_door_and_by_what_it_calls_itself() {
    let origin = Origin::page().await;
    let proxy = start(&origin).await;
    let long = "x".repeat(4 * Event::AGENT);
    // Control characters are refused with the head; what reorders a line can stand there.
    let get =
        format!("GET / HTTP/1.1\r\nhost: other.example\r\nuser-agent: \u{202e}[2J{long}\r\n\r\n");
    assert_eq!(asked(&proxy, &get).await.status, 403);
    let around = proxy.decision(0).await;
    let agent = around.agent.unwrap();
    assert!(
        around.transparent && agent.as_str().starts_with("\u{fffd}[2Jxx"),
        "{agent}"
    );
    assert!(agent.as_str().len() <= Event::AGENT + 8, "{agent}");

    let mut client = Client::tcp(proxy.address).await;
    client
        .send("CONNECT other.example:443 HTTP/1.1\r\nhost: other.example:443\r\nuser-agent: pip/24.0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 403);
    let through = proxy.decision(1).await;
    let agent = through.agent.unwrap();
    assert_eq!((through.transparent, agent.as_str()), (false, "pip/24.0"));

    // What is let through is nobody's business.
    let get =
        "GET / HTTP/1.1\r\nhost: example.com\r\nuser-agent: pip/24.0\r\nconnection: close\r\n\r\n";
    let mut client = Client::tcp(proxy.transparent_http()).await;
    client.send(get).await;
    let passed = proxy.decision(2).await;
    assert_eq!((passed.transparent, passed.agent), (true, None));
}
