//! What this process may do: capabilities, no-new-privileges, the system call filter, and the
//! sockets that need a privilege.

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

    fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    fn set(&self, name: &str) -> Option<u64> {
        u64::from_str_radix(self.get(name)?, 16).ok()
    }
}

/// The capabilities that a container may have, by number (capabilities(7)). A list of what is
/// harmless, so that one that the kernel learns tomorrow is refused. They are the engines' default
/// ones without NET_RAW, MKNOD and AUDIT_WRITE: a database's entrypoint needs some to drop root.
const HARMLESS: [(u32, &str); 11] = [
    (0, "CHOWN"),
    (1, "DAC_OVERRIDE"),
    (3, "FOWNER"),
    (4, "FSETID"),
    (5, "KILL"),
    (6, "SETGID"),
    (7, "SETUID"),
    (8, "SETPCAP"),
    (10, "NET_BIND_SERVICE"),
    (18, "SYS_CHROOT"),
    (31, "SETFCAP"),
];

/// Names for the sentence; a number without one is printed as a number.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Why nothing can be said when `/proc` is missing.
fn unreadable(field: &str) -> Finding {
    Finding::broken(format!(
        "/proc/self/status has no readable {field}: is /proc mounted?"
    ))
}

/// None of the capabilities that open a way out, in any set that can bring one into effect.
pub(crate) fn capabilities(status: &Status) -> Finding {
    let harmless = HARMLESS
        .iter()
        .fold(0u64, |mask, (bit, _)| mask | (1 << bit));
    // With no-new-privileges nothing in the bounding set alone can ever be gained (prctl(2)).
    let bounding = (status.get("NoNewPrivs") != Some("1")).then_some("CapBnd");
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"]
        .into_iter()
        .chain(bounding)
    {
        let Some(bits) = status.set(set) else {
            return unreadable(set);
        };
        let dangerous = bits & !harmless;
        if dangerous != 0 {
            return Finding::leak(format!(
                "{set} holds {}: the container was started without `cap_drop: ALL`, or one was added \
                 back",
                names(dangerous)
            ));
        }
    }
    match status.set("CapEff") {
        Some(0) => Finding::sealed("none in effect"),
        Some(bits) => Finding::sealed(format!("only {}", names(bits))),
        None => unreadable("CapEff"),
    }
}

fn names(bits: u64) -> String {
    let one = |bit: u32| match NAMES.get(bit as usize) {
        Some(name) => (*name).to_owned(),
        None => format!("capability {bit}"),
    };
    let held: Vec<String> = (0..64)
        .filter(|bit| bits >> bit & 1 == 1)
        .map(one)
        .collect();
    match held.len() {
        0..=8 => held.join(", "),
        more => format!(
            "{} and {} more",
            held.get(..8).unwrap_or_default().join(", "),
            more - 8
        ),
    }
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

/// No socket to a hypervisor.
pub(crate) fn vsock() -> Finding {
    let kinds = [("vsock", AddressFamily::VSOCK, SocketType::STREAM, None)];
    refused(
        &kinds,
        "it reaches the machine under the engine's virtual machine without any network; the engine's \
         seccomp profile is older than 20.10.22, or off",
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
enum Socket {
    Open,
    Refused(Errno),
    Unclear(Errno),
}

/// Which refusals are the kernel's word that there is no such socket for us.
fn judge_socket(opened: Result<(), Errno>) -> Socket {
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
mod tests {
    use super::*;
    use crate::report::Outcome;

    /// As a container of ours sees it (Docker 28, `cap_drop: ALL`, `no-new-privileges`).
    const CONFINED: &str = "Name:\tagentnet-gate\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
        CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n\
        NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    fn with(from: &str, to: &str) -> Status {
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
    fn each_open_capability_is_named() {
        // The engines' default set: a80425fb holds NET_RAW, MKNOD and AUDIT_WRITE.
        let status = with("CapEff:\t0000000000000000", "CapEff:\t00000000a80425fb");
        let finding = capabilities(&status);
        assert_eq!(finding.outcome, Outcome::Leak);
        assert!(
            finding.detail.contains("NET_RAW, MKNOD, AUDIT_WRITE"),
            "{}",
            finding.detail
        );
        let status = with("CapAmb:\t0000000000000000", "CapAmb:\t8000000000000000");
        assert!(capabilities(&status).detail.contains("capability 63"));
    }

    #[test]
    fn what_a_database_needs_to_drop_root_is_harmless() {
        let status = with("CapEff:\t0000000000000000", "CapEff:\t00000000000000cb");
        let finding = capabilities(&status);
        assert_eq!(finding.outcome, Outcome::Sealed);
        assert!(finding.detail.contains("SETUID"));
    }

    #[test]
    fn the_bounding_set_counts_only_without_no_new_privileges() {
        let bound = CONFINED.replace("CapBnd:\t0000000000000000", "CapBnd:\t00000000a80425fb");
        assert_eq!(
            capabilities(&Status::parse(&bound)).outcome,
            Outcome::Sealed
        );
        let loose = Status::parse(&bound.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0"));
        assert_eq!(capabilities(&loose).outcome, Outcome::Leak);
        assert_eq!(no_new_privs(&loose).outcome, Outcome::Leak);
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

    #[test]
    fn the_harmless_list_is_spelt_as_the_names_are() {
        for (bit, name) in HARMLESS {
            assert_eq!(NAMES[bit as usize], name);
        }
    }
}
