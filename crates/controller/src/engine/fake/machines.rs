//! The engines that the fake one stands for.

use super::FakeEngine;
use crate::facts::{Facts, LimitFacts, LinkFacts, Version};

impl FakeEngine {
    /// Facts of a Docker 28 on this machine.
    #[must_use]
    pub fn docker28() -> Facts {
        Facts {
            product: "Docker".into(),
            version: "28.5.2".into(),
            api: Version(1, 51),
            api_min: Version(1, 24),
            endpoint: "unix:///fake.sock".into(),
            local: true,
            rootless: false,
            user: None,
            fills_at_start: false,
            shares_names: true,
            remaps_users: false,
            root_outside: None,
            isolated_gateway: true,
            many_networks: true,
            start_interval: true,
            limits: LimitFacts {
                memory: true,
                cpus: true,
                pids: true,
            },
            forwarding: true,
            cpus: 8,
            memory: 32 << 30,
            link: LinkFacts::Unknown,
            opens_vsock: false,
            runc: None,
            seccomp: true,
            nofile: Some(1 << 20),
            gpus: false,
            disk_quota: false,
        }
    }

    /// Facts of a Docker 20.10 on this machine.
    #[must_use]
    pub fn docker20() -> Facts {
        Facts {
            version: "20.10.24".into(),
            api: Version(1, 41),
            opens_vsock: true,
            isolated_gateway: false,
            many_networks: false,
            start_interval: false,
            ..FakeEngine::docker28()
        }
    }

    /// Facts of a Podman 4.3 on this machine.
    #[must_use]
    pub fn podman() -> Facts {
        Facts {
            product: "Podman".into(),
            version: "4.3.1".into(),
            fills_at_start: true,
            shares_names: false,
            ..FakeEngine::docker20()
        }
    }
}
