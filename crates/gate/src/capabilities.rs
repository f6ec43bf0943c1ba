//! Which capabilities open a way out.

use crate::confinement::{Status, unreadable};
use crate::report::Finding;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confinement::no_new_privs;
    use crate::confinement::tests::{CONFINED, with};
    use crate::report::Outcome;

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
    fn the_harmless_list_is_spelt_as_the_names_are() {
        for (bit, name) in HARMLESS {
            assert_eq!(NAMES[bit as usize], name);
        }
    }
}
