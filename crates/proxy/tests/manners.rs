//! How a listener treats its clients: credentials, fields, pages, statistics.

use agentnet_policy::Reason;
use agentnet_policy::event::Word;

use crate::harness::{Answer, Client, Origin, Proxy, eventually, within};

/// alice:secret
const ALICE: &str = "Basic YWxpY2U6c2VjcmV0";

async fn proxy_to(origin: &Origin, conf: &str) -> Proxy {
    let proxy = Proxy::with("example.com:80,443\n")
        .tinyproxy(conf)
        .start()
        .await;
    proxy.world.site("example.com", 80, origin.address);
    proxy.world.site("example.com", 443, origin.address);
    proxy
}

async fn get_with(client: &mut Client, url: &str, fields: &str) -> Answer {
    let host = url.strip_prefix("http://").unwrap();
    let host = host.split('/').next().unwrap();
    client
        .send(format!(
            "GET {url} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
        ))
        .await;
    client.answer().await
}

#[tokio::test]
async fn asks_for_credentials_before_anything_else_is_decided() {
    let origin = Origin::page().await;
    let proxy = proxy_to(
        &origin,
        "BasicAuth alice secret\nBasicAuthRealm \"our \\proxy\"\n",
    )
    .await;
    let mut client = proxy.client().await;
    for url in ["http://example.com/", "http://not-listed.example/"] {
        let answer = client.get(url).await;
        assert_eq!((answer.status, answer.reason()), (407, "auth_required"));
        let challenge = "Basic realm=\"our \\\\proxy\"";
        assert_eq!(answer.field("proxy-authenticate"), Some(challenge));
        assert_eq!(answer.field("www-authenticate"), None);
        assert!(answer.phrase().starts_with("auth_required: "));
    }
    for wrong in [
        "Proxy-Authorization: Basic YWxpY2U6d3Jvbmc=\r\n".to_owned(),
        format!("Authorization: {ALICE}\r\n"),
        format!("Proxy-Authorization: {ALICE}\r\nProxy-Authorization: {ALICE}\r\n"),
    ] {
        let answer = get_with(&mut client, "http://example.com/", &wrong).await;
        assert_eq!(answer.status, 407, "{wrong}");
    }
    let mut tunnel = proxy.client().await;
    let answer = tunnel.connect("example.com:443").await;
    assert_eq!((answer.status, answer.reason()), (407, "auth_required"));
    assert!(proxy.world.asked().is_empty(), "nothing was looked up");
    let event = proxy.decision(0).await;
    assert_eq!(event.reason, Reason::AuthRequired);
    assert_eq!(
        (event.verdict, event.host.as_str()),
        (Word::Deny, "example.com")
    );
    assert!(!proxy.log().contains("YWxpY2U"), "no credentials in events");
}

#[tokio::test]
async fn lets_in_who_has_credentials_and_keeps_them_to_itself() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin, "BasicAuth bob other\nBasicAuth alice secret\n").await;
    let mut client = proxy.client().await;
    let known = format!("Proxy-Authorization: {ALICE}\r\n");
    let answer = get_with(&mut client, "http://example.com/", &known).await;
    assert_eq!(answer.text(), "hello");
    assert_eq!(origin.seen()[0].fields("proxy-authorization"), [""; 0]);
    // What is refused for another reason says that reason.
    let answer = get_with(&mut client, "http://not-listed.example/", &known).await;
    assert_eq!((answer.status, answer.reason()), (403, "not_listed"));
    let mut tunnel = proxy.client().await;
    let connect =
        format!("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n{known}\r\n");
    tunnel.send(connect).await;
    assert_eq!(tunnel.head().await.status, 200);
}

#[tokio::test]
async fn keeps_credentials_from_the_server_when_it_asks_for_none_itself() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin, "").await;
    let mut client = proxy.client().await;
    let fields = format!("Proxy-Authorization: {ALICE}\r\n");
    let answer = get_with(&mut client, "http://example.com/", &fields).await;
    assert_eq!(answer.status, 200);
    assert_eq!(origin.seen()[0].fields("proxy-authorization"), [""; 0]);
}

#[tokio::test]
async fn names_itself_in_via_as_it_is_told_and_still_knows_its_own_requests() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin, "ViaProxyName \"box\"\n").await;
    let mut client = proxy.client().await;
    let answer = get_with(&mut client, "http://example.com/", "Via: 1.0 other\r\n").await;
    let ours = answer.field("via").unwrap().to_owned();
    assert!(ours.starts_with("1.1 box (agentnet-"), "{ours}");
    assert_eq!(origin.seen()[0].fields("via"), ["1.0 other", &ours]);
    // It came around to where it had been.
    let again = format!("Via: 1.0 other, {ours}\r\n");
    let answer = get_with(&mut client, "http://example.com/", &again).await;
    assert_eq!((answer.status, answer.reason()), (403, "loop"));
}

#[tokio::test]
async fn adds_no_via_when_it_is_told_so() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin, "DisableViaHeader Yes\n").await;
    let mut client = proxy.client().await;
    let answer = get_with(&mut client, "http://example.com/", "Via: 1.0 other\r\n").await;
    assert_eq!(answer.field("via"), None);
    assert_eq!(origin.seen()[0].fields("via"), ["1.0 other"]);
    // Its own socket is refused all the same.
    let itself = format!("http://{}/", proxy.address);
    let answer = client.get(&itself).await;
    assert_eq!(answer.status, 403, "{}", answer.head);
}

#[tokio::test]
async fn adds_the_fields_it_is_told_and_says_who_the_client_is() {
    let origin = Origin::page().await;
    let conf = "AddHeader \"X-Zone\" \"agents\"\nAddHeader \"X-Zone\" \"later\"\nXTinyproxy Yes\n";
    let proxy = proxy_to(&origin, conf).await;
    let mut client = proxy.client().await;
    let forged = "X-Zone: forged\r\nX-Zone: twice\r\nX-Tinyproxy: 6.6.6.6\r\nX-Kept: 1\r\n";
    get_with(&mut client, "http://example.com/", forged).await;
    let seen = &origin.seen()[0];
    assert_eq!(seen.fields("x-zone"), ["agents"]);
    assert_eq!(seen.fields("x-tinyproxy"), ["127.0.0.1"]);
    assert_eq!(seen.fields("x-kept"), ["1"]);
    let mut local = Client::unix(&proxy.socket).await;
    get_with(&mut local, "http://example.com/", forged).await;
    assert_eq!(origin.seen()[1].fields("x-tinyproxy"), [""; 0]);
}

#[tokio::test]
async fn lets_only_the_listed_fields_pass_and_the_body_whole() {
    let origin = Origin::page().await;
    let proxy = proxy_to(
        &origin,
        "Anonymous \"Cookie\"\nAddHeader \"X-Zone\" \"a\"\n",
    )
    .await;
    let mut client = proxy.client().await;
    client
        .send(
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\
             Content-Type: text/plain\r\nCookie: c\r\nUser-Agent: u\r\nReferer: r\r\n\
             X-Forwarded-For: 1\r\n\r\nabc",
        )
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.text(), "hello");
    let seen = origin.seen()[0].clone();
    for (field, value) in [
        ("host", "example.com"),
        ("content-length", "3"),
        ("content-type", "text/plain"),
        ("cookie", "c"),
        ("x-zone", "a"),
    ] {
        assert_eq!(seen.fields(field), [value], "{}", seen.head);
    }
    assert_eq!(seen.fields("via").len(), 1);
    for gone in ["user-agent", "referer", "x-forwarded-for"] {
        assert_eq!(seen.fields(gone), [""; 0], "{}", seen.head);
    }
    assert_eq!(seen.body, "abc");
    client
        .send(
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\
             \r\n3\r\nabc\r\n0\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer().await.text(), "hello");
    let seen = &origin.seen()[1];
    assert_eq!(seen.fields("transfer-encoding"), ["chunked"]);
    assert!(seen.body.contains("abc"), "{seen:?}");
}

/// A proxy of our own kind that asks for the credentials in the file `users` beside its whitelist.
async fn proxy_with_users(users: &str) -> (tempfile::TempDir, Proxy) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users");
    std::fs::write(&file, users).unwrap();
    let proxy = Proxy::with("example.com:80,443\n")
        .settings(|raw| raw.credentials_file = Some(file))
        .start()
        .await;
    (directory, proxy)
}

#[tokio::test]
async fn asks_for_the_credentials_of_a_file_and_reads_it_again() {
    let origin = Origin::page().await;
    let (directory, proxy) = proxy_with_users("# people\nalice:secret\n").await;
    proxy.world.site("example.com", 80, origin.address);
    let mut client = proxy.client().await;
    let answer = client.get("http://example.com/").await;
    assert_eq!((answer.status, answer.reason()), (407, "auth_required"));
    let challenge = Some("Basic realm=\"agentnet\"");
    assert_eq!(answer.field("proxy-authenticate"), challenge);
    assert_eq!(answer.text().lines().count(), 2, "no words of Tinyproxy's");
    let known = format!("Proxy-Authorization: {ALICE}\r\n");
    let answer = get_with(&mut client, "http://example.com/", &known).await;
    assert_eq!(answer.status, 200);
    assert!(answer.field("via").unwrap().starts_with("1.1 agentnet-"));
    // A file that cannot be used changes nothing.
    let file = directory.path().join("users");
    std::fs::write(&file, "alice\n").unwrap();
    proxy.reload().await;
    let answer = get_with(&mut client, "http://example.com/", &known).await;
    assert_eq!(answer.status, 200);
    std::fs::write(&file, "alice:another\n").unwrap();
    proxy.reload().await;
    let answer = get_with(&mut client, "http://example.com/", &known).await;
    assert_eq!(answer.status, 407);
    // No file, nobody new: the last good one stays.
    std::fs::remove_file(&file).unwrap();
    proxy.reload().await;
    let answer = get_with(&mut client, "http://example.com/", &known).await;
    assert_eq!(answer.status, 407);
}

/// The numbers where programs look for them.
fn numbers(page: &str) -> Vec<u64> {
    let after = page.split(": ").skip(1);
    let digits = after.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap());
    digits.map(|digits| digits.parse().unwrap()).collect()
}

async fn statistics(proxy: &Proxy) -> Vec<u64> {
    let answer = proxy.client().await.get("http://tinyproxy.stats/").await;
    assert_eq!(answer.status, 200);
    numbers(&answer.text())
}

#[tokio::test]
async fn shows_its_statistics_counted_as_tinyproxy_counts() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin, "").await;
    assert_eq!(statistics(&proxy).await, [1, 1, 0, 0, 0]);
    proxy.client().await.get("http://example.com/").await;
    eventually("one request more", || {
        (proxy.events().len() >= 2).then_some(())
    })
    .await;
    assert_eq!(statistics(&proxy).await, [1, 3, 0, 0, 0]);
    // Filtered: bad and denied. A port that is not listed: bad.
    proxy.client().await.get("http://evil.example/").await;
    assert_eq!(statistics(&proxy).await, [1, 5, 1, 1, 0]);
    proxy.client().await.connect("example.com:25").await;
    assert_eq!(statistics(&proxy).await, [1, 7, 2, 1, 0]);
    // Malformed: bad. Not reached: neither.
    proxy.client().await.get("http://example.com:80:80/").await;
    assert_eq!(statistics(&proxy).await, [1, 9, 3, 1, 0]);
    proxy.world.name("example.com", &["9.9.9.200"]);
    let mut held = proxy.client().await;
    held.get("http://example.com/x").await;
    assert_eq!(statistics(&proxy).await, [2, 11, 3, 1, 0]);
    let hosts: Vec<String> = proxy
        .events()
        .iter()
        .map(|event| event.host.as_str().to_owned())
        .collect();
    assert!(!hosts.contains(&"tinyproxy.stats".to_owned()), "{hosts:?}");
    assert!(!proxy.world.asked().contains(&"tinyproxy.stats".to_owned()));
}

#[tokio::test]
async fn counts_a_connection_that_asked_for_nothing() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin, "").await;
    drop(proxy.client().await);
    let counted = async {
        loop {
            let numbers = statistics(&proxy).await;
            if numbers[2] == 1 {
                return numbers;
            }
        }
    };
    let numbers = within("one bad connection", counted).await;
    assert_eq!(numbers[3..], [0, 0]);
}

#[tokio::test]
async fn answers_for_the_statistics_in_every_form_but_connect() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin, "StatHost \"stats.example\"\n").await;
    for head in [
        "GET http://stats.example/ HTTP/1.1\r\nHost: stats.example\r\n",
        "GET http://STATS.example:8888/x?y HTTP/1.1\r\nHost: stats.example:8888\r\n",
        "GET / HTTP/1.1\r\nHost: stats.example\r\n",
        "GET http://stats.example/ HTTP/1.0\r\n",
        // What Python's urllib sends, with which exporters scrape.
        "GET http://stats.example HTTP/1.1\r\nAccept-Encoding: identity\r\n\
         Host: stats.example\r\nUser-Agent: Python-urllib/3.11\r\nConnection: close\r\n",
    ] {
        let mut client = proxy.client().await;
        client.send(format!("{head}\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200, "{head}");
        assert_eq!(answer.field("connection"), Some("close"));
        assert!(answer.text().contains("Number of requests: "), "{head}");
    }
    let mut client = proxy.client().await;
    let answer = client.connect("stats.example:80").await;
    assert_eq!((answer.status, answer.reason()), (403, "not_listed"));
    // The name of Tinyproxy's default is any name now.
    let answer = proxy.client().await.get("http://tinyproxy.stats/").await;
    assert_eq!((answer.status, answer.reason()), (403, "not_listed"));
}

#[tokio::test]
async fn shows_its_statistics_to_those_who_have_credentials() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin, "BasicAuth alice secret\n").await;
    let mut client = proxy.client().await;
    let answer = client.get("http://tinyproxy.stats/").await;
    assert_eq!((answer.status, answer.reason()), (401, "auth_required"));
    let challenge = Some("Basic realm=\"Tinyproxy\"");
    assert_eq!(answer.field("www-authenticate"), challenge);
    assert_eq!(answer.field("proxy-authenticate"), None);
    let event = proxy.decision(0).await;
    assert_eq!(
        (event.reason, event.status),
        (Reason::AuthRequired, Some(401))
    );
    for name in ["Authorization", "Proxy-Authorization"] {
        let known = format!("{name}: {ALICE}\r\n");
        let mut client = proxy.client().await;
        let answer = get_with(&mut client, "http://tinyproxy.stats/", &known).await;
        assert_eq!(answer.status, 200, "{name}");
    }
}

/// A configuration with templates, in a directory that lives as long as the test.
fn with_pages(conf: &str, pages: &[(&str, &str)]) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in pages {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let at = format!("{}/", directory.path().display());
    (directory, conf.replace('@', &at))
}

#[tokio::test]
async fn shows_pages_in_which_nothing_of_the_agents_is_markup() {
    let page = "<p>{request}|{cause}|{detail}|{clientip}|{reason}|{errno}|{nothing}</p>";
    let conf = "DefaultErrorFile \"@default\"\nErrorFile 500 \"@500\"\nStatFile \"@stat\"\n";
    let pages = [
        ("default", page),
        ("500", "five"),
        ("stat", "{reqs}/{opens} {clientip}"),
    ];
    let (_directory, conf) = with_pages(conf, &pages);
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin, &conf).await;
    let mut client = proxy.client().await;
    let answer = client.get("http://evil.example/'\"&{version}").await;
    let bad = (answer.status, answer.reason().to_owned());
    assert_eq!(bad, (403, "not_listed".to_owned()));
    assert_eq!(
        answer.field("content-type"),
        Some("text/html; charset=utf-8")
    );
    let text = answer.text();
    let begin = "<p>GET http://evil.example/&#39;&quot;&amp;{version} HTTP/1.1|Filtered|\
                 The request you made has been filtered ";
    assert!(text.starts_with(begin), "{text}");
    assert!(
        text.ends_with("|127.0.0.1|not_listed|403|{nothing}</p>"),
        "{text}"
    );
    assert!(answer.phrase().starts_with("not_listed: evil.example:80"));
    // Tinyproxy would have sent 500; the page for it is shown with our 502.
    proxy.world.name("example.com", &["9.9.9.200"]);
    let answer = client.get("http://example.com/").await;
    assert_eq!((answer.status, answer.text().as_str()), (502, "five"));
    let answer = proxy.client().await.connect("evil.example:443").await;
    let text = String::from_utf8(answer.body).unwrap();
    assert!(
        text.starts_with("<p>CONNECT evil.example:443 HTTP/1.1|Filtered|"),
        "{text}"
    );
    let answer = proxy.client().await.get("http://tinyproxy.stats/").await;
    assert_eq!(answer.text(), "4/2 127.0.0.1");
}

#[tokio::test]
async fn says_tinyproxys_words_beside_its_own() {
    let origin = Origin::page().await;
    let proxy = proxy_to(&origin, "").await;
    let answer = proxy.client().await.get("http://evil.example/").await;
    let text = answer.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("{\"v\":1,\"reason\":\"not_listed\""),
        "{text}"
    );
    assert!(
        lines[1].starts_with("evil.example:80 was refused"),
        "{text}"
    );
    assert_eq!(
        lines[2],
        "403 Filtered: The request you made has been filtered"
    );
    let answer = proxy.client().await.connect("example.com:25").await;
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.contains("\n403 Access violation: "), "{text}");
    // A listener of our own says only its own.
    let native = Proxy::start("example.com\n").await;
    let answer = native.client().await.get("http://evil.example/").await;
    assert_eq!(answer.text().lines().count(), 2);
}

#[tokio::test]
async fn says_as_tinyproxy_does_that_a_parent_is_not_there() {
    let proxy = Proxy::with("example.com\n")
        .tinyproxy("Upstream http parent.example:3128\n")
        .start()
        .await;
    proxy.world.name("example.com", &["9.9.9.10"]);
    proxy.world.name("parent.example", &["9.9.9.11"]);
    let answer = proxy.client().await.get("http://example.com/").await;
    assert_eq!((answer.status, answer.reason()), (502, "upstream_failed"));
    let text = answer.text();
    assert!(
        text.contains("\n502 Unable to connect to upstream proxy: "),
        "{text}"
    );
}

#[tokio::test]
async fn takes_a_changed_page_at_a_reload_and_keeps_the_old_one_over_a_bad_one() {
    let conf = "DefaultErrorFile \"@page\"\nConnectPort 443\n";
    let (directory, conf) = with_pages(conf, &[("page", "one {cause}")]);
    let proxy = Proxy::with("").conf(&conf).start().await;
    let refused = async || {
        let answer = proxy.client().await.connect("example.com:25").await;
        assert_eq!((answer.status, answer.reason()), (403, "port_not_listed"));
        String::from_utf8(answer.body).unwrap()
    };
    assert_eq!(refused().await, "one Access violation");
    let page = directory.path().join("page");
    std::fs::write(&page, "two {cause}").unwrap();
    // Never read on the way of a request.
    assert_eq!(refused().await, "one Access violation");
    proxy.reload().await;
    assert_eq!(refused().await, "two Access violation");
    std::fs::write(&page, "x".repeat(65 * 1024)).unwrap();
    proxy.reload().await;
    assert_eq!(refused().await, "two Access violation");
    std::fs::remove_file(&page).unwrap();
    proxy.reload().await;
    assert!(
        refused().await.contains("\n403 Access violation: "),
        "our own words"
    );
}
