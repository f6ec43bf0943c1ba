//! A service of the host on all of its addresses, as a database of the user's would be: nothing in
//! the fence may reach it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use agentnet_gate::Outcome;

use super::{ProofRow, Witness};
use crate::engine::NetworkState;

/// The listening service; gone when dropped.
#[derive(Debug)]
pub(super) struct Canary {
    listener: Option<TcpListener>,
}

impl Canary {
    /// Listens on 0.0.0.0, any port. Where that is not possible there is no canary.
    pub(super) fn new() -> Canary {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0));
        let listener = listener.and_then(|l| l.set_nonblocking(true).map(|()| l));
        Canary {
            listener: listener.ok(),
        }
    }

    /// Where it could be reached: the engine's gateways, which are the host's, and the address that
    /// the host uses towards the internet.
    pub(super) fn addresses(&self, networks: &[NetworkState]) -> Vec<SocketAddr> {
        let Some(port) = self.listener.as_ref().and_then(|l| l.local_addr().ok()) else {
            return Vec::new();
        };
        let gateways = networks.iter().flat_map(|n| n.gateways.iter().copied());
        let mut found: Vec<IpAddr> = gateways.filter(IpAddr::is_ipv4).collect();
        found.extend(own_address());
        found.sort();
        found.dedup();
        found
            .into_iter()
            .map(|address| SocketAddr::new(address, port.port()))
            .collect()
    }

    /// Somebody came: from the agent or not, a connection that nobody should make.
    pub(super) fn row(&self) -> Option<ProofRow> {
        let listener = self.listener.as_ref()?;
        let (outcome, detail) = match listener.accept() {
            Ok((_, peer)) => (
                Outcome::Leak,
                format!("{peer} reached a service of the host on 0.0.0.0"),
            ),
            Err(_) => (Outcome::Sealed, "nobody reached it".to_owned()),
        };
        Some(ProofRow {
            id: "host_service".to_owned(),
            what: "a service of this machine on 0.0.0.0".to_owned(),
            outcome,
            detail,
            by: Witness::Controller,
        })
    }
}

/// A connected datagram socket has chosen its source address; nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // TEST-NET-1 (RFC 5737): routed like anything on the internet, and nobody is there.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_whether_somebody_came() {
        let canary = Canary::new();
        assert_eq!(canary.row().unwrap().outcome, Outcome::Sealed);
    }
}
