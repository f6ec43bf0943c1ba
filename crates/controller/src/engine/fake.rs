//! An engine in memory, for tests: it keeps what a real one keeps, refuses what a real one refuses,
//! and can fail, be interrupted or never answer at a chosen call.

mod machines;
mod stage;
mod world;

use std::sync::Mutex;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use self::world::{Container, Runner, World};

use super::{
    Change, ContainerState, Endpoint, Engine, EngineError, EngineResult, HealthState, ImageInfo,
    Kind, LogQuery, NetworkState, Output, Resource, Running, Streams, Usage,
};
use crate::facts::Facts;
use crate::labels::{Labels, STATE};
use crate::spec::{
    Attachment, BuildSpec, ContainerNetwork, ContainerSpec, ExecSpec, ImageRef, Mount, NetworkSpec,
    VolumeSpec,
};

/// What happens at a chosen changing call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The call fails and nothing was done.
    Refuse(EngineError),
    /// The call fails although it was done: an answer that got lost.
    LoseAnswer,
    /// This token is cancelled while the call is under way, and the call succeeds.
    Interrupt(tokio_util::sync::CancellationToken),
    /// The call was done and its answer never comes: the caller is killed meanwhile.
    Hang,
}

/// The engine.
#[derive(Debug)]
pub struct FakeEngine {
    facts: Facts,
    world: Mutex<World>,
}

impl FakeEngine {
    /// An empty engine.
    #[must_use]
    pub fn new(facts: Facts) -> FakeEngine {
        FakeEngine {
            facts,
            world: Mutex::default(),
        }
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A changing call: counts, and meets its fault. `act` is what it does.
    async fn change<T>(
        &self,
        what: String,
        act: impl FnOnce(&mut World) -> EngineResult<T> + Send,
    ) -> EngineResult<T> {
        // As over a socket: other calls get their turn.
        tokio::task::yield_now().await;
        let (fault, outcome) = {
            let mut world = self.world();
            let number = world.calls;
            world.calls += 1;
            world.log.push(what);
            let fault = match &world.fault {
                Some((at, fault)) if *at == number => Some(fault.clone()),
                _ => None,
            };
            if let Some(Fault::Refuse(error)) = fault {
                return Err(error);
            }
            (fault, act(&mut world))
        };
        match fault {
            None | Some(Fault::Refuse(_)) => outcome,
            Some(Fault::LoseAnswer) => {
                outcome?;
                Err(EngineError::Broken("the answer was lost".into()))
            }
            Some(Fault::Interrupt(token)) => {
                token.cancel();
                outcome
            }
            Some(Fault::Hang) => std::future::pending().await,
        }
    }
}

impl Engine for FakeEngine {
    fn endpoint(&self) -> &str {
        &self.facts.endpoint
    }

    async fn facts(&self) -> EngineResult<Facts> {
        Ok(self.facts.clone())
    }

    async fn networks(&self) -> EngineResult<Vec<NetworkState>> {
        let one = |(id, spec): (&String, &NetworkSpec)| NetworkState {
            id: id.clone(),
            name: spec.name.clone(),
            blocks: spec.subnets.iter().map(|s| s.block).collect(),
            gateways: Vec::new(),
            endpoints: Vec::new(),
        };
        Ok(self.world().networks.iter().map(one).collect())
    }

    async fn owned(&self, state: &str) -> EngineResult<Vec<Resource>> {
        let world = self.world();
        let made = |kind, id: &String, name: &String, labels: &Labels| Resource {
            kind,
            id: id.clone(),
            name: name.clone(),
            labels: labels.clone(),
        };
        let containers = world
            .containers
            .values()
            .map(|c| made(Kind::Container, &c.id, &c.spec.name, &c.spec.labels));
        let networks = world
            .networks
            .iter()
            .map(|(id, n)| made(Kind::Network, id, &n.name, &n.labels));
        let volumes = world
            .volumes
            .iter()
            .map(|(name, l)| made(Kind::Volume, name, name, l));
        let images = world
            .layers
            .iter()
            .map(|(id, l)| made(Kind::Image, id, id, l));
        let all = containers.chain(networks).chain(volumes).chain(images);
        Ok(all
            .filter(|r| r.labels.get(STATE).is_some_and(|s| s == state))
            .collect())
    }

    async fn create_network(&self, spec: &NetworkSpec) -> EngineResult<String> {
        self.change(format!("create network {}", spec.name), |world| {
            for other in world.networks.values() {
                let overlap = other.subnets.iter().any(|o| {
                    spec.subnets
                        .iter()
                        .any(|s| s.block.contains(&o.block) || o.block.contains(&s.block))
                });
                if overlap {
                    return Err(EngineError::Overlap(format!("with {}", other.name)));
                }
            }
            let id = world.id();
            world.networks.insert(id.clone(), spec.clone());
            Ok(id)
        })
        .await
    }

    async fn create_volume(&self, spec: &VolumeSpec) -> EngineResult<()> {
        self.change(format!("create volume {}", spec.name), |world| {
            world.volumes.insert(spec.name.clone(), spec.labels.clone());
            Ok(())
        })
        .await
    }

    async fn create_container(&self, spec: &ContainerSpec) -> EngineResult<String> {
        self.change(format!("create container {}", spec.name), |world| {
            if world.containers.values().any(|c| c.spec.name == spec.name) {
                return Err(EngineError::NameInUse(spec.name.clone()));
            }
            let there = world.images.contains_key(&spec.image)
                || world.layers.contains_key(&spec.image)
                || world.images.values().any(|info| info.id == spec.image);
            if !there {
                return Err(EngineError::NotFound(format!("image {}", spec.image)));
            }
            for attachment in World::attached(spec) {
                if !world.networks.contains_key(&attachment.network) {
                    return Err(EngineError::NotFound(format!(
                        "network {}",
                        attachment.network
                    )));
                }
            }
            if let ContainerNetwork::Joined(id) = &spec.network
                && !world.containers.contains_key(id)
            {
                return Err(EngineError::NotFound(format!("container {id}")));
            }
            for mount in &spec.mounts {
                match mount {
                    // As the real one does: a volume that is not there is made.
                    Mount::Volume { volume, .. } => {
                        let volumes = &mut world.volumes;
                        let there = volumes.entry(volume.name.clone());
                        there.or_insert_with(|| volume.labels.clone());
                    }
                    Mount::Bind { source, .. } if !source.exists() => {
                        return Err(EngineError::Refused {
                            status: 400,
                            message: format!(
                                "bind source path does not exist: {}",
                                source.display()
                            ),
                        });
                    }
                    Mount::Bind { .. } | Mount::Memory { .. } | Mount::Frame { .. } => {}
                }
            }
            let id = world.id();
            let container = Container {
                id: id.clone(),
                spec: spec.clone(),
                running: Running::Created,
                oom_killed: false,
            };
            world.containers.insert(id.clone(), container);
            Ok(id)
        })
        .await
    }

    async fn connect(&self, container: &str, attachment: &Attachment) -> EngineResult<()> {
        self.change(format!("connect {container}"), |world| {
            let id = world.by_name_or_id(container)?.id.clone();
            if let Some(found) = world.containers.get_mut(&id)
                && let ContainerNetwork::Attached(all) = &mut found.spec.network
            {
                all.push(attachment.clone());
            }
            Ok(())
        })
        .await
    }

    async fn start(&self, container: &str) -> EngineResult<()> {
        self.change(format!("start {container}"), |world| {
            let id = world.by_name_or_id(container)?.id.clone();
            if let Some(found) = world.containers.get_mut(&id) {
                found.running = Running::Running;
            }
            Ok(())
        })
        .await
    }

    async fn kill(&self, container: &str) -> EngineResult<()> {
        self.change(format!("kill {container}"), |world| {
            let id = world.by_name_or_id(container)?.id.clone();
            if let Some(found) = world.containers.get_mut(&id) {
                found.running = Running::Exited(137);
            }
            Ok(())
        })
        .await
    }

    async fn remove(&self, kind: Kind, id: &str) -> EngineResult<()> {
        self.change(format!("remove {kind} {id}"), |world| {
            world.remove(kind, id)
        })
        .await
    }

    async fn inspect_container(&self, name: &str) -> EngineResult<ContainerState> {
        let world = self.world();
        let found = world.by_name_or_id(name)?;
        let networks = World::attached(&found.spec).into_iter().map(|a| {
            world
                .networks
                .get(&a.network)
                .map_or(a.network, |n| n.name.clone())
        });
        Ok(ContainerState {
            id: found.id.clone(),
            name: found.spec.name.clone(),
            running: found.running.clone(),
            health: match (&found.spec.health, &found.running) {
                (Some(health), Running::Running) if health.test != ["NONE"] => HealthState::Healthy,
                _ => HealthState::None,
            },
            error: String::new(),
            networks: networks.collect(),
            seats: Default::default(),
            labels: found.spec.labels.clone(),
            privileges: Vec::new(),
            filter: found.spec.system_calls.text().map(crate::spec::digest),
            gpus: found.spec.gpus.is_some(),
            oom_killed: found.oom_killed,
            image: found.spec.image.clone(),
            mounts: found
                .spec
                .mounts
                .iter()
                .map(|mount| match mount {
                    Mount::Bind { target, .. }
                    | Mount::Volume { target, .. }
                    | Mount::Memory { target, .. }
                    | Mount::Frame { target } => target.clone(),
                })
                .collect(),
        })
    }

    async fn written(&self, name: &str) -> EngineResult<u64> {
        let world = self.world();
        world.by_name_or_id(name)?;
        Ok(world.written)
    }

    async fn stats(&self, name: &str) -> EngineResult<Usage> {
        let world = self.world();
        world.by_name_or_id(name)?;
        Ok(world.usage.get(name).copied().unwrap_or_default())
    }

    async fn inspect_network(&self, name: &str) -> EngineResult<NetworkState> {
        let world = self.world();
        let id = world
            .network_id(name)
            .ok_or_else(|| EngineError::NotFound(format!("network {name}")))?;
        let spec = world.networks.get(&id);
        // As an engine does for whoever asks for no address: the second of the block.
        let picked = spec.and_then(|s| match s.subnets.first()?.block {
            ipnet::IpNet::V4(block) => block.hosts().nth(1),
            ipnet::IpNet::V6(_) => None,
        });
        let mut endpoints = Vec::new();
        for container in world.containers.values() {
            for attachment in World::attached(&container.spec) {
                if attachment.network == id && container.running == Running::Running {
                    endpoints.push(Endpoint {
                        container: container.id.clone(),
                        name: container.spec.name.clone(),
                        v4: attachment.v4.or(picked),
                        v6: attachment.v6,
                    });
                }
            }
        }
        Ok(NetworkState {
            name: spec.map(|s| s.name.clone()).unwrap_or_default(),
            blocks: spec
                .map(|s| s.subnets.iter().map(|s| s.block).collect())
                .unwrap_or_default(),
            gateways: Vec::new(),
            endpoints,
            id,
        })
    }

    async fn image(&self, image: &ImageRef) -> EngineResult<Option<ImageInfo>> {
        Ok(self.world().images.get(&image.0).cloned())
    }

    async fn pull(
        &self,
        image: &ImageRef,
        _progress: &(dyn Fn(&str) + Send + Sync),
    ) -> EngineResult<()> {
        Err(EngineError::NotFound(format!("no registry has {image}")))
    }

    async fn build(
        &self,
        spec: BuildSpec,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> EngineResult<()> {
        let network = spec.network.clone().unwrap_or_else(|| "default".to_owned());
        progress("built\n");
        self.change(format!("build {} on {network}", spec.tag), |world| {
            match network.strip_prefix("container:") {
                Some(container) => world.by_name_or_id(container).map(drop)?,
                None if ["default", "none"].contains(&network.as_str()) => {}
                None if world.networks.values().any(|n| n.name == network) => {}
                None => return Err(EngineError::NotFound(network)),
            }
            let info = ImageInfo {
                command: vec!["bash".to_owned()],
                ..ImageInfo::default()
            };
            world.images.insert(spec.tag.0, info);
            Ok(())
        })
        .await
    }

    async fn exec(&self, container: &str, spec: &ExecSpec) -> EngineResult<Output> {
        let world = self.world();
        world.by_name_or_id(container)?;
        let program = spec.command.first().map(String::as_str).unwrap_or_default();
        world
            .answers
            .get(program)
            .cloned()
            .ok_or_else(|| EngineError::CommandNotFound(program.to_owned()))
    }

    async fn exec_attached(
        &self,
        container: &str,
        spec: &ExecSpec,
        _streams: Streams,
    ) -> EngineResult<i64> {
        self.exec(container, spec).await.map(|output| output.code)
    }

    async fn run(&self, container: &str, streams: Streams) -> EngineResult<i64> {
        self.start(container).await?;
        let (spec, runner) = {
            let world = self.world();
            let spec = world.by_name_or_id(container)?.spec.clone();
            (spec, world.runner.clone())
        };
        let Some(Runner(runner)) = runner else {
            return Err(EngineError::CommandNotFound(spec.command.join(" ")));
        };
        let broken = |e: std::io::Error| EngineError::Broken(e.to_string());
        let mut input = Vec::new();
        if let Some(mut stdin) = streams.stdin {
            stdin.read_to_end(&mut input).await.map_err(broken)?;
        }
        let output = runner(&spec, &input);
        let (mut stdout, mut stderr) = (streams.stdout, streams.stderr);
        stdout.write_all(&output.stdout).await.map_err(broken)?;
        stderr.write_all(&output.stderr).await.map_err(broken)?;
        stdout.flush().await.map_err(broken)?;
        let id = self.world().by_name_or_id(container)?.id.clone();
        if let Some(found) = self.world().containers.get_mut(&id) {
            found.running = Running::Exited(output.code);
        }
        Ok(output.code)
    }

    async fn changes(&self, container: &str) -> EngineResult<Vec<(String, Change)>> {
        let world = self.world();
        world.by_name_or_id(container)?;
        Ok(world.changes.clone())
    }

    async fn read_archive(
        &self,
        container: &str,
        _path: &str,
        mut to: Box<dyn AsyncWrite + Send + Unpin>,
    ) -> EngineResult<()> {
        let archive = {
            let world = self.world();
            world.by_name_or_id(container)?;
            world.archive.clone()
        };
        let broken = |e: std::io::Error| EngineError::Broken(e.to_string());
        to.write_all(&archive).await.map_err(broken)?;
        to.flush().await.map_err(broken)
    }

    async fn write_archive(
        &self,
        container: &str,
        directory: &str,
        mut from: Box<dyn AsyncRead + Send + Unpin>,
    ) -> EngineResult<()> {
        let mut bytes = Vec::new();
        let read = from.read_to_end(&mut bytes).await;
        read.map_err(|e| EngineError::Broken(e.to_string()))?;
        self.change(format!("unpack into {directory}"), |world| {
            world.by_name_or_id(container).map(drop)
        })
        .await
    }

    async fn commit(&self, container: &str, labels: &Labels) -> EngineResult<String> {
        self.change(format!("commit {container}"), |world| {
            world.by_name_or_id(container)?;
            let id = format!("sha256:{}", world.id());
            world.layers.insert(id.clone(), labels.clone());
            Ok(id)
        })
        .await
    }

    async fn pause(&self, container: &str) -> EngineResult<()> {
        self.change(format!("pause {container}"), |world| {
            world.turn(container, Running::Other("paused".to_owned()))
        })
        .await
    }

    async fn unpause(&self, container: &str) -> EngineResult<()> {
        self.change(format!("unpause {container}"), |world| {
            world.turn(container, Running::Running)
        })
        .await
    }

    async fn stop(&self, container: &str) -> EngineResult<()> {
        self.change(format!("stop {container}"), |world| {
            world.turn(container, Running::Exited(137))
        })
        .await
    }

    async fn recreate(&self, like: &str, name: &str, image: &str) -> EngineResult<String> {
        let mut spec = self.world().by_name_or_id(like)?.spec.clone();
        spec.name = name.to_owned();
        spec.image = image.to_owned();
        self.create_container(&spec).await
    }

    async fn rename(&self, container: &str, name: &str) -> EngineResult<()> {
        self.change(format!("rename {container} to {name}"), |world| {
            if world.containers.values().any(|c| c.spec.name == name) {
                return Err(EngineError::NameInUse(name.to_owned()));
            }
            let id = world.by_name_or_id(container)?.id.clone();
            if let Some(found) = world.containers.get_mut(&id) {
                found.spec.name = name.to_owned();
            }
            Ok(())
        })
        .await
    }

    async fn logs(&self, container: &str, query: LogQuery, streams: Streams) -> EngineResult<()> {
        let said = {
            let world = self.world();
            let name = &world.by_name_or_id(container)?.spec.name;
            world.printed.get(name).cloned().unwrap_or_default()
        };
        let tail = query.tail.and_then(|n| usize::try_from(n).ok());
        let lines: Vec<_> = said.split_inclusive('\n').collect();
        let from = lines.len().saturating_sub(tail.unwrap_or(usize::MAX));
        let text = lines.get(from..).unwrap_or_default().concat();
        let mut stdout = streams.stdout;
        let written = stdout.write_all(text.as_bytes()).await;
        written.map_err(|_| EngineError::ReaderGone)
    }
}
