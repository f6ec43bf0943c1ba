//! Where Prometheus finds tasks: on the egress side, and never nowhere.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod harness;

use agentnet_controller::engine::{Engine, Kind};
use agentnet_controller::record::Record;
use agentnet_controller::targets::{Target, target, unknown};
use harness::{Bed, id};
use serde_json::json;

async fn record(bed: &Bed, toml: &str) -> Record {
    bed.up(&bed.setup("t", toml)).await.unwrap();
    Record::read(&bed.state.task(&id("t"))).unwrap().unwrap()
}

fn only(target: &Target) -> &str {
    assert_eq!(target.targets.len(), 1);
    &target.targets[0]
}

#[tokio::test]
async fn a_task_is_found_at_its_proxys_egress_address_whatever_its_fence() {
    for fence in ["network", "socket"] {
        let bed = Bed::docker28();
        let record = record(&bed, &format!("[network]\nfence = \"{fence}\"\n")).await;
        let (found, problem) = target(&bed.engine, &record).await;
        assert_eq!(problem, None);
        let found = found.unwrap();
        let egress = bed.engine.inspect_network("agentnet-shop-t-egress").await;
        let address = egress.unwrap().endpoints[0].v4.unwrap();
        assert_eq!(only(&found), format!("{address}:9100"));
        if let Some(inside) = record.proxy {
            assert_ne!(inside.ip().to_string(), address.to_string());
        }
        assert_eq!(
            serde_json::to_value([&found]).unwrap(),
            json!([{
                "targets": [format!("{address}:9100")],
                "labels": { "task": "t", "project": "shop", "fence": fence },
            }])
        );
    }
}

#[tokio::test]
async fn a_task_without_a_proxy_is_no_target() {
    let bed = Bed::docker28();
    let record = record(&bed, "[network]\nmode = \"none\"\n").await;
    assert_eq!(target(&bed.engine, &record).await, (None, None));
    assert_eq!(unknown(&record), None);
}

#[tokio::test]
async fn a_proxy_that_is_gone_stays_listed_so_that_it_shows_as_down() {
    let bed = Bed::docker28();
    let record = record(&bed, "").await;
    let proxy = "agentnet-shop-t-proxy";
    let state = bed.engine.inspect_container(proxy).await.unwrap();
    bed.engine.remove(Kind::Container, &state.id).await.unwrap();
    let (found, problem) = target(&bed.engine, &record).await;
    let found = found.unwrap();
    assert_eq!(only(&found), "agentnet-shop-t-proxy:9100");
    assert_eq!(found.labels["task"], "t");
    assert!(problem.unwrap().contains("does not run"));
    assert_eq!(unknown(&record), Some(found));
}
