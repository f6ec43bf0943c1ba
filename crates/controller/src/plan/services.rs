//! The task's side services.

use std::collections::BTreeMap;

use super::containers::{bare, fenced, labels, memory, networks_of, real_command};
use super::door::{DNS_PORT, Door};
use super::fence::{Layout, Networks};
use super::gate::{GATE, GateSteps};
use super::limits::{Wanted, limits};
use super::{Draft, Inputs, PROXY_PORT, Place, Step, missing};
use crate::config::{Fence, Healthcheck, Mode, Service, Test};
use crate::engine::ImageInfo;
use crate::error::{Error, Result};
use crate::labels::{Role, SERVICE, VOLUME};
use crate::pool::SERVICE_PLACES;
use crate::spec::{Capability, ContainerSpec, Health, Mount, SystemCalls, VolumeSpec};
use crate::task::Slug;

/// How long a service may take to become healthy.
const HEALTHY_SECONDS: u32 = 120;

/// Refuses what no fence can hold, before anything is created.
pub(super) fn check(inputs: &Inputs<'_>, mode: Mode, fence: Option<Fence>) -> Result<()> {
    let services = &inputs.config.services;
    let most = SERVICE_PLACES.count();
    if services.len() > most {
        return Err(Error::Config(format!(
            "{} services are too many for one task: at most {most}",
            services.len()
        )));
    }
    if fence == Some(Fence::Socket) || mode == Mode::None {
        one_port_each(inputs)?;
        none_of_ours(inputs, fence)?;
    }
    Ok(())
}

/// Where everybody shares one loopback, two services on one port cannot both start.
fn one_port_each(inputs: &Inputs<'_>) -> Result<()> {
    for (port, names) in ports(inputs) {
        if let [other, name, ..] = names.as_slice() {
            return Err(Error::Config(format!(
                "services {other} and {name} both listen on port {port}, and in the socket \
                 fence all services share one address; make one of them listen elsewhere and \
                 say so with port = in [services.{name}]"
            )));
        }
    }
    Ok(())
}

/// Nor can one start on a port that the relay has. Where it has to choose, the doors of 443 and 80
/// give way: a task can do without them.
fn none_of_ours(inputs: &Inputs<'_>, fence: Option<Fence>) -> Result<()> {
    let taken = ports(inputs);
    let dns = fence.map(|_| (DNS_PORT, "answers questions to the DNS"));
    for (port, what) in dns.into_iter().chain([(PROXY_PORT, "is a proxy")]) {
        if let Some([name, ..]) = taken.get(&port).map(Vec::as_slice) {
            return Err(Error::Config(format!(
                "service {name} listens on port {port}, where agentnet {what} in the namespace that \
                 all share in the socket fence; make it listen elsewhere and say so with port = in \
                 [services.{name}]"
            )));
        }
    }
    Ok(())
}

/// The ports that services listen on, and which.
pub(super) fn ports<'i>(inputs: &Inputs<'i>) -> BTreeMap<u16, Vec<&'i Slug>> {
    let mut taken: BTreeMap<u16, Vec<&Slug>> = BTreeMap::new();
    for (name, service) in &inputs.config.services {
        for port in service.ports(image_ports(inputs, name)) {
            taken.entry(port).or_default().push(name);
        }
    }
    taken
}

fn image_ports<'a>(inputs: &'a Inputs<'_>, name: &Slug) -> &'a [u16] {
    let info = inputs.images.services.get(name);
    info.map_or(&[], |info| info.ports.as_slice())
}

/// The services; returns the steps after which all of them can be used.
pub(super) fn services(
    inputs: &Inputs<'_>,
    layout: &Layout,
    networks: &Networks,
    door: &Door,
    gate: GateSteps,
    stored: &[usize],
    draft: &mut Draft,
) -> Result<Vec<usize>> {
    let mut ready: BTreeMap<&Slug, usize> = BTreeMap::new();
    for (name, place) in in_order(inputs, layout) {
        let Some(service) = inputs.config.services.get(name) else {
            continue;
        };
        let mut spec = service_spec(inputs, layout, door, name, service, place)?;
        let container = spec.name.clone();
        let addresses = layout.addresses(inputs, place);
        let mut there = Place::of(&spec, Role::Service, networks_of(&spec), addresses);
        there.volumes = service.volumes.values().cloned().collect();
        draft.places.push(there);
        let image = inputs.images.services.get(name);
        let checked = match &spec.health {
            Some(health) => health.test.first().is_some_and(|word| word != "NONE"),
            None => image.is_some_and(|i| i.health.is_some()),
        };
        let mut before = networks.inner();
        before.extend(&door.created);
        before.push(gate.volume);
        before.extend(stored);
        before.extend(volumes(inputs, name, service, &mut spec, draft));
        let volumes = spec.mounts.iter().filter_map(|mount| match mount {
            Mount::Volume { volume, .. } => Some(volume.clone()),
            Mount::Bind { .. } | Mount::Memory { .. } | Mount::Frame { .. } => None,
        });
        let volumes: Vec<_> = volumes.collect();
        let created = draft.add(Step::Container(spec), &before);
        let mut before = vec![created, gate.filled];
        for volume in &volumes {
            before.extend(super::seed::volume(inputs, volume, created, draft)?);
        }
        before.extend(&door.started);
        before.extend(networks.guarded());
        before.extend(service.after.iter().filter_map(|other| ready.get(other)));
        let start = Step::Start {
            container: container.clone(),
            role: Role::Service,
        };
        let mut last = draft.add(start, &before);
        if checked {
            let seconds = service.wait_seconds.unwrap_or(HEALTHY_SECONDS);
            last = draft.add(Step::AwaitHealthy { container, seconds }, &[last]);
        }
        ready.insert(name, last);
    }
    Ok(ready.into_values().collect())
}

/// Each after those it waits for. That there is no circle was checked with the settings.
fn in_order<'a>(inputs: &Inputs<'_>, layout: &'a Layout) -> Vec<(&'a Slug, u8)> {
    let mut waiting: Vec<_> = layout
        .service_places
        .iter()
        .map(|(name, place)| (name, *place))
        .collect();
    let mut order: Vec<(&Slug, u8)> = Vec::new();
    while !waiting.is_empty() {
        let can_start = |name: &Slug| {
            let service = inputs.config.services.get(name);
            let mut after = service.iter().flat_map(|service| &service.after);
            after.all(|other| order.iter().any(|(done, _)| *done == other))
        };
        let next = waiting.iter().position(|(name, _)| can_start(name));
        order.push(waiting.remove(next.unwrap_or(0)));
    }
    order
}

/// A service's volumes, and the steps that make them: an engine would make them by itself, without a word in the
/// journal.
fn volumes(
    inputs: &Inputs<'_>,
    name: &Slug,
    service: &Service,
    spec: &mut ContainerSpec,
    draft: &mut Draft,
) -> Vec<usize> {
    let mut made = Vec::new();
    for (volume, target) in &service.volumes {
        let mut labels = labels(inputs, Role::Volume);
        labels.insert(SERVICE.to_owned(), name.to_string());
        labels.insert(VOLUME.to_owned(), volume.to_string());
        let volume = VolumeSpec {
            name: inputs.task.volume(name, volume),
            labels,
        };
        made.push(draft.add(Step::Volume(volume.clone()), &[]));
        spec.mounts.push(Mount::Volume {
            volume,
            target: target.clone(),
            writable: true,
            fill: true,
        });
    }
    made
}

/// What was asked for, else the image's own (`None`), else whether its one port listens.
fn health(
    inputs: &Inputs<'_>,
    name: &Slug,
    service: &Service,
    image: &ImageInfo,
) -> Result<Option<Health>> {
    let ports = service.ports(&image.ports);
    let usual = Healthcheck::new(Test::Port);
    let check = match (&service.healthcheck, &image.health, ports.as_slice()) {
        (Some(check), _, _) => check,
        (None, None, [_]) => &usual,
        // Which of several ports is the one that matters nobody can know.
        (None, Some(_), _) | (None, None, _) => return Ok(None),
    };
    let test = match &check.test {
        Test::Off => vec!["NONE".to_owned()],
        Test::Shell(command) => vec!["CMD-SHELL".to_owned(), command.clone()],
        Test::Words(words) => {
            let mut test = vec!["CMD".to_owned()];
            test.extend_from_slice(words);
            test
        }
        Test::Port => {
            if ports.is_empty() {
                return Err(Error::Config(format!(
                    "[services.{name}] healthcheck = \"@port\", and neither port = nor the image says which"
                )));
            }
            let mut test = ["CMD", GATE, "listening"].map(str::to_owned).to_vec();
            test.extend(ports.iter().map(ToString::to_string));
            test
        }
    };
    // Where it cannot look more often at the start, it has to look often always.
    let usual = if inputs.facts.start_interval { 10 } else { 2 };
    let mut health = Health::new(test, check.every_seconds.unwrap_or(usual));
    health.timeout_seconds = check.timeout_seconds.unwrap_or(health.timeout_seconds);
    health.retries = check.retries.unwrap_or(health.retries);
    health.start_seconds = check.start_seconds.unwrap_or(health.start_seconds);
    Ok(Some(health))
}

fn service_spec(
    inputs: &Inputs<'_>,
    layout: &Layout,
    door: &Door,
    name: &Slug,
    service: &Service,
    place: u8,
) -> Result<ContainerSpec> {
    let what = format!("service {name}");
    let image = inputs
        .images
        .services
        .get(name)
        .ok_or_else(|| missing(&what))?;
    let reference = service.image.as_ref().ok_or_else(|| missing(&what))?;
    let real = real_command(&what, image, &service.entrypoint, &service.command)?;
    let container = inputs.task.service(name);
    let mut spec = bare(inputs, Role::Service, container, reference.to_string());
    spec.labels.insert(SERVICE.to_owned(), name.to_string());
    spec.user.clone_from(&service.user);
    spec.env.clone_from(&service.env);
    spec.secret_env = inputs.passwords.service(name);
    spec.workdir.clone_from(&service.workdir);
    spec.capabilities = match &service.capabilities {
        Some(left) => left.clone(),
        None => Capability::SERVICE.to_vec(),
    };
    spec.read_only = service.read_only.unwrap_or(false);
    if let Some(profile) = &service.profile {
        spec.system_calls = SystemCalls::Profile(profile.clone());
    }
    spec.gpus = service.gpus.map(|gpus| gpus.0);
    let wanted = Wanted {
        memory: service.memory,
        cpus: service.cpus,
        pids: service.pids,
        nofile: service.nofile,
        memlock: service.memlock,
        shm: service.shm,
        disk: service.disk,
    };
    spec.limits = limits(Role::Service, wanted, inputs.facts);
    spec.mounts = memory(spec.read_only, &service.tmpfs, &spec.limits);
    spec.health = health(inputs, name, service, image)?;
    if door.relay.is_none() {
        spec.hostname = Some(name.to_string());
    }
    fenced(
        inputs,
        layout,
        door,
        &mut spec,
        place,
        vec![name.to_string()],
        image,
        real,
    );
    Ok(spec)
}
