//! A fence as the engine builds it: a bridge on the host without an address, an agent and a proxy
//! on it, and the proxy's second leg in another network.

use super::proxy::{Answer, Proxy, refuse};
use super::{Namespace, verify};
use agentnet_gate::Report;

/// The flags that describe it.
pub const EXPECT: &str = "--fence network --proxy 10.213.0.1:8888 --peer 10.213.0.1 --peer fd00:213::1 \
     --peer 10.213.0.2 --peer fd00:213::2 --foreign 172.20.0.2:9100";

/// The three parties.
#[derive(Debug)]
pub struct Fence {
    pub host: Namespace,
    pub agent: Namespace,
    pub proxy: Namespace,
    serving: Option<Proxy>,
}

impl Fence {
    /// Sealed, with a proxy that refuses everything.
    pub fn new() -> Self {
        let mut fence = Self::without_proxy();
        fence.serve(refuse);
        fence
    }

    /// Sealed, and nothing listens at the proxy.
    pub fn without_proxy() -> Self {
        let (host, agent, proxy) = (Namespace::new(), Namespace::new(), Namespace::new());
        host.set("ipv4/ip_forward", "1");
        host.ip("link add br0 type bridge");
        host.set("ipv6/conf/br0/disable_ipv6", "1");
        host.set("ipv4/conf/br0/rp_filter", "2");
        host.ip("link set br0 up");
        // What else a host has: another bridge, with an address.
        host.ip("link add docker0 type bridge");
        host.ip("addr add 172.17.0.1/16 dev docker0");
        host.ip("link set docker0 up");
        let fence = Self {
            host,
            agent,
            proxy,
            serving: None,
        };
        fence.plug(&fence.agent, "va");
        fence.plug(&fence.proxy, "vp");
        fence.agent.ip("addr add 10.213.0.2/28 dev eth0");
        fence.agent.ip("addr add fd00:213::2/64 dev eth0 nodad");
        fence.proxy.ip("addr add 10.213.0.1/28 dev eth0");
        fence.proxy.ip("addr add fd00:213::1/64 dev eth0 nodad");
        fence.proxy.set("ipv4/ip_forward", "0");
        fence.proxy.set("ipv4/conf/all/arp_ignore", "1");
        fence.proxy.ip("link add eth1 type bridge");
        fence.proxy.ip("addr add 172.20.0.2/24 dev eth1");
        fence.proxy.ip("link set eth1 up");
        fence
    }

    /// Attaches a namespace to the bridge as `eth0`; `port` is the host's end.
    pub fn plug(&self, namespace: &Namespace, port: &str) {
        let id = namespace.id();
        self.host.ip(&format!(
            "link add {port} type veth peer name eth0 netns {id}"
        ));
        self.host
            .set(&format!("ipv6/conf/{port}/disable_ipv6"), "1");
        self.host.ip(&format!("link set {port} master br0 up"));
        namespace.ip("link set eth0 up");
    }

    /// Starts the proxy with answers of its own.
    pub fn serve(&mut self, answer: Answer) {
        self.serving = None;
        self.serving = Some(Proxy::start(self.proxy.listen("10.213.0.1:8888"), answer));
    }

    /// `verify` as the agent would run it.
    pub fn verify(&self) -> (Report, i32) {
        verify(&mut self.agent.gate(), EXPECT)
    }
}
