//! The way through parents: what they are asked, what they answer, and what never happens instead.

use std::time::Duration;

use agentnet_policy::event::Word;
use agentnet_policy::{Event, Reason};

use crate::harness::{Mood, Origin, Parent, Proxy, World, eventually, tls_file};
use crate::hostile::heads::NO_HOSTS;

const LIST: &str = "example.com raw\nother.example raw\n*.wild.example raw\ngit.corp.example:22 raw private\n\
                    172.17.0.1:11434 raw host\n";

/// A proxy whose everything goes through `urls`.
async fn through(world: &World, urls: &[String]) -> Proxy {
    let quoted: Vec<String> = urls.iter().map(|url| format!("{url:?}")).collect();
    settled(world, &format!("upstream = [{}]", quoted.join(", "))).await
}

async fn settled(world: &World, toml: &str) -> Proxy {
    Proxy::with(LIST).world(world).toml(toml).start().await
}

/// The one decision: refused with `upstream_failed` and this in its sentence.
fn failed(event: &Event, says: &str) {
    assert_eq!(
        (event.verdict, event.reason),
        (Word::Allow, Reason::UpstreamFailed)
    );
    let sentence = event.sentence.as_ref().unwrap().as_str();
    assert!(sentence.contains(says), "{sentence}");
}

#[tokio::test]
async fn sends_addresses_that_were_admitted_here_to_either_kind_of_parent() {
    let origin = Origin::echo().await;
    for scheme in ["http", "socks5"] {
        let world = World::default();
        world.site("example.com", 443, origin.address);
        let parent = match scheme {
            "http" => Parent::http(&world).await,
            _ => Parent::socks(&world).await,
        };
        let proxy = through(&world, &[parent.url(scheme)]).await;
        let mut client = proxy.tunnel("example.com:443").await;
        client.send("over and out").await;
        assert_eq!(client.read(12).await, b"over and out");
        client.finish().await;
        assert_eq!(client.rest().await, b"");
        assert_eq!(parent.asked(), ["9.9.9.10:443"], "{scheme}");
        assert_eq!(world.dialled_to(), [parent.address], "{scheme}");
        let event = proxy.decision(0).await;
        let route = event.route.unwrap();
        assert_eq!(route.as_str(), parent.url(scheme));
        assert_eq!(event.address, Some("9.9.9.10".parse().unwrap()));
        let closed = proxy.closed(0).await;
        assert_eq!(
            (closed.up, closed.down, closed.reason),
            (12, 12, Reason::Allowed)
        );
        let series = |name: &str| format!("{name}{{route=\"{route}\"}}");
        let count = proxy.metric(&series("dial_seconds_count")).await;
        assert_eq!(count, Some(1.0));
        let failures = proxy.metric(&series("upstream_failures_total")).await;
        assert_eq!(failures, Some(0.0));
        assert_eq!(
            proxy.metric("dial_seconds_count{route=\"direct\"}").await,
            Some(0.0)
        );
    }
}

#[tokio::test]
async fn starts_the_series_of_a_known_route_at_zero() {
    let proxy = through(
        &World::default(),
        &["http://u:hunter2@squid.example:3128".to_owned()],
    )
    .await;
    let series = "dial_seconds_count{route=\"http://squid.example:3128\"}";
    assert_eq!(proxy.metric(series).await, Some(0.0));
    let (_, text) = proxy.admin("/metrics").await;
    assert!(!text.contains("hunter2"));
}

#[tokio::test]
async fn sends_names_only_where_remote_dns_says_so_and_resolves_nothing_then() {
    let origin = Origin::echo().await;
    let world = World::default();
    world.site("example.com", 443, origin.address);
    world.site("other.example", 443, origin.address);
    let socks = Parent::socks(&world).await;
    let http = Parent::http(&world).await;
    let proxy = settled(
        &world,
        &format!(
            "[[upstream]]\nto = [\"example.com\"]\nvia = [{:?}]\n\
             [[upstream]]\nto = [\"other.example\"]\nvia = [{:?}]\nremote_dns = true\n",
            socks.url("socks5h"),
            http.url("http"),
        ),
    )
    .await;
    for target in ["example.com:443", "other.example:443"] {
        let mut client = proxy.tunnel(target).await;
        client.send("x").await;
        assert_eq!(client.read(1).await, b"x");
    }
    assert_eq!(socks.asked(), ["example.com:443"]);
    assert_eq!(http.asked(), ["other.example:443"]);
    assert!(world.asked().is_empty(), "{:?}", world.asked());
    assert_eq!(proxy.decision(0).await.address, None);
}

#[tokio::test]
async fn checks_addresses_here_before_a_parent_hears_of_them() {
    let world = World::default();
    world.name("example.com", &["9.9.9.9", "10.0.0.1"]);
    let parent = Parent::socks(&world).await;
    let proxy = through(&world, &[parent.url("socks5")]).await;
    let mut client = proxy.client().await;
    assert_eq!(
        client.connect("example.com:443").await.reason(),
        "private_address"
    );
    // A `private` line opens it, and the parent is asked for the private address.
    let origin = Origin::echo().await;
    world.name("git.corp.example", &["10.0.0.2"]);
    world.road("10.0.0.2:22", origin.address);
    proxy.tunnel("git.corp.example:22").await;
    assert_eq!(parent.asked(), ["10.0.0.2:22"]);
}

#[tokio::test]
async fn refuses_an_address_of_this_machine_which_is_another_machine_at_a_parent() {
    let world = World::default();
    let parent = Parent::socks(&world).await;
    let proxy = through(&world, &[parent.url("socks5")]).await;
    let answer = proxy.client().await.connect("172.17.0.1:11434").await;
    assert_eq!(answer.reason(), "private_address");
    assert!(
        answer.text().contains("via = \\\"none\\\"") || answer.text().contains("via = \"none\"")
    );
    assert!(parent.asked().is_empty());
}

#[tokio::test]
async fn resolves_here_what_only_observe_lets_pass_whatever_the_route_says() {
    let origin = Origin::echo().await;
    let world = World::default();
    world.site("unlisted.example", 443, origin.address);
    world.name("inside.example", &["10.0.0.1"]);
    let parent = Parent::socks(&world).await;
    let toml = format!(
        "mode = \"observe\"\nupstream = [{:?}]",
        parent.url("socks5h")
    );
    let proxy = settled(&world, &toml).await;
    proxy.tunnel("unlisted.example:443").await;
    assert_eq!(parent.asked(), ["9.9.9.10:443"]);
    let answer = proxy.client().await.connect("inside.example:443").await;
    assert_eq!(answer.reason(), "private_address");
}

#[tokio::test]
async fn dials_what_a_route_excepts_directly_and_nothing_else() {
    let origin = Origin::echo().await;
    let world = World::default();
    world.site("example.com", 443, origin.address);
    world.site("other.example", 443, origin.address);
    let parent = Parent::http(&world).await;
    let proxy = settled(
        &world,
        &format!(
            "[[upstream]]\nto = [\"example.com\"]\nvia = \"none\"\n[[upstream]]\nvia = {:?}\n",
            parent.url("http")
        ),
    )
    .await;
    proxy.tunnel("example.com:443").await;
    assert!(parent.asked().is_empty());
    assert_eq!(proxy.decision(0).await.route.unwrap().as_str(), "direct");
    proxy.tunnel("other.example:443").await;
    assert_eq!(parent.asked(), ["9.9.9.11:443"]);
}

#[tokio::test]
async fn logs_in_at_a_parent_and_says_when_it_is_not_let_in() {
    let origin = Origin::echo().await;
    let world = World::default();
    world.site("example.com", 443, origin.address);
    let http = Parent::http_with(&world, "me", "hunter2").await;
    let socks = Parent::socks_with(&world, "me", "hunter2").await;
    for (scheme, parent) in [("http", &http), ("socks5", &socks)] {
        let url = |user: &str| parent.url(scheme).replace("://", &format!("://{user}"));
        let proxy = through(&world, &[url("me:hunter2@")]).await;
        proxy.tunnel("example.com:443").await;
        assert!(!proxy.log().contains("hunter2"));
        for (user, says) in [
            ("me:hunter3@", "refused the credentials"),
            ("", "wants credentials"),
        ] {
            let proxy = through(&world, &[url(user)]).await;
            let answer = proxy.client().await.connect("example.com:443").await;
            assert_eq!((answer.status, answer.reason()), (502, "upstream_failed"));
            let all = format!("{}{}{}", answer.head, answer.text(), proxy.log());
            assert!(!all.contains("hunter"), "{all}");
            failed(
                &proxy.decision(0).await,
                &format!("{} {says}", parent.url(scheme)),
            );
        }
    }
}

#[tokio::test]
async fn refuses_while_its_parent_is_down_and_never_goes_directly() {
    let origin = Origin::echo().await;
    let world = World::default();
    world.site("example.com", 443, origin.address);
    let mut parent = Parent::socks(&world).await;
    let proxy = through(&world, &[parent.url("socks5")]).await;
    proxy.tunnel("example.com:443").await;
    parent.down().await;
    let mut client = proxy.client().await;
    let answer = client.connect("example.com:443").await;
    assert_eq!((answer.status, answer.reason()), (502, "upstream_failed"));
    assert!(
        answer.phrase().contains(&parent.url("socks5")),
        "{}",
        answer.phrase()
    );
    failed(&proxy.decision(1).await, "cannot be reached");
    let get = proxy.client().await.get("http://example.com/").await;
    assert_eq!((get.status, get.reason()), (502, "upstream_failed"));
    parent.up().await;
    proxy.tunnel("example.com:443").await;
    assert!(world.dialled_to().iter().all(|to| *to == parent.address));
}

#[tokio::test]
async fn goes_to_the_next_parent_and_remembers_for_a_while_which_one_is_down() {
    let origin = Origin::echo().await;
    let world = World::default();
    world.site("example.com", 443, origin.address);
    let mut first = Parent::http(&world).await;
    let second = Parent::socks(&world).await;
    first.down().await;
    let proxy = through(&world, &[first.url("http"), second.url("socks5")]).await;
    for _ in 0..3 {
        proxy.tunnel("example.com:443").await;
    }
    assert_eq!(second.asked().len(), 3);
    let to_first = || {
        world
            .dialled_to()
            .iter()
            .filter(|to| **to == first.address)
            .count()
    };
    assert_eq!(to_first(), 1, "remembered");
    assert_eq!(
        proxy.decision(2).await.route.unwrap().as_str(),
        second.url("socks5")
    );
    let failures = format!("upstream_failures_total{{route=\"{}\"}}", first.url("http"));
    assert_eq!(proxy.metric(&failures).await, Some(1.0));
}

#[tokio::test]
async fn asks_a_parent_that_is_believed_down_when_the_others_fail_as_well() {
    let origin = Origin::echo().await;
    let world = World::default();
    world.site("example.com", 443, origin.address);
    let mut first = Parent::http(&world).await;
    let mut second = Parent::http(&world).await;
    let proxy = through(&world, &[first.url("http"), second.url("http")]).await;
    first.down().await;
    proxy.tunnel("example.com:443").await;
    first.up().await;
    second.down().await;
    proxy.tunnel("example.com:443").await;
    assert_eq!(first.asked().len(), 1);
}

#[tokio::test]
async fn takes_a_parents_no_for_an_answer_and_asks_nobody_else() {
    let world = World::default();
    world.name("example.com", &["9.9.9.9", "9.9.9.8"]);
    let http = Parent::http(&world).await;
    let socks = Parent::socks(&world).await;
    http.mood(Mood::Say(
        b"HTTP/1.1 403 No hunter2\r\nContent-Length: 0\r\n\r\n",
    ));
    socks.mood(Mood::Say(b"\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"));
    for urls in [
        [http.url("http"), socks.url("socks5")],
        [socks.url("socks5"), http.url("http")],
    ] {
        let proxy = through(&world, &urls).await;
        let before = (http.asked().len(), socks.asked().len());
        let answer = proxy.client().await.connect("example.com:443").await;
        assert_eq!((answer.status, answer.reason()), (502, "upstream_failed"));
        assert!(!answer.head.contains("hunter2"));
        let asked = http.asked().len() + socks.asked().len() - before.0 - before.1;
        assert_eq!(asked, 1);
        let says = if urls[0].starts_with("http") {
            "answered 403 Forbidden"
        } else {
            "refused: not allowed by its rules"
        };
        failed(&proxy.decision(0).await, &format!("{} {says}", urls[0]));
    }
}

#[tokio::test]
async fn asks_for_the_next_address_when_a_parent_cannot_get_to_the_first() {
    let origin = Origin::echo().await;
    let world = World::default();
    world.name("example.com", &["2001:4860::1", "9.9.9.9", "9.9.9.8"]);
    world.road("9.9.9.8:443", origin.address);
    let parent = Parent::socks(&world).await;
    let proxy = through(&world, &[parent.url("socks5")]).await;
    proxy.tunnel("example.com:443").await;
    assert_eq!(parent.asked(), ["9.9.9.9:443", "9.9.9.8:443"]);
    assert_eq!(
        proxy.decision(0).await.address,
        Some("9.9.9.8".parse().unwrap())
    );
}

#[tokio::test]
async fn does_not_wait_for_ever_and_takes_no_half_an_answer() {
    let world = World::default();
    world.name("example.com", &["9.9.9.9"]);
    let http = Parent::http(&world).await;
    let socks = Parent::socks(&world).await;
    let ways: [(&Parent, &str, Mood, &str); 6] = [
        (&http, "http", Mood::Silent, "did not answer within 1 s"),
        (&socks, "socks5", Mood::Silent, "did not answer within 1 s"),
        (
            &http,
            "http",
            Mood::Say(b"HTTP/1.1 200 OK\r\nVia: "),
            "did not answer as an HTTP proxy",
        ),
        (&socks, "socks5", Mood::Say(b"\x05\x00\x00"), "broke off"),
        (
            &http,
            "http",
            Mood::Say(b"\x05\x00"),
            "did not answer as an HTTP proxy",
        ),
        (
            &socks,
            "socks5",
            Mood::Say(b"HTTP/1.1 400 \r\n\r\n"),
            "did not answer as a SOCKS server",
        ),
    ];
    for (parent, scheme, mood, says) in ways {
        parent.mood(mood);
        let toml = format!(
            "upstream = [{:?}]\nupstream_timeout_seconds = 1",
            parent.url(scheme)
        );
        let proxy = settled(&world, &toml).await;
        let answer = proxy.client().await.connect("example.com:443").await;
        assert_eq!(
            (answer.status, answer.reason()),
            (502, "upstream_failed"),
            "{mood:?}"
        );
        failed(&proxy.decision(0).await, says);
    }
}

/// What a parent could say to take memory, time or another connection's bytes (THREATS W94).
#[tokio::test]
async fn takes_no_junk_from_a_parent() {
    let world = World::default();
    world.name("example.com", &["9.9.9.9"]);
    let http = Parent::http(&world).await;
    let socks = Parent::socks(&world).await;
    let long = |text: String| -> &'static [u8] { Box::leak(text.into_bytes().into_boxed_slice()) };
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10_000);
    let header = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(200));
    let ways: [(&Parent, &str, &'static [u8]); 11] = [
        (&http, "http", long(interim)),
        (&http, "http", long(header)),
        (&http, "http", long(fields)),
        (
            &http,
            "http",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ),
        (
            &http,
            "http",
            b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n",
        ),
        (&http, "http", b"ICY 200 OK\r\n\r\n"),
        (&http, "http", b"\r\n\r\n"),
        (
            &socks,
            "socks5",
            b"\x04\x00\x00\x01\x00\x00\x00\x00\x00\x00",
        ),
        (
            &socks,
            "socks5",
            b"\x05\x00\x00\x07\x00\x00\x00\x00\x00\x00",
        ),
        (&socks, "socks5", b"\x05\x00\x00\x03\xffshort"),
        (
            &socks,
            "socks5",
            b"\x05\xfe\x00\x01\x00\x00\x00\x00\x00\x00",
        ),
    ];
    for (parent, scheme, says) in ways {
        parent.mood(Mood::Say(says));
        let proxy = through(&world, &[parent.url(scheme)]).await;
        let answer = proxy.client().await.connect("example.com:443").await;
        let start = says.get(..40).unwrap_or(says).escape_ascii();
        assert_eq!(
            (answer.status, answer.reason()),
            (502, "upstream_failed"),
            "{start}"
        );
        assert_eq!(
            world.dialled_to(),
            vec![parent.address; world.dialled()],
            "{start}"
        );
        world.forget();
    }
}

/// The address a SOCKS server says it is bound to may be a name of any length; nothing of it is payload.
#[tokio::test]
async fn reads_past_a_long_bound_name() {
    let world = World::default();
    world.name("a.wild.example", &["9.9.9.9"]);
    let socks = Parent::socks(&world).await;
    let bound = [
        b"\x05\x00\x00\x03\xff".as_slice(),
        &[b'b'; 255],
        &[0, 80],
        b"SSH-2.0-first\r\n",
    ]
    .concat();
    socks.mood(Mood::Say(Box::leak(bound.into_boxed_slice())));
    let proxy = through(&world, &[socks.url("socks5")]).await;
    let mut client = proxy.tunnel("a.wild.example:443").await;
    assert_eq!(client.read(15).await, b"SSH-2.0-first\r\n");
}

/// No text that is no host reaches a parent, in whose request it could end the line or wrap a length
/// (THREATS W92 and W96); the longest name does, whole.
#[tokio::test]
async fn gives_a_parent_canonical_names_and_nothing_else() {
    let world = World::default();
    let http = Parent::http(&world).await;
    let socks = Parent::socks(&world).await;
    let longest = format!("{}wild.example", "a.".repeat(119) + "bb.");
    assert_eq!(longest.len(), 253);
    for (parent, scheme) in [(&http, "http"), (&socks, "socks5h")] {
        let toml = format!(
            "[[upstream]]\nvia = [{:?}]\nremote_dns = true\n",
            parent.url(scheme)
        );
        let proxy = settled(&world, &toml).await;
        let breaking = [
            "a.wild.example\r\nX: y\r\n\r\nCONNECT internal",
            "a.wild.example\r\n\r\nCONNECT internal:443 HTTP/1.1\r\n\r\n",
            "a.wild.example\nX: y",
            "a.wild.example\rX: y",
        ];
        let over = format!("a{longest}");
        for host in NO_HOSTS
            .iter()
            .chain(&breaking)
            .copied()
            .chain([over.as_str()])
        {
            let mut client = proxy.client().await;
            client
                .send(format!(
                    "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"
                ))
                .await;
            assert_eq!(client.head().await.reason(), "bad_request", "{host:?}");
        }
        assert_eq!(parent.asked(), [""; 0]);
        let target = format!("{longest}:443");
        proxy.client().await.connect(&target.to_uppercase()).await;
        assert_eq!(parent.asked(), [target]);
    }
    assert_eq!(world.asked(), [""; 0]);
}

#[tokio::test]
async fn loses_no_byte_that_is_glued_to_an_answer_in_either_direction() {
    let origin = Origin::echo().await;
    let world = World::default();
    world.site("a.wild.example", 443, origin.address);
    let http = Parent::http(&world).await;
    let socks = Parent::socks(&world).await;
    for (parent, scheme) in [(&http, "http"), (&socks, "socks5")] {
        parent.mood(Mood::Glue(b"SSH-2.0-first\r\n"));
        let proxy = through(&world, &[parent.url(scheme)]).await;
        let mut client = proxy.client().await;
        let target = "a.wild.example:443";
        client
            .send(format!(
                "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\nearly bird"
            ))
            .await;
        assert_eq!(client.head().await.status, 200);
        assert_eq!(client.read(15).await, b"SSH-2.0-first\r\n", "{scheme}");
        assert_eq!(client.read(10).await, b"early bird", "{scheme}");
    }
}

#[tokio::test]
async fn carries_much_in_both_directions_through_tls_to_a_parent() {
    let origin = Origin::echo().await;
    let world = World::default();
    world.site("a.wild.example", 443, origin.address);
    let parent = Parent::https(&world).await;
    let toml = format!(
        "upstream = [{:?}]\nupstream_ca_file = {:?}",
        parent.url("https"),
        tls_file("ca.pem")
    );
    let proxy = settled(&world, &toml).await;
    let mut client = proxy.tunnel("a.wild.example:443").await;
    let block: Vec<u8> = (0..64 * 1024)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    for _ in 0..32 {
        client.send(&block).await;
        assert_eq!(client.read(block.len()).await, block);
    }
    client.finish().await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(parent.asked(), ["9.9.9.10:443"]);
    assert_eq!(proxy.closed(0).await.up, 32 * 64 * 1024);
}

#[tokio::test]
async fn trusts_no_certificate_of_somebody_else_and_none_for_another_name() {
    let world = World::default();
    world.name("example.com", &["9.9.9.9"]);
    world.name("wrong.example", &["127.0.0.1"]);
    world.name("parent.example", &["127.0.0.1"]);
    let parent = Parent::https(&world).await;
    let port = parent.address.port();
    for (host, ca, says) in [
        (
            "127.0.0.1",
            "other-ca.pem",
            "did not complete the TLS handshake",
        ),
        (
            "wrong.example",
            "ca.pem",
            "did not complete the TLS handshake",
        ),
        (
            "parent.example",
            "ca.pem",
            "answered 503 Service Unavailable",
        ),
    ] {
        let toml = format!(
            "upstream = [\"https://{host}:{port}\"]\nupstream_ca_file = {:?}",
            tls_file(ca)
        );
        let proxy = settled(&world, &toml).await;
        let answer = proxy.client().await.connect("example.com:443").await;
        assert_eq!(answer.status, 502, "{host}");
        failed(&proxy.decision(0).await, says);
    }
}

#[tokio::test]
async fn sends_plain_requests_through_a_tunnel_of_a_parent_to_the_checked_address() {
    let origin = Origin::page().await;
    let world = World::default();
    world.site("example.com", 80, origin.address);
    let http = Parent::http_with(&world, "me", "hunter2").await;
    let socks = Parent::socks(&world).await;
    let http_url = http.url("http").replace("://", "://me:hunter2@");
    for (parent, url) in [(&http, http_url), (&socks, socks.url("socks5"))] {
        let proxy = through(&world, &[url]).await;
        let mut client = proxy.client().await;
        for _ in 0..2 {
            let answer = client.get("http://example.com/page").await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        }
        assert_eq!(
            parent.asked(),
            ["9.9.9.10:80"],
            "one connection, used again"
        );
    }
    for seen in origin.seen() {
        assert_eq!(seen.line(), "GET /page HTTP/1.1");
        assert_eq!(seen.fields("host"), ["example.com"]);
        assert!(seen.fields("proxy-authorization").is_empty());
    }
}

#[tokio::test]
async fn gives_plain_requests_to_an_http_parent_as_they_are_where_it_resolves() {
    let world = World::default();
    let parent = Parent::http_with(&world, "me", "hunter2").await;
    let url = parent.url("http").replace("://", "://me:hunter2@");
    let toml = format!("upstream = [{url:?}]\nupstream_remote_dns = true");
    let proxy = settled(&world, &toml).await;
    let mut client = proxy.client().await;
    for path in ["/a?b=c", "/d"] {
        let url = format!("http://example.com{path}");
        client
            .send(format!(
                "GET {url} HTTP/1.1\r\nHost: example.com\r\nProxy-Authorization: Basic ours\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (200, format!("GET {url}")));
    }
    let heads = parent.heads();
    assert_eq!(heads.len(), 2);
    for head in &heads {
        assert!(
            head.contains("proxy-authorization: Basic bWU6aHVudGVyMg=="),
            "{head}"
        );
        assert!(!head.contains("ours"), "{head}");
        assert!(head.contains("host: example.com"), "{head}");
    }
    assert!(world.asked().is_empty());
    let event = proxy.decision(0).await;
    assert_eq!(
        (event.address, event.route.unwrap().as_str()),
        (None, &*parent.url("http"))
    );
}

#[tokio::test]
async fn keeps_a_parents_question_for_credentials_from_the_client() {
    let world = World::default();
    let parent = Parent::http_with(&world, "me", "hunter2").await;
    let toml = format!(
        "upstream = [{:?}]\nupstream_remote_dns = true",
        parent.url("http")
    );
    let proxy = settled(&world, &toml).await;
    let answer = proxy.client().await.get("http://example.com/").await;
    assert_eq!((answer.status, answer.reason()), (502, "upstream_failed"));
    assert_eq!(answer.field("proxy-authenticate"), None);
    failed(&proxy.decision(0).await, "(407)");
}

#[tokio::test]
async fn gives_a_request_for_an_address_to_an_http_parent_as_it_is() {
    let world = World::default();
    let parent = Parent::http(&world).await;
    let proxy = Proxy::with("9.9.9.9\n")
        .world(&world)
        .toml(&format!("upstream = [{:?}]", parent.url("http")))
        .start()
        .await;
    let answer = proxy.client().await.get("http://9.9.9.9/x").await;
    assert_eq!(answer.text(), "GET http://9.9.9.9/x");
    let address = proxy.decision(0).await.address;
    assert_eq!(address, Some("9.9.9.9".parse().unwrap()));
}

#[tokio::test]
async fn opens_nothing_for_agents_by_having_a_parent_on_loopback() {
    let world = World::default();
    let parent = Parent::http(&world).await;
    let proxy = through(&world, &[parent.url("http")]).await;
    let answer = proxy
        .client()
        .await
        .connect(&parent.address.to_string())
        .await;
    assert_eq!((answer.status, answer.reason()), (403, "private_address"));
    assert!(parent.asked().is_empty() && world.dialled() == 0);
}

#[tokio::test]
async fn sees_that_a_parent_leads_back_to_itself() {
    let world = World::default();
    world.name("example.com", &["9.9.9.9"]);
    // A port that is free now is the listener's in a moment.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    world.road(&address.to_string(), address);
    let toml = format!("listen = [\"{address}\"]\nupstream = [\"http://{address}\"]");
    let proxy = settled(&world, &toml).await;
    let answer = proxy.client().await.connect("example.com:443").await;
    assert_eq!((answer.status, answer.reason()), (502, "upstream_failed"));
    let inner = eventually("the refusal", || {
        proxy
            .events()
            .into_iter()
            .find(|event| event.reason == Reason::Loop)
    });
    assert_eq!(inner.await.verdict, Word::Deny);
    assert_eq!(world.dialled(), 1);
}

#[tokio::test]
async fn closes_a_tunnel_through_a_parent_when_the_policy_tightens() {
    let origin = Origin::echo().await;
    let world = World::default();
    world.site("example.com", 443, origin.address);
    let parent = Parent::socks(&world).await;
    for scheme in ["socks5", "socks5h"] {
        let proxy = through(&world, &[parent.url(scheme)]).await;
        let mut client = proxy.tunnel("example.com:443").await;
        let list = match scheme {
            // The address that was sent is still known.
            "socks5" => "example.com\n9.9.9.0/24 deny\n",
            _ => "other.example\n",
        };
        proxy.write("project.txt", list);
        proxy.reload().await;
        assert!(client.rest_or_reset().await.1, "{scheme}");
        assert_eq!(proxy.closed(0).await.reason, Reason::PolicyChanged);
    }
}

#[tokio::test]
async fn tells_the_admin_which_way_things_go_without_credentials() {
    let toml = "[[upstream]]\nto = [\"*.corp.example\"]\nvia = \"none\"\n\
                [[upstream]]\nvia = [\"socks5h://me:hunter2@tor.example:9050\", \"http://squid.example:3128\"]\n";
    let proxy = settled(&World::default(), toml).await;
    let (status, text) = proxy.admin("/policy").await;
    assert_eq!(status, 200);
    assert!(!text.contains("hunter2") && !text.contains("me:"), "{text}");
    let policy: serde_json::Value = serde_json::from_str(&text).unwrap();
    let routes = &policy["listeners"][0]["routes"];
    assert_eq!(
        *routes,
        serde_json::json!([
            { "to": ["*.corp.example"], "via": ["direct"], "remote_dns": false },
            {
                "to": [],
                "via": ["socks5h://tor.example:9050", "http://squid.example:3128"],
                "remote_dns": true
            },
        ])
    );
}

#[tokio::test]
async fn never_reaches_a_target_while_nobody_answers_for_the_parent() {
    let world = World::default();
    world.name("example.com", &["9.9.9.9"]);
    world.name("parent.example", &["127.0.0.1"]);
    world.black_hole("127.0.0.1:9");
    let toml = "upstream = [\"http://parent.example:9\"]\nconnect_timeout_seconds = 1";
    let proxy = settled(&world, toml).await;
    let started = std::time::Instant::now();
    let answer = proxy.client().await.connect("example.com:443").await;
    assert_eq!((answer.status, answer.reason()), (502, "upstream_failed"));
    assert!(started.elapsed() < Duration::from_secs(5));
    let unknown = settled(&world, "upstream = [\"http://nowhere.example:9\"]").await;
    let answer = unknown.client().await.connect("example.com:443").await;
    assert_eq!((answer.status, answer.reason()), (502, "upstream_failed"));
    failed(&unknown.decision(0).await, "could not be resolved");
}
