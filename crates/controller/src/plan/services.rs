//! The task's side services.

use std::collections::BTreeMap;

use super::containers::{bare, fenced, memory, networks_of, real_command};
use super::door::{DNS_PORT, Door};
use super::fence::{Layout, Networks};
use super::gate::GateSteps;
use super::limits::{Wanted, limits};
use super::{Draft, Inputs, PROXY_PORT, Place, Step, missing};
use crate::config::{Fence, Mode, Service};
use crate::error::{Error, Result};
use crate::labels::{Role, SERVICE};
use crate::pool::SERVICE_PLACES;
use crate::spec::{Capability, ContainerSpec, Health};
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
        let info = inputs.images.services.get(name);
        let exposed = info.map(|info| info.ports.clone()).unwrap_or_default();
        for port in service.port.map_or(exposed, |port| vec![port.get()]) {
            taken.entry(port).or_default().push(name);
        }
    }
    taken
}

/// The services; returns the steps after which all of them can be used.
pub(super) fn services(
    inputs: &Inputs<'_>,
    layout: &Layout,
    networks: &Networks,
    door: &Door,
    gate: GateSteps,
    draft: &mut Draft,
) -> Result<Vec<usize>> {
    let mut ready = Vec::new();
    for (name, place) in &layout.service_places {
        let Some(service) = inputs.config.services.get(name) else {
            continue;
        };
        let spec = service_spec(inputs, layout, door, name, service, *place)?;
        let container = spec.name.clone();
        draft.places.push(Place {
            container: container.clone(),
            role: Role::Service,
            networks: networks_of(&spec),
            addresses: layout.addresses(inputs, *place),
        });
        let image = inputs.images.services.get(name);
        let checked = spec.health.is_some() || image.is_some_and(|i| i.health.is_some());
        let mut before = networks.inner();
        before.extend(&door.created);
        before.push(gate.volume);
        let created = draft.add(Step::Container(spec), &before);
        let mut before = vec![created, gate.filled];
        before.extend(&door.started);
        before.extend(networks.guarded());
        let start = Step::Start {
            container: container.clone(),
            role: Role::Service,
        };
        let mut last = draft.add(start, &before);
        if checked {
            let seconds = service.wait_seconds.unwrap_or(HEALTHY_SECONDS);
            last = draft.add(Step::AwaitHealthy { container, seconds }, &[last]);
        }
        ready.push(last);
    }
    Ok(ready)
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
    let real = real_command(&what, image, &service.command)?;
    let container = inputs.task.service(name);
    let mut spec = bare(inputs, Role::Service, container, service.image.to_string());
    spec.labels.insert(SERVICE.to_owned(), name.to_string());
    spec.user.clone_from(&service.user);
    spec.env.clone_from(&service.env);
    spec.capabilities = Capability::SERVICE.to_vec();
    spec.read_only = service.read_only;
    spec.mounts = memory(service.read_only, &service.tmpfs);
    let wanted = Wanted {
        memory: service.memory,
        cpus: service.cpus,
        pids: service.pids,
    };
    spec.limits = limits(Role::Service, wanted, inputs.facts);
    spec.health = service.healthcheck.as_ref().map(|test| Health {
        test: vec!["CMD-SHELL".to_owned(), test.clone()],
        // Where it cannot look more often at the start, it has to look often always.
        every_seconds: if inputs.facts.start_interval { 10 } else { 2 },
    });
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
