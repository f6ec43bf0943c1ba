//! Whether anybody listens on a port: the health check of a service whose image brings none. Read from the kernel's
//! tables, so that the service sees no connection.

use std::collections::BTreeSet;
use std::fs;

/// Listening in the state column (tcp_states.h).
const LISTEN: &str = "0A";

/// The ports of these that nobody listens on.
pub(crate) fn missing(wanted: &[u16]) -> Vec<u16> {
    let mut there = BTreeSet::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        // Without IPv6 there is no second table.
        there.extend(ports(&fs::read_to_string(table).unwrap_or_default()));
    }
    let missing = wanted.iter().filter(|port| !there.contains(port));
    missing.copied().collect()
}

/// The listening ports of a table as proc_pid_net(5) has it: `sl local_address rem_address st …`.
fn ports(table: &str) -> impl Iterator<Item = u16> {
    table.lines().skip(1).filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (local, state) = (words.nth(1)?, words.nth(1)?);
        let port = local.rsplit(':').next()?;
        (state == LISTEN)
            .then(|| u16::from_str_radix(port, 16).ok())
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 00000000:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100007F:0050 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 3
";

    #[test]
    fn only_what_listens_counts() {
        assert_eq!(ports(TABLE).collect::<Vec<_>>(), [5432, 6379]);
        assert_eq!(ports("").count(), 0);
        assert_eq!(ports("sl\nno table at all\n").count(), 0);
    }

    #[test]
    fn a_listener_is_found_and_a_closed_port_is_not() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(missing(&[port]), [0; 0]);
        drop(listener);
        assert_eq!(missing(&[port]), [port]);
    }
}
