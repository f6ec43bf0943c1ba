//! The expressions of the dashboard and of the rules, as text and taken apart.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::bench::{Prometheus, shipped};

/// The dashboard.
pub(crate) fn dashboard() -> Value {
    let path = shipped().join("grafana/dashboards/agentnet.json");
    serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
}

/// Its panels, rows left out.
pub(crate) fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels.filter(|panel| panel["type"] != "row").collect()
}

/// Each expression of the dashboard with its panel's title; Grafana's variables stand for everything.
pub(crate) fn of_dashboard() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let mut found = Vec::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap() {
            let expression = filled(target["expr"].as_str().unwrap());
            found.push((title.to_owned(), expression));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        let expression = filled(annotation["expr"].as_str().unwrap());
        found.push(("annotation".to_owned(), expression));
    }
    found
}

/// As Grafana sends it with every variable at "All" and one minute of time.
pub(crate) fn filled(expression: &str) -> String {
    let mut text = expression
        .replace("$__rate_interval", "1m")
        .replace("$__range", "1m");
    for variable in ["project", "task", "instance", "listener"] {
        text = text.replace(&format!("${variable}"), ".*");
    }
    assert!(!text.contains('$'), "an unknown variable: {text}");
    text
}

/// Each alert's expression with its name, as a Prometheus that loaded the rules has them.
pub(crate) fn of_rules(prometheus: &Prometheus) -> Vec<(String, String)> {
    let answer = prometheus.api("/api/v1/rules");
    let mut found = Vec::new();
    for group in answer["data"]["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let text = |key: &str| rule[key].as_str().unwrap().to_owned();
            found.push((text("name"), text("query")));
        }
    }
    found
}

/// The metrics that an expression names: what Prometheus makes itself (`up`, `ALERTS`) left out.
pub(crate) fn metrics(expression: &str) -> BTreeSet<String> {
    selectors(expression)
        .into_iter()
        .map(|selector| selector.split('{').next().unwrap().to_owned())
        .collect()
}

/// Each `metric{matchers}` of an expression that names one of ours.
pub(crate) fn selectors(expression: &str) -> Vec<String> {
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_word) {
        rest = &rest[start..];
        let end = rest.find(|character| !is_word(character));
        let word = &rest[..end.unwrap_or(rest.len())];
        rest = &rest[word.len()..];
        let ours = word.starts_with("agentnet_") || word.starts_with("process_");
        let matchers = match rest.starts_with('{') {
            // No matcher of ours has a brace in its value.
            true => &rest[..=rest.find('}').expect("a closed brace")],
            false => "",
        };
        rest = &rest[matchers.len()..];
        if ours {
            found.push(format!("{word}{matchers}"));
        }
    }
    found
}

/// The words between which `=~"a|b"` chooses for a label.
pub(crate) fn choices(selector: &str, label: &str) -> Vec<String> {
    let Some((_, rest)) = selector.split_once(&format!("{label}=~\"")) else {
        return Vec::new();
    };
    let value = rest.split('"').next().unwrap();
    value
        .split('|')
        .filter(|word| *word != ".*")
        .map(str::to_owned)
        .collect()
}

#[test]
fn an_expression_is_taken_apart_into_its_selectors() {
    let text = "sum by (task) (rate(agentnet_proxy_a_total{x=~\"a|b\", y!=\"c\"}[5m])) / process_b and on (job) up{job=\"agentnet\"}";
    let expected = ["agentnet_proxy_a_total{x=~\"a|b\", y!=\"c\"}", "process_b"];
    assert_eq!(selectors(text), expected);
    assert_eq!(choices(expected[0], "x"), ["a", "b"]);
    assert_eq!(choices(expected[0], "y"), [] as [&str; 0]);
}
