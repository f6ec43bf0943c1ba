//! Datagrams straight out: UDP and ICMP.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use socket2::Protocol;

use crate::attempt::{Attempt, End, Lies, fold, judge};
use crate::datagram::{PUBLIC, echo, exchange};
use crate::expectation::{Expectation, Fence};
use crate::report::{Finding, Outcome, Row};
use crate::row_id::RowId;
use crate::shape::OPEN;

/// Name service, time, and HTTP/3.
const PORTS: [u16; 3] = [53, 123, 443];
/// A datagram that leaves is a leak whether anybody answers or not, so the wait is short.
const WINDOW: Duration = Duration::from_millis(50);

/// Both rows.
pub(crate) fn rows(expectation: &Expectation) -> Vec<Row> {
    let start = Instant::now();
    let what = "UDP 53, 123, 443 to 3 public addresses";
    let udp = Row::since(start, RowId::DirectUdp, what, udp(expectation));
    let start = Instant::now();
    let what = "ICMP echo to 3 public addresses";
    vec![
        udp,
        Row::since(start, RowId::DirectIcmp, what, icmp(expectation)),
    ]
}

const ADVICE: &str = "datagrams leave this container without the proxy; the network has a gateway";

/// UDP to public addresses.
fn udp(expectation: &Expectation) -> Finding {
    if expectation.fence == Fence::Open {
        return Finding::skipped(OPEN);
    }
    let targets = PUBLIC
        .iter()
        .flat_map(|ip| PORTS.map(|port| SocketAddr::new(*ip, port)));
    let tried: Vec<_> = targets
        .map(|to| {
            let done = exchange(to, Protocol::UDP, &[0], WINDOW, |_| true);
            let (outcome, detail) = judge(done.attempt, Lies::Elsewhere);
            (format!("UDP {to}"), outcome, detail)
        })
        .collect();
    fold(&tried, ADVICE)
}

/// ICMP echo to public addresses, over ping sockets: what `ping` uses without privileges.
fn icmp(expectation: &Expectation) -> Finding {
    if expectation.fence == Fence::Open {
        return Finding::skipped(OPEN);
    }
    let tried: Vec<_> = PUBLIC.iter().map(|ip| ping(*ip)).collect();
    fold(&tried, ADVICE)
}

fn ping(ip: IpAddr) -> (String, Outcome, String) {
    let (to, protocol, request) = echo(ip);
    let done = exchange(to, protocol, &request, WINDOW, |_| true);
    let unknown = Attempt {
        end: End::Failed(Errno::PROTONOSUPPORT),
        at_once: true,
    };
    let (outcome, detail) = match done.attempt {
        attempt if attempt == unknown => {
            (Outcome::Sealed, "the kernel has no ping sockets".to_owned())
        }
        attempt => judge(attempt, Lies::Elsewhere),
    };
    (format!("ping {ip}"), outcome, detail)
}
