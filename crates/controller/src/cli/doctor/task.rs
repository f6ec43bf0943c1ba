//! `agentnet doctor TASK`: what its programs did not get to, and who goes around the proxy.

use agentnet_gate::clients::Program;

use crate::cli::context::Context;
use crate::diagnosis::{Diagnosis, diagnose};
use crate::error::Result;
use crate::exit::Exit;
use crate::task::Slug;

/// Hosts that are printed; `--json` has all.
const MOST: usize = 30;

pub(super) async fn doctor(context: &Context, task: &Slug) -> Result<u8> {
    let (_, record) = context.find_up(task)?;
    let engine = context.engine_of(&record)?;
    let found = diagnose(&engine, &record).await?;
    if context.output.json {
        context.output.json(&found)?;
    } else {
        context.output.data(&text(&found))?;
    }
    Ok(Exit::Ok.code())
}

fn text(found: &Diagnosis) -> String {
    let mut out = head(found);
    let loud: Vec<_> = found.blocked.iter().filter(|f| !f.seen.quiet).collect();
    for finding in loud.iter().take(MOST) {
        let seen = &finding.seen;
        out.push_str(&format!(
            "\n{}  {}, {}, last at {:.0}\n",
            seen.target(),
            seen.reason,
            times(seen.count),
            seen.last
        ));
        let ways: Vec<_> = seen
            .ways
            .iter()
            .map(|(way, count)| format!("{} {}", way.as_str(), times(*count)))
            .collect();
        out.push_str(&format!("  asked    {}\n", ways.join(", ")));
        if !seen.agents.is_empty() {
            let agents: Vec<_> = seen.agents.iter().map(ToString::to_string).collect();
            out.push_str(&format!("  by       {}\n", agents.join(", ")));
        }
        for advice in &finding.advice {
            out.push_str(&format!("  do       {advice}\n"));
        }
    }
    let unprinted = loud.len().saturating_sub(MOST);
    if unprinted > 0 {
        out.push_str(&format!("\nand {unprinted} more hosts: --json has them\n"));
    }
    let quiet = found.blocked.len() - loud.len();
    if quiet > 0 {
        out.push_str(&format!(
            "\nand {quiet} hosts by `quiet` lines or the proof's own attempts: --json has them\n"
        ));
    }
    if found.others > 0 {
        out.push_str(&format!(
            "\nand {} requests for hosts beyond those\n",
            found.others
        ));
    }
    if !found.programs.is_empty() || !found.overrides.is_empty() {
        out.push_str("\nin the agent's container, what does not know the proxy:\n");
    }
    for suspect in &found.programs {
        out.push_str(&format!(
            "\n{}\n  do       {}\n",
            program(&suspect.seen),
            suspect.advice
        ));
    }
    for suspect in &found.overrides {
        let seen = &suspect.seen;
        out.push_str(&format!(
            "\n{}  {}:{}: {} {}\n  do       {}\n",
            seen.tool, seen.file, seen.line, seen.setting, seen.value, suspect.advice
        ));
    }
    for problem in &found.problems {
        out.push_str(&format!("\nnote: {problem}\n"));
    }
    out
}

fn head(found: &Diagnosis) -> String {
    let loud = || found.blocked.iter().filter(|f| !f.seen.quiet);
    let count: u64 = loud().map(|f| f.seen.count).sum::<u64>() + found.others;
    let (task, decisions) = (&found.task, found.decisions);
    if count == 0 {
        return format!(
            "task {task}: everything got through that was asked for in its proxy's last {decisions} decisions\n"
        );
    }
    let hosts = loud().count();
    format!(
        "task {task}: {count} requests for {hosts} hosts did not get through, in its proxy's last {decisions} decisions\n"
    )
}

fn program(seen: &Program) -> String {
    let count = match seen.count {
        1 => String::new(),
        count => format!(" ({count} processes)"),
    };
    let without: Vec<_> = seen.without.iter().map(ToString::to_string).collect();
    let mut facts = Vec::new();
    if !without.is_empty() {
        facts.push(format!(
            "was started without the container's {}",
            without.join(", ")
        ));
    }
    if let Some(direct) = &seen.no_proxy {
        facts.push(format!("has no_proxy {direct}"));
    }
    format!("{}{count}  {}", seen.name, facts.join("; "))
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}
