//! What changes where the engine maps users (`userns-remap`): the task's files are in volumes, and what needs a
//! directory of the host that both sides write is refused.

use super::Setup;
use crate::engine::{Engine, Kind};
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::labels::{Owner, Role};
use crate::paths::{StateDir, TaskDir};
use crate::record::{Phase, Record};
use crate::spec::VolumeSpec;
use crate::workspace::Workspace;

impl Setup {
    /// As this engine can have it; says what that means to the person. Nothing is changed.
    pub(super) async fn fitted<E: Engine>(
        &self,
        engine: &E,
        state: &StateDir,
        facts: &Facts,
    ) -> Result<Setup> {
        let dir = state.task(&self.task);
        let mut setup = self.clone();
        if facts.remaps_users {
            setup.refuse_shared(facts)?;
            let volume = |role| VolumeSpec {
                name: self.task.resource(role),
                labels: Owner {
                    state: state.id().to_owned(),
                    task: self.task.clone(),
                    role,
                }
                .labels(),
            };
            setup.workspace = setup
                .workspace
                .in_volumes(volume(Role::Files), volume(Role::Git));
            // A spool is a directory that the agent writes and the person's programs read.
            if !rustix::process::geteuid().is_root() {
                setup.config.notify.enabled = false;
            }
        }
        setup.finds_what_is_kept(engine, state, &dir).await?;
        Ok(setup)
    }

    /// What cannot be there, in a sentence.
    fn refuse_shared(&self, facts: &Facts) -> Result<()> {
        let what = if facts.root_outside.is_none() {
            "and does not tell whom: its root directory is not called after a user"
        } else if matches!(self.workspace, Workspace::Directory { .. }) {
            "so --workspace would give it a directory in which it can write nothing: use a worktree or --clone, which \
             lie in a volume there"
        } else if self.handover.login.is_some() {
            "so it cannot share an agent's login with other engines' tasks: give it a key instead (--with env:NAME)"
        } else if self.opens {
            "so there is no directory that an editor could open: leave --open out"
        } else if self.handover.ssh_agent.is_some() {
            "so your SSH agent cannot be lent to it: use --with gh, or leave ssh-agent out"
        } else {
            return Ok(());
        };
        Err(Error::Unfit(format!(
            "the engine at {} maps users (userns-remap), {what}",
            facts.endpoint
        )))
    }

    /// Kept files can be taken up only where they are.
    async fn finds_what_is_kept<E: Engine>(
        &self,
        engine: &E,
        state: &StateDir,
        dir: &TaskDir,
    ) -> Result<()> {
        let kept = Record::read(dir)?
            .filter(|record| record.phase == Phase::Down && record.workspace.files().exists());
        let Some(kept) = kept else {
            return Ok(());
        };
        let (then, now) = (kept.workspace.volume_names(), self.workspace.volume_names());
        let stay = format!("agentnet down {} --discard removes them", self.task);
        if then != now || (!then.is_empty() && kept.engine != engine.endpoint()) {
            return Err(Error::InUse(format!(
                "the files of task {} are kept in {} for the engine at {}: bring it up there, or {stay}",
                self.task,
                kept.workspace.whereabouts(),
                kept.engine
            )));
        }
        if then.is_empty() {
            return Ok(());
        }
        let there = engine.owned(state.id()).await;
        let there = there.map_err(Error::engine("listing what is ours"))?;
        let has = |name: &String| {
            there
                .iter()
                .any(|r| r.kind == Kind::Volume && r.name == *name)
        };
        match then.iter().find(|name| !has(name)) {
            None => Ok(()),
            Some(name) => Err(Error::Failed(format!(
                "volume {name} with the kept files of task {} is gone from the engine; agentnet down {} --discard \
                 forgets them",
                self.task, self.task
            ))),
        }
    }
}
