//! `agentnet whitelist`

use serde::Serialize;

use super::Format;
use super::context::Context;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::table;
use crate::policy::Layers;
use crate::task::Slug;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The task
    task: Slug,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Serialize)]
struct Line {
    rule: String,
    file: String,
    line: u32,
    comment: Option<String>,
}

pub(super) fn whitelist(context: &Context, args: &Args) -> Result<u8> {
    let (id, _) = context.find_up(&args.task)?;
    let loaded = Layers::read(&context.state.task(&id))?.load()?;
    let lines: Vec<_> = loaded
        .policy
        .rules()
        .map(|rule| Line {
            rule: rule.text().to_string(),
            file: rule.file().to_string(),
            line: rule.line(),
            comment: rule.comment().map(ToString::to_string),
        })
        .collect();
    for warning in &loaded.warnings {
        context.output.say(&warning.to_string());
    }
    if context.output.json {
        context
            .output
            .json(&serde_json::json!({ "v": 1, "rules": lines }))?;
        return Ok(Exit::Ok.code());
    }
    let rows: Vec<_> = lines
        .into_iter()
        .map(|l| {
            vec![
                l.rule,
                format!("{}:{}", l.file, l.line),
                l.comment.unwrap_or_default(),
            ]
        })
        .collect();
    context
        .output
        .data(&table(&["RULE", "FROM", "REASON"], &rows))?;
    Ok(Exit::Ok.code())
}
