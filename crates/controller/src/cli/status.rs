//! `agentnet status`

use jiff::Timestamp;
use serde::Serialize;

use super::Format;
use super::context::Context;
use crate::ceiling::{self, Strain};
use crate::disk::Ledger;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::table;
use crate::record::Record;
use crate::stats::figures::{bytes, cpu, health, memory, pids, span};
use crate::stats::{Before, Stats, Traffic};
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
struct Status<'a> {
    v: u8,
    #[serde(flatten)]
    record: &'a Record,
    stats: Stats,
    /// What ran into a ceiling.
    strains: Vec<Strain>,
    /// What it was last seen to have written to the disk.
    disk: Option<Ledger>,
    proof: Option<Proof>,
}

pub(super) async fn status(context: &Context, args: Args) -> Result<u8> {
    let (id, record) = context.find(&args.task)?;
    let engine = context.engine_of(&record)?;
    let stats = Stats::gather(&engine, &record, &mut Before::new(), Timestamp::now()).await;
    context.watch_disks(&[&record]);
    let proof = Proof::read(&context.state.task(&id));
    let status = Status {
        v: 1,
        record: &record,
        stats,
        strains: ceiling::strains(&engine, &record).await,
        disk: Ledger::read(&context.state.task(&id)),
        proof,
    };
    if context.output.json {
        context.output.json(&status)?;
        return Ok(Exit::Ok.code());
    }
    context.output.data(&text(&status))?;
    Ok(Exit::Ok.code())
}

fn text(status: &Status<'_>) -> String {
    let (record, stats) = (status.record, &status.stats);
    let fence = record
        .fence
        .map_or_else(String::new, |fence| format!(", {fence} fence"));
    let proof = match &status.proof {
        Some(p) if p.sealed => format!("sealed, {} rows proven at {:.0}", p.proven(), p.at),
        Some(p) => format!("NOT SEALED at {:.0}", p.at),
        None => "not proven".to_owned(),
    };
    let mut out = format!(
        "task     {} of {}\nphase    {} since {:.0}, {}\n",
        record.task.task,
        record.task.project,
        record.phase,
        record.since,
        span(stats.age_seconds),
    );
    if record.phase.is_up() {
        let health = match health(stats.health) {
            "" => String::new(),
            word => format!(", {word}"),
        };
        out.push_str(&format!("agent    {}{health}\n", stats.state));
    }
    out.push_str(&format!(
        "network  {}{fence}\nproof    {proof}\nfiles    {}\n",
        record.mode,
        record.workspace.whereabouts()
    ));
    if let Some(branch) = record.workspace.branch() {
        out.push_str(&format!("branch   {branch}\n"));
    }
    if let Some(load) = &stats.agent {
        let spent = format!("cpu {:.1} s", load.cpu_seconds);
        let now = cpu(Some(load));
        let memory = memory(Some(load));
        let now = if now.is_empty() {
            now
        } else {
            format!(" ({now} now)")
        };
        out.push_str(&format!(
            "used     {spent}{now}, memory {memory}, processes {}\n",
            pids(Some(load))
        ));
    }
    if let Some(disk) = &status.disk {
        let at = disk.at;
        out.push_str(&format!("disk     {} written by {at:.0}\n", disk.figure()));
    }
    if let Some(traffic) = &stats.traffic {
        out.push_str(&told(traffic));
    }
    let rows: Vec<_> = stats
        .containers
        .iter()
        .map(|c| {
            let addresses: Vec<_> = c.addresses.iter().map(ToString::to_string).collect();
            vec![
                c.role.to_string(),
                c.state.clone(),
                health(c.health).to_owned(),
                cpu(c.load.as_ref()),
                memory(c.load.as_ref()),
                pids(c.load.as_ref()),
                addresses.join(" "),
                c.name.clone(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        out.push('\n');
        let header = [
            "ROLE",
            "STATE",
            "HEALTH",
            "CPU",
            "MEMORY",
            "PIDS",
            "ADDRESSES",
            "CONTAINER",
        ];
        out.push_str(&table(&header, &rows));
    }
    if let Some(why) = status.disk.as_ref().and_then(|disk| disk.stopped.as_ref()) {
        out.push_str(&format!("\nit was stopped: {why}\n"));
    }
    for sentence in status.strains.iter().flat_map(|strain| &strain.sentences) {
        out.push_str(&format!("\n{sentence}\n"));
    }
    if !stats.denials.is_empty() {
        out.push_str("\nlast it did not get to\n");
        let rows: Vec<_> = stats
            .denials
            .iter()
            .map(|denial| {
                vec![
                    denial.target.clone(),
                    denial.reason.to_string(),
                    format!("{} times", denial.count),
                    format!("{:.0}", denial.last),
                ]
            })
            .collect();
        out.push_str(&table(&["HOST", "REASON", "", "LAST"], &rows));
    }
    out
}

fn told(traffic: &Traffic) -> String {
    let mut out = format!(
        "traffic  {} up, {} down; {} requests let through, {} refused; {} tunnels open\n",
        bytes(traffic.up),
        bytes(traffic.down),
        traffic.allowed,
        traffic.denied,
        traffic.tunnels
    );
    for budget in &traffic.budgets {
        out.push_str(&format!(
            "budget   {} of {} sent: {}\n",
            bytes(budget.spent),
            bytes(budget.bytes),
            budget.rule
        ));
    }
    out
}
