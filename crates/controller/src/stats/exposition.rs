//! The figures of a task's proxy, from what it tells Prometheus (`docs/metrics.md`).

use std::collections::BTreeMap;

use agentnet_policy::event::Text;
use serde::Serialize;

/// Budgets that are told.
const MOST_BUDGETS: usize = 20;

/// What went through a proxy since it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Bytes away from the task.
    pub up: u64,
    /// Bytes to the task.
    pub down: u64,
    /// Requests that were let through.
    pub allowed: u64,
    /// Requests that were refused, questions to the DNS among them.
    pub denied: u64,
    /// Tunnels that are open.
    pub tunnels: u64,
    /// Lines with a budget.
    pub budgets: Vec<Budget>,
}

/// A line with a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// The line.
    pub rule: Text,
    /// Bytes that may be sent.
    pub bytes: u64,
    /// Bytes of that which are gone.
    pub spent: u64,
}

impl Traffic {
    /// Reads an exposition; what is not known is passed over.
    #[must_use]
    pub fn read(text: &str) -> Traffic {
        let mut traffic = Traffic::default();
        let mut budgets: BTreeMap<Text, (u64, u64)> = BTreeMap::new();
        for sample in text.lines().filter_map(Sample::read) {
            let label = |name| sample.label(name);
            let rule = || Text::new(&label("rule").unwrap_or_default());
            match sample.name {
                "tunnel_bytes_total" | "http_bytes_total" => match label("direction").as_deref() {
                    Some("up") => traffic.up = traffic.up.saturating_add(sample.value),
                    Some("down") => traffic.down = traffic.down.saturating_add(sample.value),
                    Some(_) | None => {}
                },
                "requests_total" => match label("verdict").as_deref() {
                    Some("deny") => traffic.denied = traffic.denied.saturating_add(sample.value),
                    Some(_) => traffic.allowed = traffic.allowed.saturating_add(sample.value),
                    None => {}
                },
                "tunnels" => traffic.tunnels = sample.value,
                "budget_bytes" => budgets.entry(rule()).or_default().0 = sample.value,
                "budget_spent_bytes" => budgets.entry(rule()).or_default().1 = sample.value,
                _ => {}
            }
        }
        let budgets =
            budgets
                .into_iter()
                .map(|(rule, (bytes, spent))| Budget { rule, bytes, spent });
        traffic.budgets = budgets.take(MOST_BUDGETS).collect();
        traffic
    }
}

/// One line.
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: u64,
}

impl<'a> Sample<'a> {
    fn read(line: &'a str) -> Option<Sample<'a>> {
        let line = line.strip_prefix("agentnet_proxy_")?;
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => (name, rest.strip_suffix('}')?),
            None => (series, ""),
        };
        // Counters are written as 1, 1.5 or 1e+20.
        let value: f64 = value.parse().ok()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "such a cast saturates, and there is no negative count"
        )]
        let value = value as u64;
        Some(Sample {
            name,
            labels,
            value,
        })
    }

    /// A label's value without its escapes.
    fn label(&self, wanted: &str) -> Option<String> {
        let mut rest = self.labels;
        loop {
            let (name, after) = rest.split_once("=\"")?;
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next()? {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next()?.1 {
                        'n' => value.push('\n'),
                        other => value.push(other),
                    },
                    (_, other) => value.push(other),
                }
            };
            if name == wanted {
                return Some(value);
            }
            rest = after.get(end + 1..)?.strip_prefix(',')?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_all_listeners_are_added_up() {
        let text = r#"# HELP agentnet_proxy_requests_total x
agentnet_proxy_requests_total{listener="a",protocol="dns",reason="not_listed",verdict="deny"} 3
agentnet_proxy_requests_total{listener="b",protocol="connect",reason="rule_denied",verdict="deny"} 4
agentnet_proxy_requests_total{listener="a",protocol="connect",reason="allowed",verdict="allow"} 10
agentnet_proxy_tunnel_bytes_total{direction="up",listener="a"} 100
agentnet_proxy_tunnel_bytes_total{direction="down",listener="a"} 1e+10
agentnet_proxy_http_bytes_total{direction="up",listener="a"} 11
agentnet_proxy_tunnels 2
agentnet_proxy_budget_bytes{listener="a",rule="x.example up=1KB # \"why\", \\ so"} 1000
agentnet_proxy_budget_spent_bytes{listener="a",rule="x.example up=1KB # \"why\", \\ so"} 20
process_open_fds 9
"#;
        let expected = Traffic {
            up: 111,
            down: 10_000_000_000,
            allowed: 10,
            denied: 7,
            tunnels: 2,
            budgets: vec![Budget {
                rule: "x.example up=1KB # \"why\", \\ so".into(),
                bytes: 1000,
                spent: 20,
            }],
        };
        assert_eq!(Traffic::read(text), expected);
    }

    #[test]
    fn what_is_broken_is_passed_over() {
        for line in [
            "",
            "agentnet_proxy_tunnels",
            "agentnet_proxy_tunnels x",
            "agentnet_proxy_tunnels NaN",
            "agentnet_proxy_tunnels -5",
            "agentnet_proxy_requests_total{verdict=\"deny} 3",
            "agentnet_proxy_requests_total{verdict=\"deny\\",
            "agentnet_proxy_requests_total{} 3",
        ] {
            assert_eq!(Traffic::read(line), Traffic::default(), "{line}");
        }
    }
}
