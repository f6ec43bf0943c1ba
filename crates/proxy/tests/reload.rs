//! A changed whitelist.

use std::time::{Duration, Instant};

use agentnet_policy::Reason;

use crate::harness::{Client, Origin, Proxy, within};

async fn allowed(proxy: &Proxy, target: &str) -> bool {
    proxy.client().await.connect(target).await.reason() != "not_listed"
}

async fn becomes(proxy: &Proxy, target: &str, expected: bool) {
    let look = async {
        while allowed(proxy, target).await != expected {
            tokio::task::yield_now().await;
        }
    };
    within(&format!("{target} allowed: {expected}"), look).await;
}

#[tokio::test]
async fn takes_a_replaced_file_by_itself() {
    let proxy = Proxy::start("a.example\n").await;
    assert!(!allowed(&proxy, "b.example:443").await);
    proxy.write("project.txt", "b.example\n");
    becomes(&proxy, "b.example:443", true).await;
    assert!(!allowed(&proxy, "a.example:443").await);
    assert_eq!(
        proxy
            .metric("policy_reloads_total{outcome=\"success\"}")
            .await,
        Some(1.0)
    );
}

#[tokio::test]
async fn takes_a_file_that_was_written_in_place() {
    let proxy = Proxy::start("a.example\n").await;
    std::fs::write(proxy.path("project.txt"), "b.example\n").unwrap();
    becomes(&proxy, "b.example:443", true).await;
}

#[tokio::test]
async fn takes_task_grants_that_appear_and_vanish() {
    let proxy = Proxy::start("a.example\n").await;
    proxy.write("task.txt", "granted.example\n");
    becomes(&proxy, "granted.example:443", true).await;
    proxy.remove("task.txt");
    becomes(&proxy, "granted.example:443", false).await;
    assert!(allowed(&proxy, "a.example:443").await);
}

#[tokio::test]
async fn keeps_the_last_good_policy_and_says_what_is_wrong() {
    let proxy = Proxy::start("a.example\n").await;
    proxy.write("project.txt", "a.example\nb.example\n*\n");
    let mut admin = Client::tcp(proxy.admin).await;
    admin
        .send("POST /reload HTTP/1.1\r\nHost: admin\r\n\r\n")
        .await;
    let answer = admin.answer().await;
    assert_eq!(answer.status, 422);
    let body: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!(body["ok"], false);
    assert_eq!(body["listeners"][0]["outcome"], "failed");
    let problem = &body["listeners"][0]["problems"][0];
    assert_eq!(problem["line"], 3);
    assert!(problem["file"].as_str().unwrap().ends_with("project.txt"));
    assert!(allowed(&proxy, "a.example:443").await);
    assert!(!allowed(&proxy, "b.example:443").await);
    assert!(
        proxy
            .metric("policy_reloads_total{outcome=\"failure\"}")
            .await
            >= Some(1.0)
    );
    proxy.write("project.txt", "b.example\n");
    becomes(&proxy, "b.example:443", true).await;
}

#[tokio::test]
async fn tells_for_as_long_as_the_files_cannot_be_used() {
    let proxy = Proxy::start("a.example\n").await;
    let good = "policy_last_reload_successful{listener=\"default\"}";
    assert_eq!(proxy.metric(good).await, Some(1.0));
    for broken in ["*\n", "b.example raw raw raw nonsense\n"] {
        proxy.write("project.txt", broken);
        proxy.reload().await;
        assert_eq!(proxy.metric(good).await, Some(0.0));
        // Nothing changed, so nothing is better.
        proxy.reload().await;
        assert_eq!(proxy.metric(good).await, Some(0.0));
    }
    // What was in force all the time stands in the file again.
    proxy.write("project.txt", "a.example\n");
    proxy.reload().await;
    assert_eq!(proxy.metric(good).await, Some(1.0));
}

#[tokio::test]
async fn keeps_the_last_good_policy_when_a_file_is_gone() {
    let proxy = Proxy::start("a.example\n").await;
    proxy.remove("project.txt");
    proxy.reload().await;
    assert!(allowed(&proxy, "a.example:443").await);
    assert!(
        proxy
            .metric("policy_reloads_total{outcome=\"failure\"}")
            .await
            >= Some(1.0)
    );
}

#[tokio::test]
async fn closes_within_a_second_the_tunnels_that_are_no_longer_allowed() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start("a.example raw\nb.example raw\n").await;
    proxy.world.site("a.example", 443, origin.address);
    proxy.world.site("b.example", 443, origin.address);
    let mut kept = proxy.tunnel("a.example:443").await;
    let mut cut = proxy.tunnel("b.example:443").await;
    proxy.write("project.txt", "a.example raw\n");
    proxy.reload().await;
    let since = Instant::now();
    cut.rest_or_reset().await;
    assert!(
        since.elapsed() < Duration::from_secs(1),
        "{:?}",
        since.elapsed()
    );
    let closed = proxy.closed(0).await;
    assert_eq!(
        (closed.reason, closed.host.as_str()),
        (Reason::PolicyChanged, "b.example")
    );
    kept.send("x").await;
    assert_eq!(kept.read(1).await, b"x");
    let series = "tunnels_closed_total{listener=\"default\",reason=\"policy_changed\"}";
    assert_eq!(proxy.metric(series).await, Some(1.0));
}

#[tokio::test]
async fn closes_a_tunnel_whose_address_is_no_longer_allowed() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start("db.example:5432 raw private\n").await;
    proxy.world.name("db.example", &["10.0.0.7"]);
    proxy.world.road("10.0.0.7:5432", origin.address);
    let mut client = proxy.tunnel("db.example:5432").await;
    proxy.write("project.txt", "db.example:5432 raw\n");
    proxy.reload().await;
    client.rest_or_reset().await;
    assert_eq!(proxy.closed(0).await.reason, Reason::PolicyChanged);
}

#[tokio::test]
async fn stops_a_plain_response_at_the_next_byte() {
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let origin = Origin::saying_twice(wait).await;
    let proxy = Proxy::start("a.example\n").await;
    proxy.world.site("a.example", 80, origin.address);
    let mut client = proxy.client().await;
    client
        .send("GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await;
    client.head().await;
    assert_eq!(client.chunk().await, b"first");
    proxy.write("project.txt", "");
    proxy.reload().await;
    go.send(()).unwrap();
    let (rest, reset) = client.rest_or_reset().await;
    assert!(reset && rest.is_empty(), "{rest:?}");
    assert_eq!(proxy.closed(0).await.reason, Reason::PolicyChanged);
}

#[tokio::test]
async fn answers_every_request_while_reloading_again_and_again() {
    let origin = Origin::page().await;
    let proxy = Proxy::start("a.example\n").await;
    proxy.world.site("a.example", 80, origin.address);
    let mut client = proxy.client().await;
    for round in 0..50 {
        proxy.write("project.txt", &format!("a.example\nx{round}.example\n"));
        proxy.reload().await;
        assert_eq!(client.get("http://a.example/").await.status, 200);
    }
    let (_, text) = proxy.admin("/metrics").await;
    let rules = text
        .lines()
        .filter(|line| line.starts_with("agentnet_proxy_rule_hits_total"));
    assert_eq!(
        rules.count(),
        2,
        "the series of rules that are gone are gone"
    );
}
