//! What `up` is going to do, as data: pure, printable, each step with what it waits for and its
//! inverse. `apply` only follows it.

mod agent;
mod containers;
mod door;
mod fence;
mod gate;
mod handover;
mod limits;
mod place;
mod relay;
mod seed;
mod services;
mod spool;
mod step;
mod volumes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

pub use fence::choose_fence;
pub use gate::GATE;
pub use limits::tool_limits;
pub use place::{Filter, Place};
pub use relay::names_for_all;
pub use step::{Inverse, Planned, Step};

use crate::config::{Config, Fence, Mode};
use crate::credentials::Handover;
use crate::engine::ImageInfo;
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::labels::Role;
use crate::passwords::Passwords;
use crate::pool::{Block, Block6};
use crate::snapshot::Seed;
use crate::spec::ImageRef;
use crate::task::{Slug, TaskId};
use crate::workspace::Workspace;

/// The proxy's port inside every fence.
pub const PROXY_PORT: u16 = 8888;
/// The port of the proxy's admin listener, on its egress network only: what its image sets.
pub const ADMIN_PORT: u16 = 9100;
/// Where the doors of the `socket` fence are: the task owns 127.0.0.1.
pub const RELAY_ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 128, 0, 1);

/// An issue's text in the task's directory.
pub const ISSUE: &str = "issue.md";
/// How long a proxy may take to answer, in seconds.
const PROXY_SECONDS: u32 = 60;
/// The passwords' file in the task's directory.
const PASSWORDS: &str = "passwords.json";

/// What a task may write to the disk, in bytes.
#[must_use]
pub fn disk(config: &Config) -> u64 {
    config
        .agent
        .disk
        .map_or(limits::AGENT_DISK, |bytes| bytes.0)
}

/// Everything a plan depends on.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// This installation.
    pub state: &'a str,
    /// Settings, flags already folded in.
    pub config: &'a Config,
    /// The engine.
    pub facts: &'a Facts,
    /// Free blocks: the fence's and the egress network's.
    pub blocks: [Block; 2],
    /// Our images and the task's, all on the engine.
    pub images: &'a ImageSet,
    /// The task's files.
    pub workspace: &'a Workspace,
    /// The task's directory in our state: holds `policy/`, `gitfile` and `ssh.conf`.
    pub directory: PathBuf,
    /// Files to write into `directory` first.
    pub files: BTreeMap<String, String>,
    /// What to run instead of the configured command.
    pub command: Option<Vec<String>>,
    /// Made for its services.
    pub passwords: &'a Passwords,
    /// Who owns the task's files: `uid:gid`.
    pub owner: (u32, u32),
    /// What of the person's it is given.
    pub handover: &'a Handover,
    /// Who reads that: the agent's user, where it is a number, as its container has it.
    pub reader: (u32, u32),
    /// The snapshot that it begins with.
    pub seed: Option<&'a Seed>,
    /// Its files are in volumes already, of an earlier task of the name.
    pub moved: bool,
}

/// Resolved images.
#[derive(Debug, Clone, Default)]
pub struct ImageSet {
    /// The proxy's.
    pub proxy: Option<ImageRef>,
    /// The gate's.
    pub gate: Option<ImageRef>,
    /// The one that looks at trees: git and a shell.
    pub tools: Option<ImageRef>,
    /// The agent's, and what it says about itself.
    pub agent: Option<(ImageRef, ImageInfo)>,
    /// The services'.
    pub services: BTreeMap<Slug, ImageInfo>,
}

/// The whole plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The task.
    pub task: TaskId,
    /// How much network.
    pub mode: Mode,
    /// Which fence; `None` where the mode needs none.
    pub fence: Option<Fence>,
    /// The steps; every step's `after` points backwards.
    pub steps: Vec<Planned>,
    /// Who is where.
    pub places: Vec<Place>,
    /// The sealed network, if there is one.
    pub fence_network: Option<String>,
    /// Where the proxy answers, as the task sees it.
    pub proxy: Option<SocketAddr>,
    /// The address blocks that are used.
    pub blocks: Vec<Block>,
    /// The promise that the gate holds the container to.
    #[serde(skip)]
    pub expectation: agentnet_gate::Expectation,
}

/// Collects steps and gives out their places.
#[derive(Debug, Default)]
struct Draft {
    steps: Vec<Planned>,
    places: Vec<Place>,
}

impl Draft {
    fn add(&mut self, step: Step, after: &[usize]) -> usize {
        self.steps.push(Planned {
            step,
            after: after.to_vec(),
        });
        self.steps.len() - 1
    }
}

impl Plan {
    /// Makes the plan.
    pub fn new(inputs: &Inputs<'_>) -> Result<Plan> {
        let mode = inputs.config.network.mode.unwrap_or(Mode::Limited);
        let fence = match mode {
            Mode::Limited => Some(choose_fence(inputs.config.network.fence, inputs.facts)?),
            Mode::None | Mode::Full => None,
        };
        services::check(inputs, mode, fence)?;
        limits::check(inputs)?;
        let layout = fence::Layout::new(inputs, mode, fence);
        let mut draft = Draft::default();

        let files = draft.add(
            Step::Files {
                directory: inputs.directory.clone(),
                files: inputs.files.clone(),
            },
            &[],
        );
        let volumes = volumes::make(inputs, &mut draft);
        let workspace = draft.add(Step::Workspace(inputs.workspace.clone()), &volumes);
        let workspace = volumes::fill(inputs, workspace, &mut draft)?;
        let workspace = seed::workspace(inputs, [files, workspace], &mut draft)?;
        let mut stored = Vec::new();
        if !inputs.passwords.is_empty() {
            let step = Step::Passwords {
                file: inputs.directory.join(PASSWORDS),
                passwords: inputs.passwords.clone(),
            };
            // Before anything else: a database that came up with a password that nobody has is lost.
            stored.push(draft.add(step, &[]));
        }
        let gate = gate::gate(inputs, &mut draft)?;
        let networks = fence::networks(inputs, &layout, &mut draft);
        let door = door::door(inputs, &layout, &networks, files, &mut draft)?;
        let ready =
            services::services(inputs, &layout, &networks, &door, gate, &stored, &mut draft)?;
        let there = [files, workspace];
        agent::agent(
            inputs, &layout, &networks, &door, gate, there, &ready, &mut draft,
        )?;

        let fence_network = layout.fence_name.clone();
        let mut blocks = Vec::new();
        if layout.has_fence_network() {
            blocks.push(layout.block);
        }
        if layout.egress_name.is_some() {
            blocks.push(layout.egress_block);
        }
        Ok(Plan {
            task: inputs.task.clone(),
            mode,
            fence,
            steps: draft.steps,
            places: draft.places,
            fence_network,
            proxy: layout.proxy,
            blocks,
            expectation: layout.expectation,
        })
    }

    /// The fence and its proxy alone, for what runs while the agent's image is built. The same names
    /// and labels as the task's: whatever interrupts a build, `gc` finds it.
    pub fn for_build(inputs: &Inputs<'_>) -> Result<Plan> {
        let mode = inputs.config.network.mode.unwrap_or(Mode::Limited);
        let fence = choose_fence(inputs.config.network.fence, inputs.facts)?;
        let layout = fence::Layout::new(inputs, mode, Some(fence));
        let mut draft = Draft::default();
        let files = draft.add(
            Step::Files {
                directory: inputs.directory.clone(),
                files: inputs.files.clone(),
            },
            &[],
        );
        let networks = fence::networks(inputs, &layout, &mut draft);
        door::door(inputs, &layout, &networks, files, &mut draft)?;
        // A build has no gate that would wait.
        let last = draft.steps.len();
        for place in &draft.places {
            let step = Step::AwaitHealthy {
                container: place.container.clone(),
                seconds: PROXY_SECONDS,
            };
            draft.steps.push(Planned {
                step,
                after: (0..last).collect(),
            });
        }
        Ok(Plan {
            task: inputs.task.clone(),
            mode,
            fence: Some(fence),
            steps: draft.steps,
            places: draft.places,
            fence_network: layout.fence_name.clone(),
            proxy: layout.proxy,
            blocks: vec![layout.block, layout.egress_block],
            expectation: layout.expectation,
        })
    }

    /// The container of a role, if the plan has one.
    #[must_use]
    pub fn container(&self, role: Role) -> Option<&Place> {
        self.places.iter().find(|place| place.role == role)
    }

    /// The plan for people: one line a step.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut out = String::new();
        for (number, planned) in self.steps.iter().enumerate() {
            let after = if planned.after.is_empty() {
                String::new()
            } else {
                let list: Vec<_> = planned.after.iter().map(|n| (n + 1).to_string()).collect();
                format!("  (after {})", list.join(", "))
            };
            let undo = match planned.step.inverse() {
                Inverse::Nothing => "",
                Inverse::Remove { .. }
                | Inverse::Workspace
                | Inverse::Spool
                | Inverse::Files { .. } => "  [undone]",
            };
            out.push_str(&format!(
                "{:>3}  {}{after}{undo}\n",
                number + 1,
                planned.step.doing()
            ));
        }
        for sentence in self.places.iter().flat_map(Place::widened) {
            out.push_str(&format!("  !  {sentence}\n"));
        }
        out
    }
}

/// The fence's v6 block of a plan.
fn block6(inputs: &Inputs<'_>) -> Block6 {
    Block6::of(inputs.blocks[0], inputs.state)
}

fn missing(what: &str) -> Error {
    Error::Failed(format!(
        "the plan needs the {what} image, which was not resolved"
    ))
}
