//! `agentnet withdraw`

use super::context::Context;
use crate::credentials::SECRETS_FILE;
use crate::error::Result;
use crate::exit::Exit;
use crate::lock::TaskLock;
use crate::paths::remove_if_there;
use crate::record::Record;
use crate::task::Slug;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The task
    task: Slug,
}

/// What a program was given it has; nothing that starts from now on gets it.
pub(super) async fn withdraw(context: &Context, args: Args) -> Result<u8> {
    let (id, _) = context.find_up(&args.task)?;
    let _lock = TaskLock::take(&context.state, &id).await?;
    let dir = context.state.task(&id);
    remove_if_there(&dir.secrets().join(SECRETS_FILE))?;
    let names = match Record::read(&dir)? {
        Some(mut record) => {
            let names = std::mem::take(&mut record.secrets);
            record.write(&dir)?;
            names
        }
        None => Vec::new(),
    };
    context.output.say(&match names.as_slice() {
        [] => format!("task {} has no secrets", args.task),
        names => format!(
            "withdrew {}: what runs already keeps them, agentnet down {} ends it",
            names.join(", "),
            args.task
        ),
    });
    Ok(Exit::Ok.code())
}
