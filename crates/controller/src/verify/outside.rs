//! What the engine and its host show: the endpoints, the containers' privileges, the bridge.

use std::time::Duration;

use agentnet_gate::Outcome;
use futures_util::future::try_join_all;

use super::{ProofRow, Witness};
use crate::config::Mode;
use crate::engine::{ContainerState, Engine, NetworkState, Running};
use crate::error::{Error, Result};
use crate::labels::Role;
use crate::link::{Bridge, look};
use crate::output::printable;
use crate::plan::Place;
use crate::record::Record;

/// Between two looks at a task that runs.
const INTERVAL: Duration = Duration::from_secs(5);

fn row(id: &str, what: &str, outcome: Outcome, detail: String) -> ProofRow {
    ProofRow {
        id: id.into(),
        what: what.into(),
        outcome,
        detail,
        by: Witness::Controller,
    }
}

/// Sealed when nothing is wrong, a leak that says what otherwise.
fn judged(id: &str, what: &str, good: &str, wrong: &[String]) -> ProofRow {
    match wrong {
        [] => row(id, what, Outcome::Sealed, good.to_owned()),
        wrong => row(id, what, Outcome::Leak, wrong.join("; ")),
    }
}

type States<'a> = Vec<(&'a Place, ContainerState)>;

/// What the engine shows of a task's containers, and of its fence where that is a network.
async fn seen<'a, E: Engine>(
    engine: &E,
    record: &'a Record,
) -> Result<(States<'a>, Option<NetworkState>)> {
    let states = try_join_all(record.places.iter().map(|place| async move {
        let state = engine.inspect_container(&place.container).await;
        state
            .map(|s| (place, s))
            .map_err(Error::engine(format!("looking at {}", place.container)))
    }));
    let network = async {
        match &record.fence_network {
            Some(name) => {
                let state = engine.inspect_network(name).await;
                state
                    .map(Some)
                    .map_err(Error::engine(format!("looking at {name}")))
            }
            None => Ok(None),
        }
    };
    futures_util::try_join!(states, network)
}

/// All rows that can be had from outside.
pub(super) async fn rows<E: Engine>(engine: &E, record: &Record) -> Result<Vec<ProofRow>> {
    let (states, network) = seen(engine, record).await?;
    Ok(judge(record, &states, &states, network))
}

/// `attached`: whose networks count.
fn judge(
    record: &Record,
    states: &[(&Place, ContainerState)],
    attached: &[(&Place, ContainerState)],
    network: Option<NetworkState>,
) -> Vec<ProofRow> {
    let mut rows = vec![attachments(attached), privileges(states)];
    if let Some(network) = network {
        rows.push(gateway(&network));
        rows.push(endpoints(&network, states));
        rows.push(bridge(&network));
    }
    if record.mode == Mode::Full {
        rows.retain(|row| row.id == "container_privileges");
    }
    rows
}

/// The ways that are open, as far as the engine and its host show: cheap enough to be asked every few seconds. `None`
/// also where the engine does not answer, or a container is gone: then there is nothing to be said. A person may put the
/// proxy on one more network, where something is that the task may reach through it: its rules hold there too.
pub(crate) async fn opened<E: Engine>(engine: &E, record: &Record) -> Option<String> {
    let (states, network) = seen(engine, record).await.ok()?;
    let fenced = states.iter().filter(|(place, _)| place.role != Role::Proxy);
    let fenced: Vec<_> = fenced.cloned().collect();
    let rows = judge(record, &states, &fenced, network);
    let open = rows.iter().filter(|row| row.outcome == Outcome::Leak);
    let open: Vec<_> = open.map(|row| printable(&row.detail)).collect();
    (!open.is_empty()).then(|| format!("its fence was opened: {}", open.join("; ")))
}

/// Waits until the fence is opened, and says by what.
pub async fn breached<E: Engine>(engine: &E, record: &Record) -> Error {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if let Some(why) = opened(engine, record).await {
            return Error::Leak(format!("task {} was stopped: {why}", record.task));
        }
    }
}

fn attachments(states: &[(&Place, ContainerState)]) -> ProofRow {
    let wrong: Vec<_> = states
        .iter()
        .filter_map(|(place, state)| {
            let sorted = |names: &[String]| {
                let mut names = names.to_vec();
                names.sort();
                names
            };
            let (planned, found) = (sorted(&place.networks), sorted(&state.networks));
            (planned != found && state.running == Running::Running).then(|| {
                let list = |names: &[String]| match names {
                    [] => "no network".to_owned(),
                    names => names.join(", "),
                };
                format!(
                    "{} is on {}, not on {}",
                    state.name,
                    list(&found),
                    list(&planned)
                )
            })
        })
        .collect();
    judged(
        "container_networks",
        "each container is on its networks only",
        "as planned",
        &wrong,
    )
}

fn privileges(states: &[(&Place, ContainerState)]) -> ProofRow {
    let mut wrong: Vec<_> = states
        .iter()
        .flat_map(|(_, s)| s.privileges.iter().map(move |p| format!("{}: {p}", s.name)))
        .collect();
    let mut planned = Vec::new();
    for (place, state) in states {
        let name = &state.name;
        if state.filter.as_ref() != place.filter.as_ref().map(|filter| &filter.digest) {
            wrong.push(format!(
                "{name}: its system call filter is not the planned one"
            ));
        }
        if state.gpus && !place.gpus {
            wrong.push(format!("{name}: it has GPUs of the host"));
        }
        planned.extend(place.widened());
    }
    let mut good = "no capabilities, namespaces, devices, ports or sockets of the host".to_owned();
    if !planned.is_empty() {
        good = format!("{good}, but as your settings say: {}", planned.join("; "));
    }
    judged(
        "container_privileges",
        "no container has more of the host than planned",
        &good,
        &wrong,
    )
}

fn endpoints(network: &NetworkState, states: &[(&Place, ContainerState)]) -> ProofRow {
    let mut wrong = Vec::new();
    for endpoint in &network.endpoints {
        let known = states
            .iter()
            .find(|(_, state)| state.id == endpoint.container);
        match known {
            None => wrong.push(format!("{} is on it too", endpoint.name)),
            Some((place, state)) => {
                let here = [endpoint.v4.map(Into::into), endpoint.v6.map(Into::into)];
                for address in here.into_iter().flatten() {
                    if !place.addresses.contains(&address) {
                        wrong.push(format!(
                            "{} has the unplanned address {address}",
                            state.name
                        ));
                    }
                }
            }
        }
    }
    judged(
        "fence_endpoints",
        "nobody else is on the fence network",
        &format!("{} endpoints, all of this task", network.endpoints.len()),
        &wrong,
    )
}

fn gateway(network: &NetworkState) -> ProofRow {
    let wrong: Vec<_> = network
        .gateways
        .iter()
        .map(|a| format!("the host has {a} on it"))
        .collect();
    judged(
        "fence_gateway",
        "the fence network has no gateway",
        "it has none",
        &wrong,
    )
}

fn bridge(network: &NetworkState) -> ProofRow {
    let what = "the host has no address on the fence's bridge";
    match look(&network.id) {
        Bridge::NotHere => row(
            "bridge_addresses",
            what,
            Outcome::Skipped,
            "the engine's host is not this machine; the proxy holds .1 and ::1, and the gate looked".into(),
        ),
        Bridge::Here(found) => judged("bridge_addresses", what, "it has none", &found),
    }
}
