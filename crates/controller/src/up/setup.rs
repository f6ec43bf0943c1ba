//! What `up` works from.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::config::Config;
use crate::credentials::Handover;
use crate::engine::ImageInfo;
use crate::environment::ssh_config;
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::images::Sources;
use crate::passwords::Passwords;
use crate::paths::{StateDir, TaskDir};
use crate::plan::{self, GATE, ISSUE, ImageSet, Inputs, Plan};
use crate::policy::Layers;
use crate::pool::{Block, Pool};
use crate::record::{Phase, Record};
use crate::snapshot::{Seed, other_image};
use crate::spec::ImageRef;
use crate::task::TaskId;
use crate::workspace::{GITFILE, Workspace};

/// Whom an agent runs as when the files are root's: the user of the agent image.
const UNPRIVILEGED: (u32, u32) = (1000, 1000);

/// What `up` needs to know, all read before anything is changed.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Which task.
    pub task: TaskId,
    /// Settings, flags folded in.
    pub config: Config,
    /// The user's checkout, or the directory given with `--workspace`.
    pub root: PathBuf,
    /// The task's files.
    pub workspace: Workspace,
    /// The whitelist.
    pub layers: Layers,
    /// What to run instead of the configured command.
    pub command: Option<Vec<String>>,
    /// Where our static programs are, if not next to `agentnet`.
    pub programs: Option<PathBuf>,
    /// Build the agent's image anew.
    pub rebuild: bool,
    /// What of the person's the task is given.
    pub handover: Handover,
    /// An issue's text, for the agent to read.
    pub issue: Option<String>,
    /// The snapshot that the task begins with.
    pub seed: Option<Seed>,
    /// An editor of the person's is to show its files.
    pub opens: bool,
    /// For one command, and not longer than who holds the task's run lock.
    pub once: bool,
}

impl Setup {
    pub(super) fn sources(&self) -> Sources<'_> {
        Sources {
            config: &self.config,
            project: &self.task.project,
            checkout: &self.root,
            programs: self.programs.clone(),
            owner: self.person(),
            rebuild: self.rebuild,
        }
    }

    /// The user that the agent runs as: who owns its files.
    pub(super) fn owner(&self, facts: &Facts) -> (u32, u32) {
        // In a rootless engine root in the container is the person who runs it.
        if facts.rootless {
            return (0, 0);
        }
        self.person()
    }

    /// The owner of the files, where the engine does not map users.
    fn person(&self) -> (u32, u32) {
        let owner = match &self.workspace {
            Workspace::Worktree {
                owner: Some(owner), ..
            } => *owner,
            Workspace::Worktree { .. } => (
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
            ),
            Workspace::Directory { path, .. } => {
                fs_err::metadata(path).map_or((0, 0), |meta| (meta.uid(), meta.gid()))
            }
        };
        // An agent is never root, whoever owns the files.
        let owner = if owner.0 == 0 { UNPRIVILEGED } else { owner };
        (owner.0, self.config.agent.group.unwrap_or(owner.1))
    }

    /// Who can read what the agent writes: the agent itself, where its user is a number.
    fn reader(&self, facts: &Facts) -> (u32, u32) {
        let owner = self.owner(facts);
        let Some(user) = &self.config.agent.user else {
            return owner;
        };
        let mut parts = user.split(':');
        let uid = parts.next().and_then(|uid| uid.parse().ok());
        let gid = parts.next().map_or(Some(owner.1), |gid| gid.parse().ok());
        uid.zip(gid).unwrap_or(owner)
    }

    /// Which container runs what.
    fn images(&self, set: &ImageSet) -> BTreeMap<String, String> {
        let ours = [
            ("proxy", &set.proxy),
            ("gate", &set.gate),
            ("tools", &set.tools),
        ];
        let ours = ours.into_iter().filter_map(|(name, image)| {
            let image = image.as_ref()?;
            Some((name.to_owned(), image.to_string()))
        });
        let named = |image: &ImageRef, info: &ImageInfo| format!("{image} ({})", info.id);
        let agent = set.agent.iter();
        let agent = agent.map(|(image, info)| ("agent".to_owned(), named(image, info)));
        let services = set.services.iter().filter_map(|(name, info)| {
            let service = self.config.services.get(name)?;
            Some((name.to_string(), named(service.image.as_ref()?, info)))
        });
        ours.chain(agent).chain(services).collect()
    }

    pub(super) fn files(&self, facts: &Facts) -> BTreeMap<String, String> {
        let policy = self.layers.files().into_iter();
        let policy = policy.map(|(name, text)| (format!("policy/{name}"), text));
        let mut files: BTreeMap<_, _> = policy.collect();
        match &self.workspace {
            Workspace::Worktree { git, .. } => files.extend(git.covers()),
            Workspace::Directory { .. } => {
                files.insert("gitfile".to_owned(), GITFILE.to_owned());
            }
        }
        files.insert("ssh.conf".to_owned(), ssh_config(GATE));
        if !facts.shares_names {
            files.extend(plan::names_for_all(&self.config));
        }
        files.extend(self.issue.clone().map(|text| (ISSUE.to_owned(), text)));
        files
    }

    pub(super) fn plan(
        &self,
        state: &StateDir,
        facts: &Facts,
        images: &ImageSet,
        blocks: [Block; 2],
        passwords: &Passwords,
    ) -> Result<Plan> {
        Plan::new(&self.inputs(state, facts, images, blocks, passwords))
    }

    pub(super) fn inputs<'a>(
        &'a self,
        state: &'a StateDir,
        facts: &'a Facts,
        images: &'a ImageSet,
        blocks: [Block; 2],
        passwords: &'a Passwords,
    ) -> Inputs<'a> {
        Inputs {
            task: &self.task,
            state: state.id(),
            config: &self.config,
            facts,
            blocks,
            images,
            workspace: &self.workspace,
            directory: state.task(&self.task).root().to_owned(),
            files: self.files(facts),
            command: self.command.clone(),
            passwords,
            owner: self.owner(facts),
            handover: &self.handover,
            reader: self.reader(facts),
            seed: self.seed.as_ref(),
            moved: self.workspace.is_moved(),
        }
    }

    /// Those of the services: what a snapshot's volumes know comes first.
    pub(super) fn passwords(&self, dir: &TaskDir) -> Result<Passwords> {
        match &self.seed {
            Some(seed) => {
                let known = seed.stored.passwords()?;
                Passwords::with(&known.or(Passwords::read(&dir.passwords())?), &self.config)
            }
            None => Passwords::of(dir, &self.config),
        }
    }

    /// A snapshot's container belongs to the image it began from, and its files to nobody's that are there.
    pub(super) fn fits(&self, images: &ImageSet, dir: &TaskDir) -> Result<()> {
        let Some(seed) = &self.seed else {
            return Ok(());
        };
        seed.stored.manifest.fits(&self.workspace)?;
        seed.stored.check()?;
        if let Some(record) = Record::read(dir)?
            && record.phase == Phase::Down
        {
            return Err(Error::InUse(format!(
                "task {0} is down, and {1} of it is kept; agentnet down {0} --discard removes that, or bring the snapshot up \
                 under another name",
                self.task,
                record.workspace.whereabouts()
            )));
        }
        match &images.agent {
            Some((_, info)) if seed.stored.manifest.needs_another(&info.id) => {
                Err(other_image(&seed.stored, &info.id))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn pick(&self, taken: &[IpNet]) -> Result<[Block; 2]> {
        let net = match self.config.network.pool {
            Some(net) => net,
            None => crate::pool::DEFAULT_POOL
                .parse()
                .map_err(|e| Error::Failed(format!("{e}")))?,
        };
        let blocks = Pool::new(net)?.pick(2, self.task.seed(), taken)?;
        <[Block; 2]>::try_from(blocks).map_err(|_| Error::Failed("the pool gave too few".into()))
    }

    pub(super) fn record(
        &self,
        plan: &Plan,
        facts: &Facts,
        images: &ImageSet,
        since: Timestamp,
    ) -> Record {
        Record {
            v: 1,
            task: self.task.clone(),
            phase: Phase::Partial,
            since,
            engine: facts.endpoint.clone(),
            mode: plan.mode,
            fence: plan.fence,
            fence_network: plan.fence_network.clone(),
            proxy: plan.proxy,
            places: plan.places.clone(),
            workspace: self.workspace.clone(),
            agent: self.config.agent.name,
            secrets: self.handover.secrets.keys().cloned().collect(),
            ssh_agent: self.handover.ssh_agent.is_some(),
            login: self.handover.login.as_ref().map(|(_, path)| path.clone()),
            expectation: plan.expectation.arguments(),
            tools: images.tools.clone(),
            owner: Some(self.reader(facts)),
            kept_volumes: Vec::new(),
            images: self.images(images),
            agent_image: images.agent.as_ref().map(|(_, info)| info.id.clone()),
            outputs: self.config.results.outputs.clone(),
            disk: Some(plan::disk(&self.config)),
            notify: self.config.notify.enabled,
        }
    }
}
