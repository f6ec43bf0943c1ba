//! A real Prometheus, with the configuration and rules that we ship, on a running proxy.

use std::collections::BTreeSet;
use std::time::Duration;

use agentnet_e2e::bed::root;
use agentnet_e2e::wait;

use crate::bench::{Prometheus, Proxy, program};
use crate::expressions::{choices, metrics, of_dashboard, of_rules, selectors};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_blocked_request_is_found_again_in_prometheus() {
    let Some(prometheus) = program("prometheus") else {
        return;
    };
    let proxy = Proxy::start();
    let prometheus = Prometheus::start(&prometheus, proxy.admin);

    assert_eq!(proxy.connect(&proxy.origin.to_string()), 200);
    assert_eq!(proxy.get(&format!("http://{}/", proxy.origin)), 200);
    assert_eq!(proxy.connect("evil.example:443"), 403);
    assert_eq!(proxy.get("http://evil.example/x"), 403);
    assert_eq!(proxy.get("http://bad.example/"), 403);
    // The whitelist allows it, and it leads to where no proxy should go. More often than a proof of the fence asks.
    for _ in 0..150 {
        assert_eq!(proxy.get(&format!("http://{}/", proxy.agent())), 403);
    }

    let task = r#"task="t1", project="shop", fence="network", job="agentnet""#;
    let expect = |metric: &str, labels: &str, value: f64| {
        let series = format!("agentnet_proxy_{metric}{{{task}, {labels}}}");
        wait::until(&format!("{series} = {value}"), PATIENCE, || {
            prometheus
                .sample(&series)
                .filter(|found| (found - value).abs() < 0.5)
        });
    };
    let requests = |protocol: &str, verdict: &str, reason: &str| {
        format!(
            r#"listener="agent", protocol="{protocol}", verdict="{verdict}", reason="{reason}""#
        )
    };
    expect(
        "requests_total",
        &requests("connect", "deny", "not_listed"),
        1.0,
    );
    expect(
        "requests_total",
        &requests("http", "deny", "not_listed"),
        1.0,
    );
    expect(
        "requests_total",
        &requests("http", "deny", "rule_denied"),
        1.0,
    );
    expect("requests_total", &requests("http", "deny", "loop"), 150.0);
    expect(
        "requests_total",
        &requests("connect", "allow", "allowed"),
        1.0,
    );
    expect("requests_total", &requests("http", "allow", "allowed"), 1.0);
    expect(
        "blocked_hosts_total",
        r#"listener="agent", host="evil.example""#,
        2.0,
    );
    expect(
        "blocked_hosts_total",
        r#"listener="agent", host="bad.example""#,
        1.0,
    );
    expect(
        "rule_hits_total",
        r#"listener="agent", rule="bad.example deny""#,
        1.0,
    );
    expect(
        "rule_hits_total",
        r#"listener="agent", rule="never.example""#,
        0.0,
    );
    expect(
        "tunnels_closed_total",
        r#"listener="agent", reason="allowed""#,
        1.0,
    );
    let bytes = r#"agentnet_proxy_tunnel_bytes_total{listener="agent", direction="down"}"#;
    assert!(prometheus.sample(bytes) > Some(0.0));

    // The rule sees it too, and says which task.
    wait::until("the alert", PATIENCE, || {
        let alerts = prometheus.api("/api/v1/alerts");
        let mut alerts = alerts["data"]["alerts"]
            .as_array()
            .unwrap()
            .clone()
            .into_iter();
        let found = alerts.find(|alert| alert["labels"]["alertname"] == "AgentnetEscapeAttempt")?;
        assert_eq!(found["labels"]["reason"], "loop");
        let summary = found["annotations"]["summary"].as_str().unwrap();
        assert!(
            summary.starts_with("Task t1: listener agent refused"),
            "{summary}"
        );
        Some(())
    });
}

#[test]
fn everything_that_dashboard_and_rules_name_is_there_and_every_expression_works() {
    let Some(prometheus) = program("prometheus") else {
        return;
    };
    let proxy = Proxy::start();
    proxy.connect(&proxy.origin.to_string());
    proxy.get("http://evil.example/");
    let prometheus = Prometheus::start(&prometheus, proxy.admin);
    assert_eq!(proxy.connect(&proxy.origin.to_string()), 200);
    assert_eq!(proxy.connect("evil.example:443"), 403);
    // Its parent is down, and nothing goes around it.
    assert_eq!(proxy.get_chained("http://other.example/"), 502);
    // In mode observe it goes on, to find that there is no such name.
    assert_eq!(proxy.get_observed("http://agentnet-test.invalid/"), 502);
    let rate = "sum(rate(agentnet_proxy_requests_total{verdict=\"report\"}[1m]))";
    wait::until("rates", PATIENCE, || {
        prometheus.sample(rate).filter(|rate| *rate > 0.0)
    });

    let exposed = exposed(&proxy.metrics());
    let rules = of_rules(&prometheus);
    let mut named = BTreeSet::new();
    for (place, expression) in of_dashboard().iter().chain(&rules) {
        for metric in metrics(expression) {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| metric.strip_suffix(suffix))
                .filter(|family| exposed.contains(*family))
                .unwrap_or(&metric);
            assert!(
                exposed.contains(family),
                "{place} names {metric}, which no proxy has"
            );
            named.insert(family.to_owned());
        }
        for selector in selectors(expression) {
            let found = prometheus.query(&selector).unwrap();
            assert!(
                !found.is_empty(),
                "{place}: nothing has the labels of {selector}"
            );
            are_words(place, &selector);
        }
        let found = prometheus
            .query(expression)
            .unwrap_or_else(|error| panic!("{place}: {error}"));
        // Whoever compares may find nothing.
        let filters = [" > ", " == ", "ALERTS"]
            .iter()
            .any(|word| expression.contains(word));
        assert!(
            filters || !found.is_empty(),
            "{place} shows nothing: {expression}"
        );
    }
    assert!(named.len() > 15, "{named:?}");
}

fn exposed(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .map(str::to_owned)
        .collect()
}

/// Reasons and causes are words of the documented tables; one that is misspelt would match nothing, silently.
fn are_words(place: &str, selector: &str) {
    let read = |name: &str| fs_err::read_to_string(root().join("docs").join(name)).unwrap();
    for (label, document) in [("reason", "policy.md"), ("cause", "metrics.md")] {
        let text = read(document);
        for word in choices(selector, label) {
            assert!(
                text.contains(&format!("`{word}`")),
                "{place}: {label} {word} is not in {document}"
            );
        }
    }
}

#[test]
fn the_rules_are_loaded_and_can_be_evaluated() {
    let Some(prometheus) = program("prometheus") else {
        return;
    };
    let proxy = Proxy::start();
    let prometheus = Prometheus::start(&prometheus, proxy.admin);
    assert!(prometheus.address().ip().is_loopback());
    wait::until("a verdict on every rule", PATIENCE, || {
        let answer = prometheus.api("/api/v1/rules");
        let rules = answer["data"]["groups"][0]["rules"].as_array()?.clone();
        let known = rules.iter().all(|rule| rule["health"] != "unknown");
        assert!(rules.iter().all(|rule| rule["health"] != "err"), "{answer}");
        (known && rules.len() > 10).then_some(())
    });
    // Nothing is wrong, and nothing says so.
    let alerts = prometheus.api("/api/v1/alerts");
    assert_eq!(
        alerts["data"]["alerts"].as_array().unwrap().len(),
        0,
        "{alerts}"
    );
}
