//! `agentnet sync`

use super::Format;
use super::context::Context;
use crate::config::Bytes;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::printable;
use crate::scan::sentence;
use crate::sync::{Branch, Report, Uncommitted, sync as bring};
use crate::task::{Slug, TaskId};
use crate::teardown::Report as Down;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The task
    task: Slug,
    /// Take at most this many bytes of new objects
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = size)]
    max_size: Bytes,
    #[command(flatten)]
    pub(super) format: Format,
}

fn size(text: &str) -> std::result::Result<Bytes, String> {
    Bytes::try_from(text.to_owned())
}

pub(super) async fn sync(context: &Context, args: Args) -> Result<u8> {
    let (_lock, id, record) = context.hold(&args.task).await?;
    let engine = context.engine_of(&record)?;
    let limit = args.max_size.0;
    let report = bring(&engine, &context.state, &record, Uncommitted::Leave, limit).await?;
    if context.output.json {
        let value = serde_json::json!({ "v": 1, "task": id, "sync": report });
        context.output.json(&value)?;
    } else {
        let branch = record.workspace.branch().unwrap_or_default();
        context.output.data(&describe(&id, branch, &report))?;
    }
    Ok(Exit::Ok.code())
}

/// What was saved of a task that went down, or why not.
pub(super) fn tell_saved(context: &Context, id: &TaskId, branch: Option<&str>, down: &Down) {
    if let Some(saved) = &down.saved {
        let text = describe(id, branch.unwrap_or_default(), saved);
        for line in text.lines() {
            context.output.say(line);
        }
        if saved.wip.is_some() {
            let branch = branch.unwrap_or_default();
            context.output.say(&format!(
                "what was not committed is saved as refs/agentnet/wip/{id} too; git diff {branch} refs/agentnet/wip/{id} shows it"
            ));
        }
        if !saved.unsaved.is_empty() {
            let list = saved.unsaved.join(", ");
            context.output.say(&format!(
                "no commit holds these, they are only in the tree: {list}"
            ));
        }
    }
    if let Some(why) = &down.unsaved {
        context.output.warn(&format!(
            "its commits are not in your repository: {why}; they stay with its files"
        ));
    }
}

/// The end of that sentence.
const NOTHING_NEW: &str = "has nothing that the repository has not";

/// A line for each thing that a person wants to know.
pub(super) fn describe(id: &TaskId, branch: &str, report: &Report) -> String {
    let short = |oid: &str| oid.chars().take(12).collect::<String>();
    let mut lines = Vec::new();
    match &report.branch {
        Some(Branch::Moved { to, commits, .. }) => {
            let plural = if *commits == 1 { "" } else { "s" };
            lines.push(format!(
                "{branch} is at {}: {commits} new commit{plural}",
                short(to)
            ));
        }
        Some(Branch::Same | Branch::Ahead) if report.refs.is_empty() && report.wip.is_none() => {
            lines.push(format!("task {id} {NOTHING_NEW}"));
        }
        Some(Branch::Same | Branch::Ahead | Branch::Parted | Branch::Gone) | None => {}
    }
    let own = format!("refs/agentnet/task/{}/{branch}", id.task);
    for moved in report
        .refs
        .iter()
        .filter(|moved| moved.name != own && !moved.name.starts_with("refs/agentnet/wip/"))
    {
        // A branch's name is the agent's.
        let name = printable(&moved.name);
        lines.push(format!("{name} is at {}", short(&moved.object)));
    }
    for module in &report.modules {
        let path = module.path.display();
        let text = describe(id, branch, &module.report);
        let news = text.lines().filter(|line| !line.ends_with(NOTHING_NEW));
        lines.extend(news.map(|line| format!("{path}: {line}")));
        let saved = module.report.wip.iter();
        lines.extend(saved.map(|_| {
            format!(
                "{path}: what was not committed is saved as refs/agentnet/wip/{id} there",
                id = id.task
            )
        }));
        let unsaved = module.report.unsaved.iter();
        lines.extend(unsaved.map(|what| format!("{path}: no commit holds {what}")));
    }
    lines.extend(report.notes.iter().cloned());
    lines.extend(sentence(&report.planted));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{LARGEST, Moved};

    #[test]
    fn a_branch_that_turns_its_line_around_is_shown_as_what_it_is() {
        let id = TaskId {
            project: "shop".parse().unwrap(),
            task: "t".parse().unwrap(),
        };
        let moved = Moved {
            name: "refs/agentnet/task/t/x\u{202e}y".to_owned(),
            object: "0".repeat(40),
        };
        let report = Report {
            refs: vec![moved],
            ..Report::default()
        };
        let said = describe(&id, "agentnet/t", &report);
        assert_eq!(
            said,
            "refs/agentnet/task/t/x\\u{202e}y is at 000000000000\n"
        );
    }

    #[test]
    fn the_default_is_the_librarys() {
        assert_eq!(size("2GiB").unwrap().0, LARGEST);
    }
}
