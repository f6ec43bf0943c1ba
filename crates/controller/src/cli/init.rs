//! `agentnet init`

use std::io::Write;

use super::context::Context;
use crate::config::{FILE, WHITELIST};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::workspace::Repository;

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

const CONFIG: &str = include_str!("init/agentnet.toml");
const RULES: &str = include_str!("init/whitelist.txt");

pub(super) async fn init(context: &Context, _: &Args) -> Result<u8> {
    let repository = Repository::find(&std::env::current_dir()?, &context.state).await?;
    let root = repository.root();
    fs_err::create_dir_all(root.join(".agentnet"))?;
    for (name, text) in [(FILE, CONFIG), (WHITELIST, RULES)] {
        let path = root.join(name);
        // Created or left alone: never written over.
        match fs_err::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
        {
            Ok(mut file) => {
                file.write_all(text.as_bytes())?;
                context.output.say(&format!("wrote {}", path.display()));
            }
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                context.output.say(&format!(
                    "{} is there already and was left as it is",
                    path.display()
                ));
            }
            Err(e) => return Err(Error::Io(e)),
        }
    }
    context.output.say("next: agentnet up NAME");
    Ok(Exit::Ok.code())
}
