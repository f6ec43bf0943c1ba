//! What the whitelist's words do on the wire.

use agentnet_policy::Reason;
use agentnet_policy::event::Word;

use crate::harness::{Origin, Proxy, eventually, within};

#[tokio::test]
async fn refuses_everything_when_the_whitelist_is_empty() {
    let proxy = Proxy::start("").await;
    assert_eq!(
        proxy
            .client()
            .await
            .connect("example.com:443")
            .await
            .reason(),
        "not_listed"
    );
    assert_eq!(
        proxy
            .client()
            .await
            .get("http://example.com/")
            .await
            .reason(),
        "not_listed"
    );
}

#[tokio::test]
async fn judges_method_path_and_port_of_a_plain_request() {
    let origin = Origin::page().await;
    let proxy = Proxy::start("api.example GET,HEAD /v1/**\n").await;
    proxy.world.site("api.example", 80, origin.address);
    let mut client = proxy.client().await;
    assert_eq!(
        client.get("http://api.example/v1/models?x=1").await.text(),
        "hello"
    );
    assert_eq!(
        client.get("http://api.example/v2/models").await.reason(),
        "path_not_listed"
    );
    client
        .send("DELETE http://api.example/v1/models HTTP/1.1\r\nHost: api.example\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.reason(), "method_not_listed");
    assert_eq!(
        client.get("http://api.example:8080/v1/x").await.reason(),
        "port_not_listed"
    );
}

#[tokio::test]
async fn lets_deny_win_and_quotes_the_line() {
    let proxy = Proxy::start("*.example.com\ngist.example.com deny # uploads\n").await;
    let answer = proxy.client().await.connect("gist.example.com:443").await;
    assert_eq!(answer.reason(), "rule_denied");
    assert!(
        answer.text().contains("gist.example.com deny"),
        "{}",
        answer.text()
    );
    let decision = proxy.decision(0).await;
    let rule = decision.rule.unwrap();
    assert_eq!((rule.line, rule.comment.unwrap().as_str()), (2, "uploads"));
    let hits = "rule_hits_total{listener=\"default\",rule=\"gist.example.com deny\"}";
    assert_eq!(proxy.metric(hits).await, Some(1.0));
}

#[tokio::test]
async fn observes_what_it_would_refuse_but_never_a_private_address() {
    let origin = Origin::echo().await;
    let start = Proxy::with("example.com\n").settings(|raw| raw.mode = Some("observe".to_owned()));
    let proxy = start.start().await;
    proxy.world.site("new.example", 443, origin.address);
    proxy.world.name("inside.example", &["10.0.0.1"]);
    drop(proxy.tunnel("new.example:443").await);
    let decision = proxy.decision(0).await;
    assert_eq!(
        (decision.verdict, decision.reason),
        (Word::Report, Reason::NotListed)
    );
    let answer = proxy.client().await.connect("inside.example:443").await;
    assert_eq!((answer.status, answer.reason()), (403, "private_address"));
    let reported = "requests_total{listener=\"default\",protocol=\"connect\",reason=\"not_listed\",verdict=\"report\"}";
    assert_eq!(proxy.metric(reported).await, Some(1.0));
}

#[tokio::test]
async fn opens_a_private_address_where_the_line_says_so() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start("db.example:5432 raw private\n10.1.2.0/24:9200 raw\n").await;
    proxy.world.name("db.example", &["10.0.0.7"]);
    proxy.world.road("10.0.0.7:5432", origin.address);
    proxy.world.road("10.1.2.3:9200", origin.address);
    drop(proxy.tunnel("db.example:5432").await);
    drop(proxy.tunnel("10.1.2.3:9200").await);
    let answer = proxy.client().await.connect("10.1.3.3:9200").await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn ends_a_tunnel_when_the_bytes_of_its_rule_are_spent() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start("cdn.example raw up=10B\n").await;
    proxy.world.site("cdn.example", 443, origin.address);
    let mut client = proxy.tunnel("cdn.example:443").await;
    client.send("1234567").await;
    assert_eq!(client.read(7).await, b"1234567");
    client.send("8901234").await;
    let (rest, _) = client.rest_or_reset().await;
    assert!(rest.len() <= 3, "never more than was allowed to go");
    let closed = proxy.closed(0).await;
    assert_eq!((closed.reason, closed.up), (Reason::BudgetSpent, 10));
    let answer = proxy.client().await.connect("cdn.example:443").await;
    assert_eq!((answer.status, answer.reason()), (403, "budget_spent"));
    let (_, policy) = proxy.admin("/policy").await;
    assert!(
        policy.contains(r#""up":{"limit":10,"spent":10}"#),
        "{policy}"
    );
}

#[tokio::test]
async fn keeps_a_spent_budget_spent_over_a_reload() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start("cdn.example raw up=5B\n").await;
    proxy.world.site("cdn.example", 443, origin.address);
    let mut client = proxy.tunnel("cdn.example:443").await;
    client.send("12345").await;
    client.read(5).await;
    proxy.write("project.txt", "other.example\ncdn.example raw up=5B\n");
    proxy.reload().await;
    let answer = proxy.client().await.connect("cdn.example:443").await;
    assert_eq!(answer.reason(), "budget_spent");
}

#[tokio::test]
async fn charges_heads_and_bodies_of_plain_requests() {
    let origin = Origin::page().await;
    let proxy = Proxy::start("cdn.example up=300B\n").await;
    proxy.world.site("cdn.example", 80, origin.address);
    let mut client = proxy.client().await;
    assert_eq!(client.get("http://cdn.example/").await.text(), "hello");
    let body = "x".repeat(400);
    client
        .send(format!(
            "POST http://cdn.example/ HTTP/1.1\r\nHost: cdn.example\r\nContent-Length: 400\r\n\r\n{body}"
        ))
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.reason()), (403, "budget_spent"));
    assert_eq!(origin.seen().len(), 1);
    let long = format!("http://cdn.example/{}", "y".repeat(400));
    assert_eq!(
        proxy.client().await.get(&long).await.reason(),
        "budget_spent"
    );
}

#[tokio::test]
async fn ends_a_tunnel_when_its_rule_expires() {
    let origin = Origin::echo().await;
    let until = jiff::Timestamp::now() + std::time::Duration::from_secs(2);
    let until = until.round(jiff::Unit::Second).unwrap();
    let proxy = Proxy::start(&format!(
        "mirror.example raw until={until}\nexample.com raw\n"
    ))
    .await;
    proxy.world.site("mirror.example", 443, origin.address);
    proxy.world.site("example.com", 443, origin.address);
    let mut kept = proxy.tunnel("example.com:443").await;
    let mut client = proxy.tunnel("mirror.example:443").await;
    client.rest_or_reset().await;
    assert_eq!(proxy.closed(0).await.reason, Reason::PolicyChanged);
    assert!(jiff::Timestamp::now() >= until);
    let answer = proxy.client().await.connect("mirror.example:443").await;
    assert_eq!(answer.status, 403);
    kept.send("x").await;
    assert_eq!(kept.read(1).await, b"x");
}

#[tokio::test]
async fn stops_a_plain_upload_when_its_rule_expires() {
    let origin = Origin::saying("").await;
    let until = jiff::Timestamp::now() + std::time::Duration::from_secs(2);
    let until = until.round(jiff::Unit::Second).unwrap();
    let proxy = Proxy::start(&format!("mirror.example until={until}\n")).await;
    proxy.world.site("mirror.example", 80, origin.address);
    let mut client = proxy.client().await;
    client
        .send("POST http://mirror.example/ HTTP/1.1\r\nHost: mirror.example\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let uploading = async {
        while client.try_send("1\r\nx\r\n").await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    within("the end of the upload", uploading).await;
    assert!(jiff::Timestamp::now() >= until);
    assert_eq!(proxy.decision(0).await.reason, Reason::PolicyChanged);
}

#[tokio::test]
async fn stops_a_plain_response_whose_address_is_no_longer_allowed() {
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let origin = Origin::saying_twice(wait).await;
    let proxy = Proxy::start("db.example private\n").await;
    proxy.world.name("db.example", &["10.0.0.7"]);
    proxy.world.road("10.0.0.7:80", origin.address);
    let mut client = proxy.client().await;
    client
        .send("GET http://db.example/ HTTP/1.1\r\nHost: db.example\r\n\r\n")
        .await;
    client.head().await;
    assert_eq!(client.chunk().await, b"first");
    proxy.write("project.txt", "db.example\n");
    proxy.reload().await;
    go.send(()).unwrap();
    let (rest, reset) = client.rest_or_reset().await;
    assert!(reset && rest.is_empty(), "{rest:?}");
    assert_eq!(proxy.closed(0).await.reason, Reason::PolicyChanged);
}

#[tokio::test]
async fn counts_a_quiet_refusal_like_any_other() {
    let proxy = Proxy::start("telemetry.example quiet deny\n").await;
    assert_eq!(
        proxy
            .client()
            .await
            .connect("telemetry.example:443")
            .await
            .status,
        403
    );
    assert!(proxy.decision(0).await.quiet);
    let series = "requests_total{listener=\"default\",protocol=\"connect\",reason=\"rule_denied\",verdict=\"deny\"}";
    assert_eq!(proxy.metric(series).await, Some(1.0));
    eventually("one event", || (proxy.events().len() == 1).then_some(())).await;
}
