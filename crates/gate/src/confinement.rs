//! What this process may do: no-new-privileges, the system call filter, and the sockets that need a
//! privilege.

use std::collections::BTreeMap;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, ipproto};

use crate::attempt::word;
use crate::report::Finding;

/// The lines of `/proc/self/status` that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    fields: BTreeMap<String, String>,
}

impl Status {
    /// Reads proc(5)'s `Name:\tvalue` lines; unknown ones are kept, malformed ones left out.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        Self {
            fields: pairs
                .map(|(k, v)| (k.to_owned(), v.trim().to_owned()))
                .collect(),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    pub(crate) fn set(&self, name: &str) -> Option<u64> {
        u64::from_str_radix(self.get(name)?, 16).ok()
    }
}

/// Why nothing can be said when `/proc` is missing.
pub(crate) fn unreadable(field: &str) -> Finding {
    Finding::broken(format!(
        "/proc/self/status has no readable {field}: is /proc mounted?"
    ))
}

/// A setuid program cannot bring privileges back.
pub(crate) fn no_new_privs(status: &Status) -> Finding {
    match status.get("NoNewPrivs") {
        Some("1") => Finding::sealed("set"),
        Some(_) => Finding::leak(
            "not set: a setuid program in the image regains whatever the bounding set holds; the \
             container was started without `no-new-privileges`",
        ),
        None => unreadable("NoNewPrivs"),
    }
}

/// The engine's system call filter is on.
pub(crate) fn seccomp(status: &Status) -> Finding {
    match status.get("Seccomp") {
        Some("2") => Finding::sealed("a filter is on"),
        Some(_) => Finding::leak(
            "no filter: the container was started with `seccomp=unconfined`, or the engine was built \
             without seccomp; AF_VSOCK and new namespaces are then open",
        ),
        None => unreadable("Seccomp"),
    }
}

/// Raw IP sockets are refused, in both families.
pub(crate) fn raw_sockets() -> Finding {
    let kinds = [
        (
            "raw IPv4",
            AddressFamily::INET,
            SocketType::RAW,
            Some(ipproto::ICMP),
        ),
        (
            "raw IPv6",
            AddressFamily::INET6,
            SocketType::RAW,
            Some(ipproto::ICMPV6),
        ),
    ];
    refused(
        &kinds,
        "NET_RAW forges packets that no filter on ports sees",
    )
}

/// Packet sockets are refused.
pub(crate) fn packet_sockets() -> Finding {
    let kinds = [
        ("packet", AddressFamily::PACKET, SocketType::RAW, None),
        (
            "packet datagram",
            AddressFamily::PACKET,
            SocketType::DGRAM,
            None,
        ),
    ];
    refused(
        &kinds,
        "NET_RAW sends any frame to any neighbour, whatever the routes say",
    )
}

type Kind = (&'static str, AddressFamily, SocketType, Option<Protocol>);

fn refused(kinds: &[Kind], why: &str) -> Finding {
    let mut said = Vec::new();
    for (name, family, kind, protocol) in kinds {
        let opened = rustix::net::socket_with(*family, *kind, SocketFlags::CLOEXEC, *protocol);
        match judge_socket(opened.map(drop)) {
            Socket::Open => return Finding::leak(format!("a {name} socket opens: {why}")),
            Socket::Refused(errno) => said.push(format!("{name}: {}", word(errno))),
            Socket::Unclear(errno) => {
                return Finding::broken(format!("a {name} socket could not be tried: {errno}"));
            }
        }
    }
    Finding::sealed(said.join("; "))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    Open,
    Refused(Errno),
    Unclear(Errno),
}

/// Which refusals are the kernel's word that there is no such socket for us.
pub(crate) fn judge_socket(opened: Result<(), Errno>) -> Socket {
    match opened {
        Ok(()) => Socket::Open,
        Err(errno) => {
            let refusals = [
                Errno::PERM,
                Errno::ACCESS,
                Errno::AFNOSUPPORT,
                Errno::PROTONOSUPPORT,
                Errno::NOSYS,
            ];
            if refusals.contains(&errno) {
                Socket::Refused(errno)
            } else {
                Socket::Unclear(errno)
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::capabilities::capabilities;
    use crate::report::Outcome;

    /// As a container of ours sees it (Docker 28, `cap_drop: ALL`, `no-new-privileges`).
    pub(crate) const CONFINED: &str = "Name:\tagentnet-gate\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
        CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n\
        NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    pub(crate) fn with(from: &str, to: &str) -> Status {
        assert!(CONFINED.contains(from), "{from}");
        Status::parse(&CONFINED.replace(from, to))
    }

    #[test]
    fn a_confined_process_is_sealed() {
        let status = Status::parse(CONFINED);
        for judge in [capabilities, no_new_privs, seccomp] {
            assert_eq!(judge(&status).outcome, Outcome::Sealed);
        }
    }

    #[test]
    fn a_missing_filter_is_a_leak_and_a_missing_line_is_no_proof() {
        assert_eq!(
            seccomp(&with("Seccomp:\t2", "Seccomp:\t0")).outcome,
            Outcome::Leak
        );
        let nothing = Status::parse("");
        for judge in [capabilities, no_new_privs, seccomp] {
            assert_eq!(judge(&nothing).outcome, Outcome::Broken);
        }
        let garbage = with("CapEff:\t0000000000000000", "CapEff:\tzz");
        assert_eq!(capabilities(&garbage).outcome, Outcome::Broken);
    }

    #[test]
    fn only_a_refusal_by_the_kernel_seals_a_socket() {
        assert_eq!(judge_socket(Ok(())), Socket::Open);
        for errno in [
            Errno::PERM,
            Errno::ACCESS,
            Errno::AFNOSUPPORT,
            Errno::PROTONOSUPPORT,
        ] {
            assert_eq!(judge_socket(Err(errno)), Socket::Refused(errno));
        }
        for errno in [Errno::MFILE, Errno::NOMEM, Errno::NFILE] {
            assert_eq!(judge_socket(Err(errno)), Socket::Unclear(errno));
        }
    }
}
