//! `agentnet withdraw`

use super::context::Context;
use crate::credentials::SECRETS_FILE;
use crate::error::Result;
use crate::exit::Exit;
use crate::lock::TaskLock;
use crate::paths::remove_if_there;
use crate::record::Record;
use crate::ssh_agent::SOCKET;
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
    // First what can still be used: the socket, with the process behind it.
    remove_if_there(&dir.ssh().join(SOCKET))?;
    remove_if_there(&dir.secrets().join(SECRETS_FILE))?;
    let (names, agent) = match Record::read(&dir)? {
        Some(mut record) => {
            let taken = (
                std::mem::take(&mut record.secrets),
                std::mem::take(&mut record.ssh_agent),
            );
            record.write(&dir)?;
            taken
        }
        None => (Vec::new(), false),
    };
    let task = &args.task;
    if agent {
        context.output.say(&format!(
            "withdrew the SSH agent: task {task} can sign nothing more with it"
        ));
    }
    if !names.is_empty() {
        context.output.say(&format!(
            "withdrew {}: what runs already keeps them, agentnet down {task} ends it",
            names.join(", "),
        ));
    }
    if names.is_empty() && !agent {
        context.output.say(&format!("task {task} has no secrets"));
    }
    Ok(Exit::Ok.code())
}
