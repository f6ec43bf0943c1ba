//! `agentnet watch-disks`: started by `up`, never by a person.

use super::context::Context;
use crate::disk::watcher;
use crate::engine::bollard::BollardEngine;
use crate::error::Result;
use crate::exit::Exit;

/// Watches what tasks write, until none is up.
pub(super) async fn watch_disks(context: &Context) -> Result<u8> {
    // Away from the terminal of `up`, so that its Ctrl-C is not ours; whoever leads a session already may stay.
    rustix::process::setsid().ok();
    watcher::watch::<BollardEngine, _>(&context.state, |record| context.engine_of(record)).await?;
    Ok(Exit::Ok.code())
}
