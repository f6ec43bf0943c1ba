//! What a test sets on the fake engine, and asks of it afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::world::{Container, Runner};
use super::{FakeEngine, Fault};
use crate::engine::{Change, ImageInfo, Kind, Output, Running, Usage};
use crate::spec::{ContainerNetwork, ContainerSpec, NetworkSpec};

impl FakeEngine {
    /// At the n-th changing call (from 0) this happens.
    pub fn fault_at(&self, call: usize, fault: Fault) {
        self.world().fault = Some((call, fault));
    }

    /// No more faults.
    pub fn heal(&self) {
        self.world().fault = None;
    }

    /// How many changing calls there were.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.world().calls
    }

    /// The changing calls, one phrase each.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.world().log.clone()
    }

    /// An image that is there.
    pub fn add_image(&self, name: &str, info: ImageInfo) {
        self.world().images.insert(name.to_owned(), info);
    }

    /// What a captured command answers, by its program's path.
    pub fn answer(&self, program: &str, output: Output) {
        self.world().answers.insert(program.to_owned(), output);
    }

    /// What an `attached` container does: from its spec and its input, what it says.
    pub fn on_run(&self, runner: impl Fn(&ContainerSpec, &[u8]) -> Output + Send + Sync + 'static) {
        self.world().runner = Some(Runner(Arc::new(runner)));
    }

    /// What the container of this name has printed.
    pub fn prints(&self, container: &str, text: &str) {
        let printed = (container.to_owned(), text.to_owned());
        self.world().printed.extend([printed]);
    }

    /// How much every container has written into its layer.
    pub fn write(&self, bytes: u64) {
        self.world().written = bytes;
    }

    /// A container ends as the kernel ends one that has no memory left.
    pub fn run_out_of_memory(&self, name: &str) {
        let mut world = self.world();
        if let Some(found) = world.containers.values_mut().find(|c| c.spec.name == name) {
            found.running = Running::Exited(137);
            found.oom_killed = true;
        }
    }

    /// What a container uses.
    pub fn set_usage(&self, container: &str, usage: Usage) {
        self.world().usage.insert(container.to_owned(), usage);
    }

    /// A container of this name that runs, without a plan.
    pub fn add_running(&self, name: &str) {
        let mut world = self.world();
        let id = world.id();
        let container = Container {
            id: id.clone(),
            spec: ContainerSpec {
                network: ContainerNetwork::Attached(Vec::new()),
                ..ContainerSpec::bare(name)
            },
            running: Running::Running,
            oom_killed: false,
        };
        world.containers.insert(id, container);
    }

    /// A network of somebody else's.
    pub fn add_network(&self, spec: NetworkSpec) {
        self.world()
            .networks
            .insert(format!("foreign-{}", spec.name), spec);
    }

    /// Everything that exists: kind and name, in order.
    #[must_use]
    pub fn everything(&self) -> Vec<(Kind, String)> {
        let world = self.world();
        let containers = world
            .containers
            .values()
            .map(|c| (Kind::Container, c.spec.name.clone()));
        let networks = world
            .networks
            .values()
            .map(|n| (Kind::Network, n.name.clone()));
        let volumes = world.volumes.keys().map(|v| (Kind::Volume, v.clone()));
        let images = world.layers.keys().map(|id| (Kind::Image, id.clone()));
        let all = containers.chain(networks).chain(volumes);
        all.chain(images).collect()
    }

    /// What runs once and nobody waits for ends.
    pub fn end_attached(&self) {
        let mut world = self.world();
        for container in world.containers.values_mut() {
            if container.spec.attached && container.running == Running::Running {
                container.running = Running::Exited(137);
            }
        }
    }

    /// What every container changed in its layer, and the archive that the engine gives of any path.
    pub fn set_layer(&self, changes: Vec<(String, Change)>, archive: Vec<u8>) {
        let mut world = self.world();
        world.changes = changes;
        world.archive = archive;
    }

    /// The states of all containers, by name.
    #[must_use]
    pub fn states(&self) -> BTreeMap<String, Running> {
        let world = self.world();
        let all = world.containers.values();
        all.map(|c| (c.spec.name.clone(), c.running.clone()))
            .collect()
    }

    /// The image that a container was created from.
    #[must_use]
    pub fn image_of(&self, name: &str) -> Option<String> {
        let world = self.world();
        let found = world.by_name_or_id(name).ok()?;
        Some(found.spec.image.clone())
    }
}
