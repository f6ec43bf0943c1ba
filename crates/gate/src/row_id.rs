//! The rows' names: one word a way out, the same in table, JSON and documentation.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident => $word:literal,)*) => {
        /// One way out that the gate tries. `docs/verify.md` describes each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum RowId { $($(#[$doc])* #[serde(rename = $word)] $name,)* }

        impl RowId {
            /// Every row, in the order of the table.
            pub const ALL: &'static [RowId] = &[$(RowId::$name,)*];

            /// The word of table, JSON and documentation.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(RowId::$name => $word,)* }
            }
        }
    };
}

rows! {
    /// Only the interfaces that the fence promises are up.
    Interfaces => "interfaces",
    /// Only addresses of the task's own subnets.
    Addresses => "addresses",
    /// No route leads past the link.
    Routes => "routes",
    /// None of the capabilities that open a way out.
    Capabilities => "capabilities",
    /// A setuid program cannot bring privileges back.
    NoNewPrivs => "no_new_privs",
    /// The engine's system call filter is on.
    Seccomp => "seccomp",
    /// Raw IP sockets are refused.
    RawSockets => "raw_sockets",
    /// Packet sockets are refused.
    PacketSockets => "packet_sockets",
    /// No socket to a hypervisor.
    Vsock => "vsock",
    /// No container engine's socket in the file system.
    EngineSocket => "engine_socket",
    /// None of the machine's own namespaces.
    HostNamespaces => "host_namespaces",
    /// TCP straight out over IPv4.
    DirectIpv4 => "direct_ipv4",
    /// TCP straight out over IPv6.
    DirectIpv6 => "direct_ipv6",
    /// The clouds' metadata addresses.
    Metadata => "metadata",
    /// An address of somebody else: another task, our proxy's far side, the host.
    Foreign => "foreign",
    /// Neighbours in our own IPv4 subnets.
    LinkIpv4 => "link_ipv4",
    /// Neighbours over IPv6, link-local ones too.
    LinkIpv6 => "link_ipv6",
    /// Machines behind the link that answer for addresses of other networks.
    LinkHosts => "link_hosts",
    /// UDP straight out.
    DirectUdp => "direct_udp",
    /// ICMP echo straight out.
    DirectIcmp => "direct_icmp",
    /// The engines' names for their host.
    HostNames => "host_names",
    /// The engine's embedded resolver and whatever resolv.conf names.
    Nameservers => "nameservers",
    /// Public resolvers.
    PublicDns => "public_dns",
    /// The proxy answers at all.
    ProxyAnswers => "proxy_answers",
    /// The proxy's admin side is closed to the task.
    AdminPort => "admin_port",
    /// The proxy refuses private addresses.
    ConnectPrivate => "connect_private",
    /// The proxy refuses addresses in disguise.
    ConnectNumeric => "connect_numeric",
    /// The proxy refuses metadata addresses.
    ConnectMetadata => "connect_metadata",
    /// The proxy refuses to connect to itself.
    ConnectItself => "connect_itself",
    /// The proxy refuses the host's names.
    ConnectHostNames => "connect_host_names",
    /// The proxy refuses a name that is not listed.
    ConnectUnlisted => "connect_unlisted",
    /// The destination that is allowed works.
    AllowedHost => "allowed_host",
    /// One name outside and another inside of TLS.
    Fronting => "fronting",
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_in_json_is_the_word_in_the_table() {
        for id in RowId::ALL {
            assert_eq!(serde_json::to_string(id).unwrap(), format!("\"{id}\""));
        }
    }

    #[test]
    fn the_documentation_names_every_row() {
        let text = include_str!("../../../docs/verify.md");
        for id in RowId::ALL {
            assert!(
                text.contains(&format!("`{id}`")),
                "docs/verify.md does not name `{id}`"
            );
        }
    }
}
