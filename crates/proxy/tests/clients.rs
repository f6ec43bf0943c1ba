//! Which clients a listener serves.

use agentnet_policy::Reason;
use agentnet_policy::event::{Protocol, Word};

use crate::harness::{Client, Origin, Proxy, within};

async fn site(proxy: &Proxy) -> Origin {
    let origin = Origin::page().await;
    proxy.world.site("example.com", 80, origin.address);
    origin
}

/// With these `--client` entries.
async fn listed(clients: &[&str]) -> Proxy {
    let clients = clients.iter().map(|client| (*client).to_owned()).collect();
    Proxy::with("example.com\n")
        .settings(|raw| raw.client = Some(clients))
        .start()
        .await
}

/// With these `Allow` and `Deny` lines.
async fn tinyproxy(lines: &str) -> Proxy {
    Proxy::with("example.com\n").tinyproxy(lines).start().await
}

/// The status that a client with this address gets.
async fn status(proxy: &Proxy, own: &str) -> u16 {
    let mut client = Client::from(own, proxy.address).await;
    client.get("http://example.com/").await.status
}

#[tokio::test]
async fn serves_who_is_listed_and_tells_the_others_so() {
    let proxy = listed(&["127.0.0.0/30", "10.0.0.0/8"]).await;
    let _origin = site(&proxy).await;
    assert_eq!(status(&proxy, "127.0.0.2").await, 200);
    let mut client = Client::from("127.0.0.9", proxy.address).await;
    let answer = client.connect("example.com:443").await;
    assert_eq!(
        (answer.status, answer.reason()),
        (403, "client_not_allowed")
    );
    assert!(answer.phrase().starts_with("client_not_allowed: "));
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(client.rest().await.is_empty(), "closed, and not reset");
    let event = proxy.decision(1).await;
    assert_eq!(
        (event.verdict, event.reason),
        (Word::Deny, Reason::ClientNotAllowed)
    );
    assert_eq!(
        (event.protocol, event.status),
        (Protocol::Connect, Some(403))
    );
    assert!(event.client.as_str().starts_with("127.0.0.9:"));
    assert_eq!(event.host.as_str(), "", "nobody asked it where to");
    let series = "requests_total{listener=\"default\",protocol=\"connect\",\
                  reason=\"client_not_allowed\",verdict=\"deny\"}";
    assert_eq!(proxy.metric(series).await, Some(1.0));
    assert_eq!(
        proxy.world.asked(),
        ["example.com"],
        "by the one that is listed"
    );
}

#[tokio::test]
async fn turns_away_a_client_that_says_nothing_and_does_not_wait_for_it() {
    let proxy = listed(&["10.0.0.0/8"]).await;
    let mut silent = proxy.client().await;
    let answer = silent.answer().await;
    assert_eq!(
        (answer.status, answer.reason()),
        (403, "client_not_allowed")
    );
    let mut chatty = proxy.client().await;
    chatty.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(
        chatty.answer().await.status,
        403,
        "half a head is not waited for"
    );
    drop((silent, chatty));
    let closed = async {
        while proxy.metric("connections").await != Some(0.0) {
            tokio::task::yield_now().await;
        }
    };
    within("the places are free again", closed).await;
}

#[tokio::test]
async fn serves_a_unix_socket_only_where_the_list_says_so() {
    for (clients, expected) in [
        (&["127.0.0.1"][..], 403),
        (&["127.0.0.1", "unix"], 200),
        (&["unix"], 200),
    ] {
        let proxy = listed(clients).await;
        let _origin = site(&proxy).await;
        let mut client = Client::unix(&proxy.socket).await;
        let answer = client.get("http://example.com/").await;
        assert_eq!(answer.status, expected, "{clients:?}");
    }
    let closed = listed(&["unix"]).await;
    assert_eq!(status(&closed, "127.0.0.1").await, 403);
}

#[tokio::test]
async fn takes_the_first_line_that_fits_as_tinyproxy_does() {
    let proxy = tinyproxy("Deny 127.0.0.5\nAllow 127.0.0.0/8\n").await;
    let _origin = site(&proxy).await;
    assert_eq!(status(&proxy, "127.0.0.4").await, 200);
    assert_eq!(status(&proxy, "127.0.0.5").await, 403);
    let answer = Client::from("127.0.0.5", proxy.address)
        .await
        .get("http://example.com/")
        .await;
    let words = "\n403 Access denied: The administrator of this proxy has not configured it to \
                 service requests from your host.\n";
    assert!(answer.text().ends_with(words), "{}", answer.text());
    // The statistics are for those who may come in.
    let mut client = Client::from("127.0.0.5", proxy.address).await;
    assert_eq!(client.get("http://tinyproxy.stats/").await.status, 403);
    let only_deny = tinyproxy("Deny 10.0.0.1\n").await;
    assert_eq!(
        status(&only_deny, "127.0.0.1").await,
        403,
        "any line closes the list"
    );
}

#[tokio::test]
async fn looks_up_a_listed_host_and_compares_addresses() {
    let proxy = tinyproxy("Allow client.example\n").await;
    let _origin = site(&proxy).await;
    proxy
        .world
        .name("client.example", &["10.0.0.1", "::ffff:127.0.0.7"]);
    assert_eq!(status(&proxy, "127.0.0.7").await, 200);
    assert_eq!(status(&proxy, "127.0.0.8").await, 403);
    let asked = proxy.world.asked();
    let times = asked
        .iter()
        .filter(|name| *name == "client.example")
        .count();
    assert_eq!(times, 1, "remembered: {asked:?}");
}

#[tokio::test]
async fn believes_a_name_only_if_its_own_zone_says_so_too() {
    let proxy = tinyproxy("Deny bad.corp.example\nAllow .corp.example\n").await;
    let _origin = site(&proxy).await;
    proxy.world.name("bad.corp.example", &["127.0.0.66"]);
    // Proved.
    proxy.world.address("127.0.0.7", "seven.corp.example");
    proxy.world.name("seven.corp.example", &["127.0.0.7"]);
    assert_eq!(status(&proxy, "127.0.0.7").await, 200);
    // It only says so.
    proxy.world.address("127.0.0.8", "eight.corp.example");
    proxy.world.name("eight.corp.example", &["10.0.0.8"]);
    assert_eq!(status(&proxy, "127.0.0.8").await, 403);
    // Not at a dot, not below, no name.
    proxy.world.address("127.0.0.9", "evilcorp.example");
    proxy.world.name("evilcorp.example", &["127.0.0.9"]);
    assert_eq!(status(&proxy, "127.0.0.9").await, 403);
    assert_eq!(status(&proxy, "127.0.0.10").await, 403);
    proxy.world.address("127.0.0.66", "six.corp.example");
    proxy.world.name("six.corp.example", &["127.0.0.66"]);
    assert_eq!(status(&proxy, "127.0.0.66").await, 403);
}

#[tokio::test]
async fn counts_what_cannot_be_looked_up_against_the_client() {
    let unknown = tinyproxy("Allow unknown.example\n").await;
    let _origin = site(&unknown).await;
    assert_eq!(status(&unknown, "127.0.0.1").await, 403);
    let denied = tinyproxy("Deny unknown.example\nAllow 127.0.0.0/8\n").await;
    let _origin = site(&denied).await;
    assert_eq!(status(&denied, "127.0.0.1").await, 403);
    // A line before it has decided already.
    let before = tinyproxy("Allow 127.0.0.0/8\nDeny unknown.example\n").await;
    let _origin = site(&before).await;
    assert_eq!(status(&before, "127.0.0.1").await, 200);
    // Without a proof, a name that its holder chose does not get past a `Deny` for it.
    let posing = tinyproxy("Deny .bad.example\nAllow 127.0.0.0/8\n").await;
    let _origin = site(&posing).await;
    posing.world.address("127.0.0.7", "x.bad.example");
    assert_eq!(status(&posing, "127.0.0.7").await, 403);
    assert_eq!(
        status(&posing, "127.0.0.8").await,
        200,
        "it has no name at all"
    );
}

#[tokio::test]
async fn asks_again_after_a_reload_and_ends_what_is_no_longer_let_in() {
    let proxy = Proxy::with("").conf("Allow 127.0.0.0/8\n").start().await;
    let _origin = site(&proxy).await;
    let echo = Origin::echo().await;
    proxy.world.site("example.com", 443, echo.address);
    let mut kept = Client::from("127.0.0.7", proxy.address).await;
    assert_eq!(kept.get("http://example.com/").await.status, 200);
    let mut tunnel = Client::from("127.0.0.7", proxy.address).await;
    assert_eq!(tunnel.connect("example.com:443").await.status, 200);
    let mut other = Client::from("127.0.0.8", proxy.address).await;
    assert_eq!(other.connect("example.com:443").await.status, 200);
    proxy.write("tinyproxy.conf", "Deny 127.0.0.7\nAllow 127.0.0.0/8\n");
    proxy.reload().await;
    let (rest, reset) = tunnel.rest_or_reset().await;
    assert!(
        rest.is_empty() && reset,
        "ended, and not as if it were whole"
    );
    let answer = kept.get("http://example.com/").await;
    assert_eq!(
        (answer.status, answer.reason()),
        (403, "client_not_allowed")
    );
    assert!(kept.rest().await.is_empty());
    assert_eq!(status(&proxy, "127.0.0.7").await, 403);
    other.send("still here").await;
    assert_eq!(other.read(10).await, b"still here");
    // A line that is none changes nothing.
    proxy.write("tinyproxy.conf", "Allow 127.0.0.300\n");
    proxy.reload().await;
    assert_eq!(status(&proxy, "127.0.0.8").await, 200);
    proxy.write("tinyproxy.conf", "");
    proxy.reload().await;
    assert_eq!(status(&proxy, "127.0.0.7").await, 200);
}
