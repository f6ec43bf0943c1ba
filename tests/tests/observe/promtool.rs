//! What promtool says about what we expose and what we ship.

use std::process::Command;
use std::time::Duration;

use agentnet_e2e::command::{run, run_with};

use crate::bench::{Proxy, program, shipped};

#[test]
fn promtool_has_nothing_to_say_about_the_endpoint() {
    let Some(promtool) = program("promtool") else {
        return;
    };
    let proxy = Proxy::start();
    proxy.get("http://evil.example/");
    let text = proxy.metrics();
    let mut command = Command::new(&promtool);
    let check = run_with(
        command.args(["check", "metrics"]),
        &text,
        Duration::from_secs(30),
    );
    assert!(check.ok() && check.text().is_empty(), "{check}");
    // It would say something.
    let mut command = Command::new(&promtool);
    let worse = text.replace("agentnet_proxy_requests_total", "agentnet_proxy_requests");
    let check = run_with(
        command.args(["check", "metrics"]),
        &worse,
        Duration::from_secs(30),
    );
    assert!(check.text().contains("agentnet_proxy_requests"), "{check}");
}

#[test]
fn the_configuration_and_the_rules_are_valid() {
    let Some(promtool) = program("promtool") else {
        return;
    };
    for (kind, file) in [("config", "prometheus.yml"), ("rules", "alerts.yml")] {
        let mut command = Command::new(&promtool);
        command.current_dir(shipped().join("prometheus"));
        let check = run(command.args(["check", kind, file]));
        assert!(check.ok(), "{check}");
    }
}

#[test]
fn every_rule_fires_when_it_should_and_is_silent_otherwise() {
    let Some(promtool) = program("promtool") else {
        return;
    };
    let directory = shipped().join("prometheus");
    let mut command = Command::new(&promtool);
    command.current_dir(&directory);
    let check = run(command.args(["test", "rules", "alerts.test.yml"]));
    assert!(check.ok(), "{check}");
    let rules = fs_err::read_to_string(directory.join("alerts.yml")).unwrap();
    let tests = fs_err::read_to_string(directory.join("alerts.test.yml")).unwrap();
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        for what in ["fires", "is silent"] {
            let name = format!("- name: {alert} {what}\n");
            assert!(tests.contains(&name), "no unit test: {name}");
        }
    }
}
