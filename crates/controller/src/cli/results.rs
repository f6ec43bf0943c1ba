//! `agentnet results`

use std::path::{Path, PathBuf};

use super::Format;
use super::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::paths::read_bounded;
use crate::results::{Collector, Network, Report};
use crate::scan;
use crate::task::Slug;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The task
    task: Slug,
    /// A new or an empty directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Fail if the task reached a host that an earlier run's network.json does not have
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    #[command(flatten)]
    pub(super) format: Format,
}

/// The largest `network.json` that is read.
const MOST: u64 = 64 << 20;

pub(super) async fn results(context: &Context, args: Args) -> Result<u8> {
    // A mistyped name is told before anything is written.
    let earlier = args.check.as_deref().map(read).transpose()?;
    let (_, record) = context.find(&args.task)?;
    let engine = context.engine_of(&record)?;
    let collector = Collector::new(&engine, &context.state, &record, &args.directory).await?;
    let report = Box::pin(collector.collect(None)).await?;
    if context.output.json {
        context.output.json(&report)?;
    } else {
        context.output.say(&sentence(&report, &args.directory));
    }
    match (earlier, args.check) {
        (Some(earlier), Some(file)) => check(
            &earlier,
            &file,
            &read(&args.directory.join("network.json"))?,
        ),
        _ => Ok(Exit::Ok.code()),
    }
}

/// What was collected, in a few lines.
pub(super) fn sentence(report: &Report, directory: &Path) -> String {
    let count = |n: Option<usize>, what: &str| n.map(|n| format!("{n} {what}, "));
    let mut text = format!(
        "results of task {} are in {}: {}{}{} hosts reached, {} requests refused",
        report.task,
        directory.display(),
        count(report.changed_files, "changed files").unwrap_or_default(),
        count(report.commits, "commits").unwrap_or_default(),
        report.hosts_reached,
        report.requests_refused,
    );
    if let Some(look) = scan::sentence(report.planted.as_deref().unwrap_or_default()) {
        text.push_str(&format!("\n  {look}"));
    }
    for left in &report.left_out {
        text.push_str(&format!("\n  not there: {}: {}", left.what, left.why));
    }
    text
}

fn read(path: &Path) -> Result<Network> {
    let text = read_bounded(path, MOST).map_err(|e| Error::Usage(e.to_string()))?;
    serde_json::from_str(&text)
        .map_err(|e| Error::Usage(format!("{} is no network.json: {e}", path.display())))
}

fn check(earlier: &Network, file: &Path, now: &Network) -> Result<u8> {
    let new = now.new_since(earlier);
    if !now.complete {
        return Err(Error::Failed(format!(
            "not every decision of task {} could be read, so nobody knows whether it reached a new host",
            now.task
        )));
    }
    if new.is_empty() {
        return Ok(Exit::Ok.code());
    }
    Err(Error::Failed(format!(
        "task {} reached hosts that {} does not have: {}",
        now.task,
        file.display(),
        new.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(reached: &str, complete: bool) -> Network {
        let text = format!(
            r#"{{"v":1,"task":"t","policy":null,"complete":{complete},"reached":[{reached}],"refused":[],"proof":null}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_new_host_and_an_unknown_one_fail_and_the_known_do_not() {
        let host = r#"{"host":"a.example","port":443,"requests":1,"up":0,"down":0,"rules":[],
            "first":"2026-11-20T22:00:00Z","last":"2026-11-20T22:00:00Z"}"#;
        let (none, one) = (network("", true), network(host, true));
        let file = Path::new("network.json");
        assert_eq!(check(&one, file, &one).unwrap(), Exit::Ok.code());
        assert_eq!(check(&one, file, &none).unwrap(), Exit::Ok.code());
        let new = check(&none, file, &one).unwrap_err().to_string();
        assert!(new.ends_with("does not have: a.example:443"), "{new}");
        let unknown = check(&one, file, &network(host, false)).unwrap_err();
        assert!(
            unknown.to_string().contains("not every decision"),
            "{unknown}"
        );
    }
}
