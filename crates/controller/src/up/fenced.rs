//! Building the agent's image behind the task's own fence: what its steps run reaches what the task
//! may reach, and nothing else.
//!
//! The fence is the task's, brought up for the build and taken down after it: the proxy, and the
//! network or relay that the classic builder puts its steps on. What the engine itself does for a
//! build (fetching the image it begins from) is not behind it.

use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use super::{Attempt, Setup, undo};
use crate::config::Mode;
use crate::engine::{Engine, ImageInfo};
use crate::environment::build_wiring;
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::images::{self, Recipe, Way};
use crate::labels::Role;
use crate::output::Progress;
use crate::passwords::Passwords;
use crate::paths::StateDir;
use crate::plan::{ImageSet, Plan};
use crate::record::Record;
use crate::spec::ImageRef;
use crate::teardown::{self, Changes};

/// The network of a build's steps, as the API names it: the relay's namespace, or the fence.
fn build_network(record: &Record) -> Option<String> {
    let relay = record.container(Role::Relay);
    let relay = relay.map(|name| format!("container:{name}"));
    relay.or_else(|| record.fence_network.clone())
}

/// Where it is built.
pub(super) struct Site<'a, E> {
    pub(super) engine: &'a E,
    pub(super) state: &'a StateDir,
    pub(super) setup: &'a Setup,
    pub(super) facts: &'a Facts,
    pub(super) images: &'a ImageSet,
}

impl<E: Engine> Site<'_, E> {
    /// Builds the agent's image; nothing but images is left behind.
    pub(super) async fn build(
        &self,
        recipes: Vec<Recipe>,
        taken: &mut Vec<IpNet>,
        cancel: &CancellationToken,
        progress: &Progress,
    ) -> Result<(ImageRef, ImageInfo)> {
        // An earlier build's layers may come from anywhere.
        let mut way = Way {
            fresh: true,
            ..Way::default()
        };
        match self.setup.config.network.mode.unwrap_or(Mode::Limited) {
            Mode::Full => {
                return Err(Error::Config(
                    "a fenced build needs a fence: --fenced-build goes with network limited or none".into(),
                ));
            }
            Mode::None => {
                way.network = Some("none".to_owned());
                return self.follow(recipes, &way, cancel, progress).await;
            }
            Mode::Limited => {}
        }
        progress.long("bringing the task's fence up for the build");
        let attempt = Attempt {
            engine: self.engine,
            state: self.state,
            setup: self.setup,
            facts: self.facts,
            images: self.images,
        };
        // A build has no services.
        let passwords = Passwords::default();
        let plan = |blocks| {
            let inputs = self
                .setup
                .inputs(self.state, self.facts, self.images, blocks, &passwords);
            Plan::for_build(&inputs)
        };
        let record = attempt.apply(plan, taken, cancel, progress).await?;
        way.network = build_network(&record);
        if let Some(proxy) = record.proxy {
            way.args = build_wiring(proxy);
        }
        let built = match self.follow(recipes, &way, cancel, progress).await {
            Ok(built) => built,
            Err(error) => {
                return Err(undo(self.engine, self.state, self.setup, error, &record).await);
            }
        };
        let workspace = Some(&self.setup.workspace);
        let task = &self.setup.task;
        let report = teardown::task(self.engine, self.state, task, workspace, Changes::Keep).await;
        if report.errors.is_empty() {
            Ok(built)
        } else {
            Err(Error::LeftBehind(report.errors.join("\n")))
        }
    }

    async fn follow(
        &self,
        recipes: Vec<Recipe>,
        way: &Way,
        cancel: &CancellationToken,
        progress: &Progress,
    ) -> Result<(ImageRef, ImageInfo)> {
        tokio::select! {
            () = cancel.cancelled() => Err(Error::Interrupted),
            built = images::follow(self.engine, recipes, way, progress) => built,
        }
    }
}
