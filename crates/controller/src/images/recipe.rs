//! What has to be built before an agent can start: our environment, the project's Dockerfile, or
//! one on the other.

use std::collections::BTreeMap;

use super::{AGENT_DOCKERFILE, AGENT_INSTALL, Sources, VERSION, context, stages};
use crate::agents::Agent;
use crate::config::Preset;
use crate::error::{Error, Result};
use crate::spec::ImageRef;

/// One image to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// What it is called; its content decides.
    pub tag: ImageRef,
    /// Where it comes from, in words.
    pub from: String,
    /// The context, with a `Dockerfile` at its root.
    pub context: Vec<u8>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
}

/// What the fence is to the name of an image that was built behind it.
const FENCED: &str = "-fenced";

impl Sources<'_> {
    /// What the agent's image is built from, in order; nothing where it is only fetched.
    pub(super) async fn recipes(&self) -> Result<Vec<Recipe>> {
        let agent = &self.config.agent;
        if agent.image.is_some() {
            return Ok(Vec::new());
        }
        let own = agent.build.is_some() || agent.dockerfile.is_some();
        let mut recipes = Vec::new();
        if agent.preset.is_some() || (agent.name.is_some() && !own) {
            recipes.push(self.environment()?);
        }
        let base = recipes.last().map(|recipe| recipe.tag.clone());
        if let Some(context) = self.project_context().await? {
            recipes.push(self.project(context, base)?);
        }
        Ok(recipes)
    }

    /// Our environment with the agent in it.
    fn environment(&self) -> Result<Recipe> {
        let agent = &self.config.agent;
        let preset = agent.preset.unwrap_or(Preset::Minimal);
        let name = agent.name.unwrap_or(Agent::Shell);
        let dockerfile = stages::only(AGENT_DOCKERFILE, name.as_str(), preset.as_str())
            .ok_or_else(|| Error::Failed(format!("there is no environment {preset}")))?;
        let (uid, gid) = self.owner;
        let mut args = BTreeMap::from([
            ("PRESET".to_owned(), preset.to_string()),
            ("AGENT_UID".to_owned(), uid.to_string()),
            ("AGENT_GID".to_owned(), gid.to_string()),
            ("VERSION".to_owned(), VERSION.to_owned()),
        ]);
        if let Some(base) = &self.config.images.base {
            args.insert("BASE".to_owned(), base.to_string());
        }
        let files = [
            ("Dockerfile", 0o644, dockerfile.as_bytes()),
            ("install.sh", 0o755, AGENT_INSTALL.as_bytes()),
        ];
        let context = context::tar(&files, &[], &[])?;
        let tag = format!(
            "agentnet/agent:{VERSION}-{preset}-{name}-{}{}",
            identity(&context, &args),
            self.suffix()
        );
        Ok(Recipe {
            tag: ImageRef(tag),
            from: format!("the environment {preset} for {name}"),
            context,
            args,
        })
    }

    /// The project's Dockerfile and what lies beside it, with where it is.
    async fn project_context(&self) -> Result<Option<(String, Vec<u8>)>> {
        let agent = &self.config.agent;
        if let Some(text) = &agent.dockerfile {
            self.check("[agent] dockerfile", text)?;
            let files = [("Dockerfile", 0o644, text.as_bytes())];
            return Ok(Some((
                "[agent] dockerfile".to_owned(),
                context::tar(&files, &[], &[])?,
            )));
        }
        let Some(directory) = &agent.build else {
            return Ok(None);
        };
        let directory = self.checkout.join(directory);
        // A link would send whatever is behind it to the engine.
        let real =
            |path: &std::path::Path| fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if !real(&directory).starts_with(real(self.checkout)) {
            return Err(Error::Config(format!(
                "[agent] build: {} leaves the checkout through a link",
                directory.display()
            )));
        }
        let shown = directory.display().to_string();
        // Without one the context says so.
        if let Ok(text) = fs_err::read_to_string(directory.join("Dockerfile")) {
            self.check(&shown, &text)?;
        }
        let context = tokio::task::spawn_blocking(move || context::directory(&directory))
            .await
            .map_err(|e| Error::Failed(format!("reading {shown} ended early: {e}")))??;
        Ok(Some((shown, context)))
    }

    /// Refuses what a fenced build cannot hold.
    fn check(&self, from: &str, dockerfile: &str) -> Result<()> {
        if !self.config.agent.fenced_build {
            return Ok(());
        }
        match fetches(dockerfile) {
            None => Ok(()),
            Some(line) => Err(Error::Config(format!(
                "{from}:{line}: a fenced build has no ADD, whose addresses the engine itself fetches, \
                 outside the fence; write COPY, or fetch with RUN"
            ))),
        }
    }

    fn project(
        &self,
        (from, context): (String, Vec<u8>),
        base: Option<ImageRef>,
    ) -> Result<Recipe> {
        let mut args = BTreeMap::from([("VERSION".to_owned(), VERSION.to_owned())]);
        if let Some(base) = base {
            args.insert("BASE".to_owned(), base.to_string());
        }
        let tag = format!(
            "agentnet/agent-{}:{}{}",
            self.project,
            identity(&context, &args),
            self.suffix()
        );
        Ok(Recipe {
            tag: ImageRef(tag),
            from,
            context,
            args,
        })
    }

    fn suffix(&self) -> &'static str {
        if self.config.agent.fenced_build {
            FENCED
        } else {
            ""
        }
    }
}

/// What a build depends on, as far as we see it.
fn identity(context: &[u8], args: &BTreeMap<String, String>) -> String {
    let mut all = context.to_vec();
    for (name, value) in args {
        all.extend(format!("\0{name}={value}").bytes());
    }
    context::fingerprint(&all)
}

/// The line of the first `ADD`, whichever way it is continued.
fn fetches(dockerfile: &str) -> Option<usize> {
    let mut begun = String::new();
    for (number, line) in dockerfile.lines().enumerate() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        let line = line.trim();
        // The escape directive knows these two.
        let (text, continued) = match line.strip_suffix(['\\', '`']) {
            Some(text) => (text, true),
            None => (line, false),
        };
        begun.push_str(text);
        let adds = |text: &str| {
            let mut words = text.split_whitespace().map(str::to_ascii_lowercase);
            match words.next().as_deref() {
                Some("onbuild") => words.next().as_deref() == Some("add"),
                word => word == Some("add"),
            }
        };
        if adds(line) || (!continued && adds(&begun)) {
            return Some(number + 1);
        }
        if !continued {
            begun.clear();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_add_is_found_however_it_is_written() {
        for (text, line) in [
            ("FROM x\nADD https://a.example/b /b\n", Some(2)),
            ("FROM x\n  add a b\n", Some(2)),
            ("FROM x\nA\\\nDD a b\n", Some(3)),
            ("FROM x\nONBUILD ADD a b\n", Some(2)),
            ("FROM x\nRUN a \\\n# a comment\n  add-user\n", None),
            ("FROM x\nCOPY a b\nRUN echo ADD\n# ADD a b\n", None),
        ] {
            assert_eq!(fetches(text), line, "{text:?}");
        }
    }

    fn recipes(toml: &str) -> Result<Vec<Recipe>> {
        let config = crate::config::Config::parse(std::path::Path::new("agentnet.toml"), toml)?;
        let project = "shop".parse().unwrap();
        let sources = Sources {
            config: &config,
            project: &project,
            checkout: std::path::Path::new("/nonexistent"),
            programs: None,
            owner: (1234, 1235),
            rebuild: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(sources.recipes())
    }

    #[test]
    fn an_environment_is_named_after_what_it_is_made_of() {
        let plain = recipes("[agent]\npreset = \"python-dev\"\nname = \"claude\"\n").unwrap();
        let [one] = plain.as_slice() else {
            panic!("{plain:?}");
        };
        assert!(one.tag.0.contains("-python-dev-claude-"), "{}", one.tag);
        assert_eq!(one.args["AGENT_UID"], "1234");
        let other = recipes(
            "[agent]\npreset = \"python-dev\"\nname = \"claude\"\n[images]\nbase = \"b\"\n",
        );
        let other = other.unwrap();
        assert_ne!(one.tag, other[0].tag);
        assert_eq!(other[0].args["BASE"], "b");
        let fenced = recipes("[agent]\nname = \"codex\"\nfenced_build = true\n").unwrap();
        assert!(fenced[0].tag.0.ends_with("-fenced"), "{}", fenced[0].tag);
    }

    #[test]
    fn a_dockerfile_is_built_on_the_preset_it_names() {
        let both = recipes("[agent]\npreset = \"minimal\"\ndockerfile = \"FROM x\"\n").unwrap();
        assert_eq!(both.len(), 2);
        assert_eq!(both[1].args["BASE"], both[0].tag.0);
        let own = recipes("[agent]\nname = \"claude\"\ndockerfile = \"FROM x\"\n").unwrap();
        assert_eq!(own.len(), 1);
        assert!(
            recipes("[agent]\nimage = \"x\"\nname = \"claude\"\n")
                .unwrap()
                .is_empty()
        );
        assert!(recipes("").unwrap().is_empty());
    }

    #[test]
    fn a_fenced_build_with_an_add_is_refused_with_its_line() {
        let toml = "[agent]\nfenced_build = true\ndockerfile = \"FROM x\\nADD a b\"\n";
        let error = recipes(toml).unwrap_err().to_string();
        assert!(
            error.starts_with("[agent] dockerfile:2: a fenced build has no ADD"),
            "{error}"
        );
    }
}
