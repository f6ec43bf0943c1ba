//! The dashboard as a document: what Grafana would stumble over, or a person.

use std::collections::BTreeSet;

use crate::expressions::{dashboard, panels};

#[test]
fn every_panel_has_a_source_a_title_a_unit_and_something_to_show() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "agentnet");
    assert!(dashboard["schemaVersion"].as_u64() >= Some(39));
    let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
    }
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(titles.insert(title), "two panels are called {title}");
        let known = ["timeseries", "stat", "table", "bargauge"];
        assert!(known.contains(&panel["type"].as_str().unwrap()), "{title}");
        assert!(
            panel["fieldConfig"]["defaults"]["unit"].is_string(),
            "{title}"
        );
        let mut references = BTreeSet::new();
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            for place in [&panel["datasource"], &target["datasource"]] {
                assert_eq!(place["type"], "prometheus", "{title}");
                assert_eq!(place["uid"], "${datasource}", "{title}");
            }
            assert!(
                references.insert(target["refId"].as_str().unwrap()),
                "{title}"
            );
            let table = panel["type"] == "table";
            assert_eq!(target["instant"], table, "{title}");
            assert_eq!(target["range"], !table, "{title}");
        }
    }
}

#[test]
fn no_panel_lies_over_another_or_beyond_the_edge() {
    let mut taken = BTreeSet::new();
    for panel in dashboard()["panels"].as_array().unwrap() {
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{}", panel["title"]);
            }
        }
    }
}

#[test]
fn every_variable_that_is_used_is_defined_and_every_one_defined_is_used() {
    let dashboard = dashboard();
    let text = dashboard.to_string();
    let mut defined = BTreeSet::new();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        defined.insert(name.to_owned());
        if variable["type"] == "query" {
            // A target without that label must show as well.
            assert_eq!(variable["allValue"], ".*", "{name}");
        }
    }
    let mut used = BTreeSet::new();
    for after in text.split('$').skip(1) {
        let word = after.trim_start_matches('{');
        let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let word = &word[..end.unwrap()];
        if !word.starts_with("__") {
            used.insert(word.to_owned());
        }
    }
    assert_eq!(used, defined);
}

#[test]
fn the_provisioned_files_name_each_other_rightly() {
    let stack = crate::bench::shipped();
    let read = |path: &str| fs_err::read_to_string(stack.join(path)).unwrap();
    let source = read("grafana/provisioning/datasources/prometheus.yml");
    assert!(source.contains("url: $PROMETHEUS_URL\n"));
    let provider = read("grafana/provisioning/dashboards/agentnet.yml");
    assert!(provider.contains("path: /etc/grafana/agentnet\n"));
    for name in ["observe", "network", "socket"] {
        let compose = read(&format!("../{name}/compose.yaml"));
        for said in [
            "PROMETHEUS_URL: http://",
            "target: /etc/grafana/agentnet\n",
            "target: /etc/grafana/provisioning\n",
            "target: /etc/prometheus\n",
            "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH: /etc/grafana/agentnet/agentnet.json\n",
        ] {
            assert!(compose.contains(said), "{name}: {said}");
        }
        // Each bind mount's source is there.
        for source in compose
            .lines()
            .filter_map(|line| line.trim().strip_prefix("source: "))
        {
            let path = stack.join("..").join(name).join(source);
            assert!(path.exists(), "{name}: {}", path.display());
        }
    }
}
