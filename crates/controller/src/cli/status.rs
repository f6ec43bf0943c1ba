//! `agentnet status`

use futures_util::future::join_all;
use serde::Serialize;

use super::Format;
use super::context::Context;
use crate::ceiling::{self, Strain};
use crate::engine::{Engine, EngineError, HealthState, Running};
use crate::error::Result;
use crate::exit::Exit;
use crate::labels::Role;
use crate::output::table;
use crate::record::Record;
use crate::task::Slug;
use crate::verify::Proof;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The task
    task: Slug,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Serialize)]
struct Container {
    name: String,
    role: Role,
    state: String,
    health: Option<HealthState>,
    addresses: Vec<std::net::IpAddr>,
}

#[derive(Debug, Serialize)]
struct Status<'a> {
    v: u8,
    #[serde(flatten)]
    record: &'a Record,
    containers: Vec<Container>,
    /// What ran into a ceiling.
    strains: Vec<Strain>,
    proof: Option<Proof>,
}

pub(super) async fn status(context: &Context, args: Args) -> Result<u8> {
    let (id, record) = context.find(&args.task)?;
    let engine = context.engine_of(&record)?;
    let containers = join_all(record.places.iter().map(|place| async {
        let found = engine.inspect_container(&place.container).await;
        let (state, health) = match found {
            Ok(state) => (word(&state.running), Some(state.health)),
            Err(EngineError::NotFound(_)) => ("gone".to_owned(), None),
            Err(e) => (e.to_string(), None),
        };
        Container {
            name: place.container.clone(),
            role: place.role,
            state,
            health: health.filter(|health| *health != HealthState::None),
            addresses: place.addresses.clone(),
        }
    }))
    .await;
    let proof = Proof::read(&context.state.task(&id));
    let status = Status {
        v: 1,
        record: &record,
        containers,
        strains: ceiling::strains(&engine, &record).await,
        proof,
    };
    if context.output.json {
        context.output.json(&status)?;
        return Ok(Exit::Ok.code());
    }
    context.output.data(&text(&status))?;
    Ok(Exit::Ok.code())
}

fn word(running: &Running) -> String {
    match running {
        Running::Created => "created".to_owned(),
        Running::Running => "running".to_owned(),
        Running::Exited(code) => format!("exited {code}"),
        Running::Other(word) => word.clone(),
    }
}

fn text(status: &Status<'_>) -> String {
    let record = status.record;
    let fence = record
        .fence
        .map_or_else(String::new, |fence| format!(", {fence} fence"));
    let proof = match &status.proof {
        Some(p) if p.sealed => format!("sealed, {} rows proven at {:.0}", p.proven(), p.at),
        Some(p) => format!("NOT SEALED at {:.0}", p.at),
        None => "not proven".to_owned(),
    };
    let mut out = format!(
        "task     {} of {}\nphase    {} since {:.0}\nnetwork  {}{fence}\nproof    {proof}\nfiles    {}\n",
        record.task,
        record.task.project,
        record.phase,
        record.since,
        record.mode,
        record.workspace.files().display()
    );
    if let Some(branch) = record.workspace.branch() {
        out.push_str(&format!("branch   {branch}\n"));
    }
    let health = |health: Option<HealthState>| match health {
        Some(HealthState::Healthy) => "healthy",
        Some(HealthState::Unhealthy) => "unhealthy",
        Some(HealthState::Starting) => "starting",
        Some(HealthState::None) | None => "",
    };
    let rows: Vec<_> = status
        .containers
        .iter()
        .map(|c| {
            let addresses: Vec<_> = c.addresses.iter().map(ToString::to_string).collect();
            vec![
                c.role.to_string(),
                c.state.clone(),
                health(c.health).to_owned(),
                addresses.join(" "),
                c.name.clone(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        out.push('\n');
        out.push_str(&table(
            &["ROLE", "STATE", "HEALTH", "ADDRESSES", "CONTAINER"],
            &rows,
        ));
    }
    for sentence in status.strains.iter().flat_map(|strain| &strain.sentences) {
        out.push_str(&format!("\n{sentence}\n"));
    }
    out
}
