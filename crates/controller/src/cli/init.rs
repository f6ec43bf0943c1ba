//! `agentnet init`

use std::io::Write;

use super::context::Context;
use crate::agents::Agent;
use crate::config::{FILE, Preset, WHITELIST};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::workspace::Repository;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The agent that works here; its hosts are allowed
    #[arg(long, value_enum)]
    agent: Option<Agent>,
    /// The environment it works in; its hosts are allowed
    #[arg(long, value_enum)]
    preset: Option<Preset>,
}

impl Args {
    /// The settings, with the lines that were asked for in force.
    fn settings(&self) -> String {
        let mut text = CONFIG.to_owned();
        let chosen = [
            ("name", "claude", self.agent.map(Agent::as_str)),
            ("preset", "python-dev", self.preset.map(Preset::as_str)),
        ];
        for (key, example, value) in chosen {
            if let Some(value) = value {
                text = text.replace(
                    &format!("# {key} = \"{example}\""),
                    &format!("{key} = \"{value}\""),
                );
            }
        }
        text
    }

    /// The whitelist, with the presets of what was asked for. `security` works on what is there.
    fn rules(&self) -> String {
        let mut text = RULES.to_owned();
        let agent = self.agent.and_then(|agent| agent.traits().preset);
        let preset = self.preset.filter(|preset| *preset != Preset::Security);
        let preset = preset.map(|preset| format!("@{preset}"));
        for line in agent.map(str::to_owned).into_iter().chain(preset) {
            text.push_str(&format!("\n{line}\n"));
        }
        text
    }
}

const CONFIG: &str = include_str!("init/agentnet.toml");
const RULES: &str = include_str!("init/whitelist.txt");

pub(super) async fn init(context: &Context, args: &Args) -> Result<u8> {
    let repository = Repository::find(&std::env::current_dir()?, &context.state).await?;
    let root = repository.root();
    fs_err::create_dir_all(root.join(".agentnet"))?;
    for (name, text) in [(FILE, args.settings()), (WHITELIST, args.rules())] {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::policy::Layers;

    #[test]
    fn what_it_writes_is_valid_for_every_agent_and_preset() {
        let plain = Args {
            agent: None,
            preset: None,
        };
        let config = Config::parse(Path::new(FILE), &plain.settings()).unwrap();
        assert_eq!(config, Config::default());
        for agent in Agent::ALL {
            for preset in Preset::ALL {
                let args = Args {
                    agent: Some(agent),
                    preset: Some(preset),
                };
                let config = Config::parse(Path::new(FILE), &args.settings()).unwrap();
                assert_eq!(config.agent.name, Some(agent));
                assert_eq!(config.agent.preset, Some(preset));
                let layers = Layers {
                    project: args.rules(),
                    task: String::new(),
                    presets: Default::default(),
                };
                layers.check().unwrap();
            }
        }
    }
}
