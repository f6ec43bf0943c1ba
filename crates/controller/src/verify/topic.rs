//! What the rows are about: the lines of `verify --brief`.

use agentnet_gate::RowId;

/// A group of rows that a person asks one question about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// What the process may do.
    Privileges,
    /// What the network namespace consists of.
    Shape,
    /// Packets to the world without the proxy.
    StraightOut,
    /// Neighbours on the link.
    Link,
    /// Other tasks, the host, the proxy's far side.
    Others,
    /// Names.
    Names,
    /// What the proxy says to what it must refuse.
    Proxy,
    /// What is spoken inside a tunnel.
    Tls,
    /// The engine's view, from outside.
    Engine,
}

impl Topic {
    /// Every topic, in the order of the table.
    pub const ALL: &'static [Topic] = &[
        Topic::Shape,
        Topic::Privileges,
        Topic::StraightOut,
        Topic::Others,
        Topic::Link,
        Topic::Names,
        Topic::Proxy,
        Topic::Tls,
        Topic::Engine,
    ];

    /// The topic of a row. What the gate does not know is the controller's own.
    #[must_use]
    pub fn of(id: &str) -> Topic {
        let Some(id) = RowId::ALL.iter().find(|known| known.as_str() == id) else {
            return Topic::Engine;
        };
        match id {
            RowId::Interfaces | RowId::Addresses | RowId::Routes => Topic::Shape,
            RowId::Capabilities
            | RowId::NoNewPrivs
            | RowId::Seccomp
            | RowId::RawSockets
            | RowId::PacketSockets
            | RowId::Vsock
            | RowId::EngineSocket
            | RowId::HostNamespaces => Topic::Privileges,
            RowId::DirectIpv4
            | RowId::DirectIpv6
            | RowId::Metadata
            | RowId::DirectUdp
            | RowId::DirectIcmp => Topic::StraightOut,
            RowId::Foreign => Topic::Others,
            RowId::LinkIpv4 | RowId::LinkIpv6 | RowId::LinkHosts => Topic::Link,
            RowId::HostNames | RowId::Nameservers | RowId::PublicDns => Topic::Names,
            RowId::ProxyAnswers
            | RowId::AdminPort
            | RowId::ConnectPrivate
            | RowId::ConnectNumeric
            | RowId::ConnectMetadata
            | RowId::ConnectItself
            | RowId::ConnectHostNames
            | RowId::ConnectUnlisted
            | RowId::AllowedHost => Topic::Proxy,
            RowId::Fronting => Topic::Tls,
        }
    }

    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Topic::Shape => "interfaces, addresses, routes of the container",
            Topic::Privileges => "capabilities, raw sockets, engine sockets, namespaces",
            Topic::StraightOut => "TCP, UDP and ICMP straight out, cloud metadata",
            Topic::Others => "other tasks, the host, the proxy's far side",
            Topic::Link => "who else answers on the link, fe80:: too",
            Topic::Names => "names: embedded and public DNS, the host's names",
            Topic::Proxy => "through the proxy: private, numeric, metadata, unlisted",
            Topic::Tls => "one name outside and another inside of TLS",
            Topic::Engine => "the engine's view: networks, privileges, bridge",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_a_row_and_stands_in_the_list_once() {
        for topic in Topic::ALL {
            let named = RowId::ALL.iter().any(|id| Topic::of(id.as_str()) == *topic);
            assert!(named || *topic == Topic::Engine, "{topic:?}");
        }
        for id in RowId::ALL {
            let count = Topic::ALL
                .iter()
                .filter(|t| **t == Topic::of(id.as_str()))
                .count();
            assert_eq!(count, 1, "{id}");
        }
        assert_eq!(Topic::of("fence_gateway"), Topic::Engine);
    }
}
