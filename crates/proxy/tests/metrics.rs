//! The endpoint and its documentation.

use std::collections::BTreeMap;

use crate::harness::{Origin, Proxy};

/// Names and labels as `docs/metrics.md` has them in its table: `| name | type | labels | … |`.
fn documented() -> BTreeMap<String, (String, Vec<String>)> {
    let text = include_str!("../../../docs/metrics.md");
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| `agentnet_proxy_") || line.starts_with("| `process_"));
    rows.map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let words = |cell: &str| -> Vec<String> {
            let words = cell
                .split(',')
                .map(|word| word.trim().trim_matches('`').to_owned());
            words
                .filter(|word| !word.is_empty() && word != "–")
                .collect()
        };
        let name = cells[1].trim_matches('`').to_owned();
        (name, (cells[2].to_owned(), words(cells[3])))
    })
    .collect()
}

fn exposed(text: &str) -> BTreeMap<String, (String, Vec<String>)> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let labels = text
            .lines()
            .find(|line| {
                line.starts_with(&format!("{name}{{"))
                    || line.starts_with(&format!("{name}_bucket{{"))
            })
            .map(labels)
            .unwrap_or_default();
        found.insert(name.to_owned(), (kind.to_owned(), labels));
    }
    found
}

fn labels(line: &str) -> Vec<String> {
    let inside = line.split_once('{').unwrap().1.rsplit_once('}').unwrap().0;
    let names = inside
        .split("\",")
        .map(|pair| pair.split_once('=').unwrap().0.to_owned());
    let mut names: Vec<String> = names.filter(|name| name != "le").collect();
    names.sort();
    names
}

#[tokio::test]
async fn agree_with_their_documentation() {
    let origin = Origin::echo().await;
    // A parent for another host, because series of parents are there where parents are.
    let route = "[[upstream]]\nto = [\"other.example\"]\nvia = \"http://9.9.9.9:3128\"\n";
    let proxy = Proxy::with("example.com\nlimited.example up=1MB\n")
        .toml(route)
        .start()
        .await;
    proxy.world.site("example.com", 443, origin.address);
    drop(proxy.tunnel("example.com:443").await);
    proxy.client().await.connect("evil.example:443").await;
    let (status, text) = proxy.admin("/metrics").await;
    assert_eq!(status, 200);
    let mut documented = documented();
    for (_, labels) in documented.values_mut() {
        labels.sort();
    }
    assert_eq!(exposed(&text), documented);
}

#[tokio::test]
async fn count_a_refusal_by_listener_reason_rule_and_host() {
    let proxy = Proxy::start("example.com\nbad.example deny\n").await;
    proxy.client().await.connect("bad.example:443").await;
    proxy.client().await.get("http://bad.example/").await;
    let requests = |protocol: &str| {
        format!(
            "requests_total{{listener=\"default\",protocol=\"{protocol}\",reason=\"rule_denied\",verdict=\"deny\"}}"
        )
    };
    assert_eq!(proxy.metric(&requests("connect")).await, Some(1.0));
    assert_eq!(proxy.metric(&requests("http")).await, Some(1.0));
    let hits = "rule_hits_total{listener=\"default\",rule=\"bad.example deny\"}";
    assert_eq!(proxy.metric(hits).await, Some(2.0));
    let hosts = "blocked_hosts_total{host=\"bad.example\",listener=\"default\"}";
    assert_eq!(proxy.metric(hosts).await, Some(2.0));
    let dead = "rule_hits_total{listener=\"default\",rule=\"example.com\"}";
    assert_eq!(
        proxy.metric(dead).await,
        Some(0.0),
        "a rule that never decides shows as 0"
    );
}

#[tokio::test]
async fn bound_the_hosts_that_an_agent_can_name() {
    let start = Proxy::with("example.com\n").settings(|raw| raw.blocked_hosts_labels = Some(3));
    let proxy = start.start().await;
    for number in 0..10 {
        proxy
            .client()
            .await
            .connect(&format!("host{number}.example:443"))
            .await;
    }
    let (_, text) = proxy.admin("/metrics").await;
    let series = text
        .lines()
        .filter(|line| line.starts_with("agentnet_proxy_blocked_hosts_total{"));
    assert_eq!(series.count(), 4);
    let other = "blocked_hosts_total{host=\"other\",listener=\"default\"}";
    assert_eq!(proxy.metric(other).await, Some(7.0));
}

#[tokio::test]
async fn leave_hosts_out_when_told_to() {
    let start = Proxy::with("example.com\n").settings(|raw| raw.blocked_hosts_labels = Some(0));
    let proxy = start.start().await;
    proxy.client().await.connect("evil.example:443").await;
    assert!(
        !proxy
            .admin("/metrics")
            .await
            .1
            .contains("blocked_hosts_total")
    );
}

#[tokio::test]
async fn are_served_in_the_text_format() {
    let proxy = Proxy::start("example.com\n").await;
    let mut client = crate::harness::Client::tcp(proxy.admin).await;
    let answer = client.get_from("admin", "/metrics").await;
    assert_eq!(
        answer.field("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
}

/// An agent chooses the names (THREATS W117), and every reason of refusal can carry one.
#[tokio::test]
async fn stay_small_when_an_agent_names_ten_thousand_hosts() {
    let proxy = Proxy::start("example.com\n").await;
    let mut client = proxy.client().await;
    let before = proxy.admin("/metrics").await.1;
    for number in 0..10_000 {
        let url = format!("http://host{number}.example/");
        assert_eq!(client.get(&url).await.status, 403);
    }
    let after = proxy.admin("/metrics").await.1;
    let hosts = after
        .lines()
        .filter(|line| line.starts_with("agentnet_proxy_blocked_hosts_total{"));
    assert_eq!(hosts.count(), 201);
    assert_eq!(
        after.lines().count() - before.lines().count(),
        200,
        "nothing but the bounded label grew"
    );
    let other = "blocked_hosts_total{host=\"other\",listener=\"default\"}";
    assert_eq!(proxy.metric(other).await, Some(9_800.0));
}

#[tokio::test]
async fn name_five_hundred_rules_and_sum_the_rest() {
    let rules = |count: usize| {
        let lines = (0..count).map(|number| format!("host{number}.example\n"));
        lines.collect::<String>()
    };
    let proxy = Proxy::start(&rules(2_000)).await;
    let text = proxy.admin("/metrics").await.1;
    let series = text
        .lines()
        .filter(|line| line.starts_with("agentnet_proxy_rule_hits_total{"));
    assert_eq!(series.count(), 501);
    assert!(text.len() < 64 * 1024, "{} bytes", text.len());
}

#[tokio::test]
async fn tell_what_the_process_takes() {
    let proxy = Proxy::start("example.com\n").await;
    let text = proxy.admin("/metrics").await.1;
    for name in ["process_resident_memory_bytes", "process_open_fds"] {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value: f64 = line.unwrap().trim().parse().unwrap();
        assert!(value > 0.0, "{name}");
    }
}
