//! `agentnet targets`

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;

use super::context::Context;
use crate::error::Result;
use crate::exit::Exit;
use crate::paths::write_atomically;
use crate::record::Record;
use crate::targets::{Target, target, unknown};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write to FILE, at once as a whole, and not to stdout
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Look again every so many seconds until Ctrl-C, and write when something changed
    #[arg(long, value_name = "SECONDS", requires = "write", value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: Option<u64>,
}

pub(super) async fn targets(context: &Context, args: Args) -> Result<u8> {
    let Some(file) = args.write else {
        let (found, problems) = look(context).await?;
        problems.iter().for_each(|text| context.output.warn(text));
        context.output.json(&found)?;
        return Ok(Exit::Ok.code());
    };
    let cancel = context.interrupts()?;
    let (mut written, mut said) = (String::new(), Vec::new());
    loop {
        let (found, problems) = look(context).await?;
        // Once, not every time.
        for text in problems.iter().filter(|text| !said.contains(*text)) {
            context.output.warn(text);
        }
        said = problems;
        let mut text = serde_json::to_string_pretty(&found).map_err(std::io::Error::from)?;
        text.push('\n');
        if text != written || !file.exists() {
            write_atomically(&file, &text)?;
            let count = found.len();
            let plural = if count == 1 { "" } else { "s" };
            let file = file.display();
            context
                .output
                .say(&format!("{count} target{plural} in {file}"));
            written = text;
        }
        let Some(seconds) = args.every else {
            return Ok(Exit::Ok.code());
        };
        tokio::select! {
            () = cancel.cancelled() => return Ok(Exit::Interrupted.code()),
            () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
        }
    }
}

/// What there is, in order of project and task, and what is wrong with some of it.
async fn look(context: &Context) -> Result<(Vec<Target>, Vec<String>)> {
    let (mut records, mut problems) = (Vec::new(), Vec::new());
    for id in context.state.tasks()? {
        let wanted = context.project.as_ref();
        if wanted.is_some_and(|project| *project != id.project) {
            continue;
        }
        match Record::read(&context.state.task(&id)) {
            Ok(Some(record)) if record.phase.is_up() => records.push(record),
            Ok(_) => {}
            Err(e) => problems.push(e.to_string()),
        }
    }
    let asked = join_all(records.iter().map(|record| async {
        match context.engine_of(record) {
            Ok(engine) => target(&engine, record).await,
            Err(e) => (unknown(record), Some(e.to_string())),
        }
    }));
    let mut found = Vec::new();
    for (one, problem) in asked.await {
        found.extend(one);
        problems.extend(problem);
    }
    Ok((found, problems))
}
