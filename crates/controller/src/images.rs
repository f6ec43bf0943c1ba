//! The images a task needs, made to be on the engine: built from the static programs next to
//! `agentnet`, fetched, or built from the project's own directory.

mod context;
mod elf;
mod ignore;
mod recipe;
mod stages;
mod transcript;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use futures_util::future::try_join_all;

use crate::config::Config;
use crate::engine::{Engine, EngineError, ImageInfo};
use crate::error::{Error, Result};
use crate::output::Progress;
use crate::plan::ImageSet;
use crate::spec::{BuildSpec, ImageRef};
use crate::task::Slug;

/// Our version: the tag of released images.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const PROXY_DOCKERFILE: &str = include_str!("../../../images/proxy/Dockerfile");
const GATE_DOCKERFILE: &str = include_str!("../../../images/gate/Dockerfile");
const NOTIFY_SCRIPT: &str = include_str!("../../../images/gate/notify.sh");
const AGENT_DOCKERFILE: &str = include_str!("../../../images/agent/Dockerfile");
const AGENT_INSTALL: &str = include_str!("../../../images/agent/install.sh");

pub use recipe::Recipe;
use transcript::Transcript;

/// What is done about an image that is not on the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is built or fetched.
    Get,
    /// It is taken as if it were there: a dry run changes nothing.
    Assume,
}

/// One of our own programs and its image.
#[derive(Debug, Clone, Copy)]
struct Tool {
    /// The image's name without a tag.
    image: &'static str,
    program: &'static str,
    dockerfile: &'static str,
    /// Scripts that the Dockerfile copies.
    scripts: &'static [(&'static str, &'static str)],
    /// Empty directories that the Dockerfile copies.
    directories: &'static [&'static str],
    /// Links that the Dockerfile copies, and what they lead to.
    links: &'static [(&'static str, &'static str)],
}

const PROXY: Tool = Tool {
    image: "agentnet/proxy",
    program: "agentnet-proxy",
    dockerfile: PROXY_DOCKERFILE,
    scripts: &[],
    directories: &["run/"],
    links: &[("bin/tinyproxy", "/agentnet-proxy")],
};

const GATE: Tool = Tool {
    image: "agentnet/gate",
    program: "agentnet-gate",
    dockerfile: GATE_DOCKERFILE,
    scripts: &[("bin/notify.sh", NOTIFY_SCRIPT)],
    directories: &[],
    links: &[("bin/agentnet-notify", "agentnet-gate")],
};

/// Where images come from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// Settings.
    pub config: &'a Config,
    /// The project: part of the name of an image that is built from its directory.
    pub project: &'a Slug,
    /// The checkout that `build` is relative to.
    pub checkout: &'a Path,
    /// Where the static programs are, if not next to `agentnet`.
    pub programs: Option<PathBuf>,
    /// Who owns the task's files: the user of an environment of ours.
    pub owner: (u32, u32),
    /// Build the agent's image anew, although it is there.
    pub rebuild: bool,
}

/// The agent's image.
#[derive(Debug)]
enum AgentImage {
    There(ImageRef, ImageInfo),
    /// To be built behind a fence.
    Pending(Vec<Recipe>),
}

/// How an image is built.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// Nothing of an earlier build is taken.
    pub fresh: bool,
    /// The network of its steps, instead of the engine's own.
    pub network: Option<String>,
    /// More build arguments.
    pub args: BTreeMap<String, String>,
}

/// Builds what is missing, in order; the last is the agent's image.
pub async fn follow<E: Engine>(
    engine: &E,
    recipes: Vec<Recipe>,
    way: &Way,
    progress: &Progress,
) -> Result<(ImageRef, ImageInfo)> {
    let mut built = None;
    for recipe in recipes {
        let tag = recipe.tag.clone();
        if !way.fresh
            && let Some(info) = look(engine, &tag).await?
        {
            built = Some((tag, info));
            continue;
        }
        progress.long(&format!("building {tag} from {}", recipe.from));
        let mut args = recipe.args;
        args.extend(way.args.clone());
        let spec = BuildSpec {
            tag: tag.clone(),
            context: recipe.context,
            args,
            network: way.network.clone(),
            fresh: way.fresh,
        };
        let transcript = Mutex::new(Transcript::default());
        let hear = |piece: &str| {
            if let Ok(mut transcript) = transcript.lock() {
                for line in transcript.hear(piece) {
                    progress.detail(&line);
                }
            }
        };
        let outcome = engine.build(spec, &hear).await;
        let said = transcript.into_inner().unwrap_or_default().last();
        outcome.map_err(|e| {
            // What the failing step printed says more than its status.
            if let EngineError::Refused { message, .. } = &e
                && !said.is_empty()
            {
                return Error::Failed(format!(
                    "building {tag} from {}: {message}; its last words:\n{}",
                    recipe.from,
                    said.join("\n")
                ));
            }
            Error::engine(format!("building {tag}"))(e)
        })?;
        let info = look(engine, &tag)
            .await?
            .ok_or_else(|| Error::Failed(format!("the engine built {tag} and does not have it")))?;
        built = Some((tag, info));
    }
    built.ok_or_else(|| Error::Failed("there is nothing to build".into()))
}

impl Sources<'_> {
    /// Everything the task needs, in parallel; and what of it is to be built behind a fence first.
    pub async fn resolve<E: Engine>(
        &self,
        engine: &E,
        missing: Missing,
        progress: &Progress,
    ) -> Result<(ImageSet, Vec<Recipe>)> {
        let images = &self.config.images;
        let services = try_join_all(self.config.services.iter().map(
            |(name, service)| async move {
                let image = service
                    .image
                    .as_ref()
                    .ok_or_else(|| Error::Config(format!("[services.{name}] has no image")))?;
                let info = self.get(engine, image, missing, progress).await?;
                Ok::<_, Error>((name.clone(), info))
            },
        ));
        let (proxy, gate, tools, agent, services) = futures_util::try_join!(
            self.tool(engine, PROXY, images.proxy.as_ref(), missing, progress),
            self.tool(engine, GATE, images.gate.as_ref(), missing, progress),
            self.tools(engine, missing, progress),
            self.agent(engine, missing, progress),
            services,
        )?;
        let (agent, pending) = match agent {
            AgentImage::There(image, info) => (Some((image, info)), Vec::new()),
            AgentImage::Pending(recipes) => (None, recipes),
        };
        let images = ImageSet {
            proxy: Some(proxy),
            gate: Some(gate),
            tools: Some(tools),
            agent,
            services: services.into_iter().collect(),
        };
        Ok((images, pending))
    }

    async fn tool<E: Engine>(
        &self,
        engine: &E,
        tool: Tool,
        named: Option<&ImageRef>,
        missing: Missing,
        progress: &Progress,
    ) -> Result<ImageRef> {
        if let Some(named) = named {
            self.get(engine, named, missing, progress).await?;
            return Ok(named.clone());
        }
        let Some(path) = self.program(tool) else {
            let released = ImageRef(format!("{}:{VERSION}", tool.image));
            self.get(engine, &released, missing, progress).await?;
            return Ok(released);
        };
        let program = fs_err::read(&path)?;
        elf::check_static(&path, &program)?;
        let mut files = vec![
            ("Dockerfile", 0o644, tool.dockerfile.as_bytes()),
            (tool.program, 0o755, &program),
        ];
        let scripts = tool.scripts.iter();
        files.extend(scripts.map(|(name, text)| (*name, 0o755, text.as_bytes())));
        let context = context::tar(&files, tool.directories, tool.links)?;
        let tag = ImageRef(format!(
            "{}:{VERSION}-{}",
            tool.image,
            context::fingerprint(&context)
        ));
        if look(engine, &tag).await?.is_some() || missing == Missing::Assume {
            return Ok(tag);
        }
        progress.long(&format!("building {tag}"));
        build(engine, tag.clone(), context, progress).await?;
        Ok(tag)
    }

    /// The image that looks at trees. Had before the task is, so that `down` never wants for it.
    async fn tools<E: Engine>(
        &self,
        engine: &E,
        missing: Missing,
        progress: &Progress,
    ) -> Result<ImageRef> {
        let released = || ImageRef(format!("agentnet/tools:{VERSION}"));
        let image = self.config.images.tools.clone().unwrap_or_else(released);
        self.get(engine, &image, missing, progress).await?;
        Ok(image)
    }

    /// The program next to ours, or where the user says.
    fn program(&self, tool: Tool) -> Option<PathBuf> {
        let directory = match &self.programs {
            Some(directory) => directory.clone(),
            None => own_directory()?,
        };
        let path = directory.join(tool.program);
        path.is_file().then_some(path)
    }

    async fn agent<E: Engine>(
        &self,
        engine: &E,
        missing: Missing,
        progress: &Progress,
    ) -> Result<AgentImage> {
        let recipes = self.recipes().await?;
        let Some(last) = recipes.last() else {
            let default = || ImageRef(format!("agentnet/agent:{VERSION}"));
            let image = self.config.agent.image.clone().unwrap_or_else(default);
            let info = self.get(engine, &image, missing, progress).await?;
            return Ok(AgentImage::There(image, info));
        };
        let tag = last.tag.clone();
        if !self.rebuild
            && let Some(info) = look(engine, &tag).await?
        {
            return Ok(AgentImage::There(tag, info));
        }
        if missing == Missing::Assume {
            return Ok(AgentImage::There(tag, unknown()));
        }
        if self.config.agent.fenced_build {
            return Ok(AgentImage::Pending(recipes));
        }
        let way = Way {
            fresh: self.rebuild,
            ..Way::default()
        };
        let (tag, info) = follow(engine, recipes, &way, progress).await?;
        Ok(AgentImage::There(tag, info))
    }

    /// An image that is there or can be fetched.
    async fn get<E: Engine>(
        &self,
        engine: &E,
        image: &ImageRef,
        missing: Missing,
        progress: &Progress,
    ) -> Result<ImageInfo> {
        if let Some(info) = look(engine, image).await? {
            return Ok(info);
        }
        if missing == Missing::Assume {
            return Ok(unknown());
        }
        progress.long(&format!("fetching {image}"));
        let unavailable = |why: String| {
            Error::Failed(format!(
                "image {image} is not on the engine and cannot be fetched: {why}"
            ))
        };
        match engine.pull(image, &|text| progress.detail(text)).await {
            Ok(()) => {}
            Err(e @ (EngineError::Unreachable { .. } | EngineError::DiskFull(_))) => {
                return Err(Error::engine(format!("fetching {image}"))(e));
            }
            Err(
                EngineError::Refused { message, .. }
                | EngineError::NotFound(message)
                | EngineError::Broken(message),
            ) => return Err(unavailable(message)),
            Err(other) => return Err(unavailable(other.to_string())),
        }
        let info = look(engine, image).await?;
        info.ok_or_else(|| unavailable("the registry gave another image".into()))
    }
}

/// Where `agentnet` itself is.
#[must_use]
pub fn own_directory() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.to_owned())
}

/// What a dry run knows of an image that is not there yet.
fn unknown() -> ImageInfo {
    ImageInfo {
        command: vec!["<the image's command>".to_owned()],
        ..ImageInfo::default()
    }
}

async fn look<E: Engine>(engine: &E, image: &ImageRef) -> Result<Option<ImageInfo>> {
    engine
        .image(image)
        .await
        .map_err(Error::engine(format!("looking for image {image}")))
}

async fn build<E: Engine>(
    engine: &E,
    tag: ImageRef,
    context: Vec<u8>,
    progress: &Progress,
) -> Result<()> {
    let doing = format!("building {tag}");
    let args = BTreeMap::from([("VERSION".to_owned(), VERSION.to_owned())]);
    let spec = BuildSpec {
        tag,
        context,
        args,
        network: None,
        fresh: false,
    };
    engine
        .build(spec, &|text| progress.detail(text))
        .await
        .map_err(Error::engine(doing))
}
