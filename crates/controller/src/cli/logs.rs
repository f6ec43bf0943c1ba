//! `agentnet logs`

use super::context::Context;
use crate::engine::{Engine, EngineError, LogQuery};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::labels::Role;
use crate::task::Slug;
use crate::terminal::readings;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The task
    task: Slug,
    /// What the proxy decided, one JSON document a line
    #[arg(long, conflicts_with = "service")]
    events: bool,
    /// This service instead of the agent
    #[arg(long, value_name = "NAME")]
    service: Option<Slug>,
    /// Keep following
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<u32>,
}

pub(super) async fn logs(context: &Context, args: Args) -> Result<u8> {
    let (id, record) = context.find_up(&args.task)?;
    let container = match (&args.service, args.events) {
        (Some(service), _) => id.service(service),
        (None, true) => id.resource(Role::Proxy),
        (None, false) => id.resource(Role::Agent),
    };
    if !record
        .places
        .iter()
        .any(|place| place.container == container)
    {
        return Err(Error::Failed(format!(
            "task {} has no {container}",
            args.task
        )));
    }
    let query = LogQuery {
        follow: args.follow,
        tail: args.tail,
    };
    let engine = context.engine_of(&record)?;
    match engine.logs(&container, query, readings()).await {
        Ok(()) | Err(EngineError::ReaderGone) => Ok(Exit::Ok.code()),
        Err(e) => Err(Error::engine(format!("reading the log of {container}"))(e)),
    }
}
