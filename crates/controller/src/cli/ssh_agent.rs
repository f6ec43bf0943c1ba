//! `agentnet ssh-agent`: started by `up`, never by a person.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::output::Output;
use crate::ssh_agent::{Fingerprint, Forwarder, Keys, READY, SOCKET};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The person's agent
    #[arg(long, value_name = "SOCKET")]
    agent: PathBuf,
    /// Who may connect
    #[arg(long, value_name = "UID:GID", value_parser = owner)]
    owner: (u32, u32),
    /// Every key may be used
    #[arg(long)]
    all: bool,
    /// A key that may be used
    #[arg(
        long,
        value_name = "FINGERPRINT",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    key: Vec<Fingerprint>,
}

fn owner(text: &str) -> std::result::Result<(u32, u32), String> {
    let parts = text.split_once(':');
    let numbers = parts.and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
    numbers.ok_or_else(|| format!("{text:?} is not UID:GID"))
}

/// Serves [`SOCKET`] in the directory that we were started in, until it is gone.
pub(super) async fn ssh_agent(output: Output, args: Args) -> Result<u8> {
    // Away from the terminal of `up`, so that its Ctrl-C is not ours; whoever leads a session already may stay.
    rustix::process::setsid().ok();
    let keys = match args.all {
        true => Keys::All,
        false => Keys::Named(args.key.into_iter().collect()),
    };
    let forwarder = Forwarder::bind(Path::new(SOCKET), args.owner, &args.agent, keys)
        .map_err(|e| Error::Failed(format!("cannot serve {SOCKET}: {e}")))?;
    output.data(READY)?;
    forwarder.serve().await;
    Ok(Exit::Ok.code())
}
