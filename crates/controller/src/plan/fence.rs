//! The two builds of the fence, and the two modes without one.

use std::net::{IpAddr, SocketAddr};

use agentnet_gate::{Expectation, Fence as Promise};

use super::{Draft, Inputs, PROXY_PORT, RELAY_ADDRESS, Step, block6};
use crate::config::{Fence, Mode};
use crate::error::{Error, Result};
use crate::facts::{Facts, LinkFacts};
use crate::labels::{Owner, Role};
use crate::pool::{AGENT_PLACE, Block, PROXY_PLACE, SERVICE_PLACES};
use crate::spec::{Exposure, NetworkSpec};
use crate::task::Slug;

/// Which fence: what was forced, if the engine can build it, else the best it can.
pub fn choose_fence(forced: Option<Fence>, facts: &Facts) -> Result<Fence> {
    match forced {
        Some(Fence::Socket) => Ok(Fence::Socket),
        Some(Fence::Network) if !facts.isolated_gateway => Err(Error::Unfit(format!(
            "{} cannot build the network fence: isolated gateways need Docker 28 or newer; \
             --fence socket works on any engine",
            facts.name()
        ))),
        Some(Fence::Network) => Ok(Fence::Network),
        None => Ok(match (facts.isolated_gateway, facts.link) {
            (true, LinkFacts::Filtered | LinkFacts::CanFilter | LinkFacts::Unknown) => {
                Fence::Network
            }
            // An address-less bridge that answers for the host's other addresses is no fence.
            (true, LinkFacts::Unfiltered) | (false, _) => Fence::Socket,
        }),
    }
}

/// Names and addresses of the fence; decided before any step.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) mode: Mode,
    pub(super) fence: Option<Fence>,
    pub(super) block: Block,
    pub(super) egress_block: Block,
    pub(super) fence_name: Option<String>,
    pub(super) egress_name: Option<String>,
    pub(super) proxy: Option<SocketAddr>,
    pub(super) agent_place: u8,
    pub(super) service_places: Vec<(Slug, u8)>,
    pub(super) expectation: Expectation,
}

impl Layout {
    pub(super) fn new(inputs: &Inputs<'_>, mode: Mode, fence: Option<Fence>) -> Layout {
        let [block, egress_block] = inputs.blocks;
        let resource = |role| Some(inputs.task.resource(role));
        let service_places: Vec<_> = inputs
            .config
            .services
            .keys()
            .cloned()
            .zip(SERVICE_PLACES)
            .collect();
        let proxy = match fence {
            Some(Fence::Network) => {
                Some(SocketAddr::from((block.address(PROXY_PLACE), PROXY_PORT)))
            }
            Some(Fence::Socket) => Some(SocketAddr::from((RELAY_ADDRESS, PROXY_PORT))),
            None => None,
        };
        let mut layout = Layout {
            mode,
            fence,
            block,
            egress_block,
            fence_name: (fence == Some(Fence::Network))
                .then(|| resource(Role::Fence))
                .flatten(),
            egress_name: (mode != Mode::None)
                .then(|| resource(Role::Egress))
                .flatten(),
            proxy,
            agent_place: AGENT_PLACE,
            service_places,
            expectation: Expectation::new(match (mode, fence) {
                (Mode::Full, _) => Promise::Open,
                (_, Some(Fence::Network)) => Promise::Network,
                (_, Some(Fence::Socket)) => Promise::Socket,
                (Mode::None | Mode::Limited, None) => Promise::None,
            }),
        };
        layout.expectation.proxy = proxy;
        layout.expectation.peers = layout.peers(inputs);
        layout
    }

    pub(super) fn has_fence_network(&self) -> bool {
        self.fence_name.is_some()
    }

    /// The addresses of a place in the fence network.
    pub(super) fn addresses(&self, inputs: &Inputs<'_>, place: u8) -> Vec<IpAddr> {
        if self.has_fence_network() {
            vec![
                self.block.address(place).into(),
                block6(inputs).address(place).into(),
            ]
        } else {
            Vec::new()
        }
    }

    fn peers(&self, inputs: &Inputs<'_>) -> Vec<IpAddr> {
        let places = [PROXY_PLACE, self.agent_place].into_iter();
        let services = self.service_places.iter().map(|(_, place)| *place);
        places
            .chain(services)
            .flat_map(|place| self.addresses(inputs, place))
            .collect()
    }
}

/// The steps that create networks.
#[derive(Debug, Default)]
pub(super) struct Networks {
    /// Creates the fence network.
    fence: Option<usize>,
    /// Before anything may start on it.
    guarded: Option<usize>,
    /// Creates the egress network.
    egress: Option<usize>,
}

impl Networks {
    /// Before the proxy may be created: it is on both.
    pub(super) fn both(&self) -> Vec<usize> {
        self.fence.into_iter().chain(self.egress).collect()
    }

    /// Before the task's own containers may be created.
    pub(super) fn inner(&self) -> Vec<usize> {
        self.fence.or(self.egress).into_iter().collect()
    }

    /// Before anything may start.
    pub(super) fn guarded(&self) -> Option<usize> {
        self.guarded
    }
}

pub(super) fn networks(inputs: &Inputs<'_>, layout: &Layout, draft: &mut Draft) -> Networks {
    let labels = |role| {
        let (state, task) = (inputs.state.to_owned(), inputs.task.clone());
        Owner { state, task, role }.labels()
    };
    let mut networks = Networks::default();
    if let Some(name) = &layout.fence_name {
        let spec = NetworkSpec {
            name: name.clone(),
            exposure: Exposure::Isolated,
            subnets: vec![layout.block.fence(), block6(inputs).fence()],
            mtu: inputs.config.network.mtu,
            labels: labels(Role::Fence),
        };
        let created = draft.add(Step::Network(spec), &[]);
        networks.fence = Some(created);
        let guard = Step::GuardLink {
            network: name.clone(),
        };
        networks.guarded = Some(draft.add(guard, &[created]));
    }
    if let Some(name) = &layout.egress_name {
        let spec = NetworkSpec {
            name: name.clone(),
            exposure: Exposure::Open,
            subnets: vec![layout.egress_block.open()],
            mtu: inputs.config.network.mtu,
            labels: labels(Role::Egress),
        };
        networks.egress = Some(draft.add(Step::Network(spec), &[]));
    }
    networks
}
