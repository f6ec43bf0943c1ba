//! Where Prometheus finds the proxies of all tasks: the file that its `file_sd_configs` reads.
//!
//! A proxy's admin listener answers on its egress network only (`docs/proxy.md`, `egress:PORT`), so
//! the address here is one that no agent can reach; the engine's host can.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::engine::{Engine, EngineError, Running};
use crate::labels::Role;
use crate::plan::ADMIN_PORT;
use crate::record::Record;

/// One entry of a `file_sd` document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// `ADDRESS:PORT`, one.
    pub targets: Vec<String>,
    /// What its series carry beside their own labels.
    pub labels: BTreeMap<&'static str, String>,
}

/// The target of a task that should be up. `None`: the task has no proxy.
///
/// A proxy whose address nobody knows (it does not run, or the engine does not answer) is listed by
/// its container's name. That resolves to nothing where Prometheus is, so the task shows as down;
/// left out, it would vanish without an alert.
pub async fn target<E: Engine>(engine: &E, record: &Record) -> (Option<Target>, Option<String>) {
    let Some(proxy) = record.container(Role::Proxy) else {
        return (None, None);
    };
    let (address, problem) = match address(engine, record, proxy).await {
        Ok(Some(ip)) => (SocketAddr::new(ip, ADMIN_PORT).to_string(), None),
        Ok(None) => (
            nowhere(proxy),
            Some(format!("the proxy of task {} does not run", record.task)),
        ),
        Err(e) => (
            nowhere(proxy),
            Some(format!(
                "where the proxy of task {} is, the engine does not say: {e}",
                record.task
            )),
        ),
    };
    (Some(entry(record, address)), problem)
}

/// The same, where the engine cannot even be asked.
#[must_use]
pub fn unknown(record: &Record) -> Option<Target> {
    let proxy = record.container(Role::Proxy)?;
    Some(entry(record, nowhere(proxy)))
}

fn nowhere(container: &str) -> String {
    format!("{container}:{ADMIN_PORT}")
}

fn entry(record: &Record, address: String) -> Target {
    let fence = record.fence.map(|fence| ("fence", fence.to_string()));
    let labels = [
        ("task", record.task.task.to_string()),
        ("project", record.task.project.to_string()),
    ];
    Target {
        targets: vec![address],
        labels: labels.into_iter().chain(fence).collect(),
    }
}

/// Its address on the task's egress network, if it runs.
async fn address<E: Engine>(
    engine: &E,
    record: &Record,
    proxy: &str,
) -> Result<Option<IpAddr>, EngineError> {
    let state = match engine.inspect_container(proxy).await {
        Ok(state) if state.running == Running::Running => state,
        Ok(_) | Err(EngineError::NotFound(_)) => return Ok(None),
        Err(e) => return Err(e),
    };
    let egress = record.task.resource(Role::Egress);
    let network = engine.inspect_network(&egress).await?;
    let mut endpoints = network.endpoints.into_iter();
    let own = endpoints.find(|endpoint| endpoint.container == state.id);
    Ok(own.and_then(|own| own.v4.map(IpAddr::V4).or(own.v6.map(IpAddr::V6))))
}
