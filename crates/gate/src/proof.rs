//! One proof: which rows run, in which order, with how much patience.

use std::io;
use std::path::Path;
use std::thread::{self, Builder, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::answer;
use crate::behind;
use crate::capabilities::capabilities;
use crate::confinement::{self, Status};
use crate::expectation::{Expectation, Fence};
use crate::link;
use crate::names;
use crate::outside;
use crate::reach;
use crate::report::{Finding, Report, Row};
use crate::row_id::RowId;
use crate::shape;
use crate::snapshot::Snapshot;
use crate::straight;
use crate::vsock::vsock;

/// How long rows wait for answers that must not come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a TCP connection.
    connect: Duration,
    /// On the link, after the proxy has answered.
    settle: Duration,
    /// On the link, when the proxy does not.
    link: Duration,
    /// The link was asked by the gate a moment ago, so questions that are still out are its own.
    just_proven: bool,
}

impl Patience {
    /// Before a start: a neighbour on a bridge answers within microseconds, so a few milliseconds
    /// are plenty and nobody sees them.
    const QUICK: Self = Self {
        connect: Duration::from_millis(5),
        settle: Duration::from_millis(3),
        link: Duration::from_millis(20),
        just_proven: false,
    };

    /// For the table. Whoever has an address on a local bridge answers within the very call that
    /// asks (the packet crosses in softirq), so this is ample; and `up` waits for it each time.
    const FULL: Self = Self {
        connect: Duration::from_millis(60),
        settle: Duration::from_millis(30),
        link: Duration::from_millis(150),
        just_proven: false,
    };
}

/// For nameservers and the proxy, which may have somebody else to ask.
const CONVERSATION: Duration = Duration::from_secs(1);

/// The rows that run before every start.
pub(crate) fn quick(expectation: &Expectation) -> Report {
    let mut rows = process_rows();
    match Snapshot::take() {
        Ok(snapshot) => rows.extend(network_rows(expectation, &snapshot, Patience::QUICK)),
        Err(error) => rows.push(blind(&error)),
    }
    Report::new(expectation.fence, rows)
}

/// Every row. Those that wait wait at the same time, so that the table takes seconds, not minutes.
pub(crate) fn full(expectation: &Expectation, just_proven: bool) -> Report {
    let patience = Patience {
        just_proven,
        ..Patience::FULL
    };
    let window = CONVERSATION;
    let snapshot = Snapshot::take();
    let rows = thread::scope(|scope| {
        let mut workers = vec![
            Worker::start(Builder::new(), scope, || behind::rows(expectation, window)),
            Worker::start(Builder::new(), scope, || straight::rows(expectation)),
        ];
        let mut rows = process_rows();
        match &snapshot {
            Ok(snapshot) => {
                workers.push(Worker::start(Builder::new(), scope, || {
                    name_rows(expectation, snapshot, window)
                }));
                rows.extend(network_rows(expectation, snapshot, patience));
            }
            Err(error) => rows.push(blind(error)),
        }
        for worker in workers {
            rows.extend(worker.rows());
        }
        rows
    });
    Report::new(expectation.fence, rows)
}

/// Without the kernel's word on the network nothing about it is proven.
fn blind(error: &io::Error) -> Row {
    row(RowId::Interfaces, "netlink", || {
        Finding::broken(format!("the kernel does not show the network: {error}"))
    })
}

/// A part of the proof that runs beside others.
enum Worker<'scope> {
    Started(ScopedJoinHandle<'scope, Vec<Row>>),
    /// What the agent runs may have taken every process that the container may have.
    Refused(io::Error),
}

impl<'scope> Worker<'scope> {
    fn start(
        builder: Builder,
        scope: &'scope Scope<'scope, '_>,
        work: impl FnOnce() -> Vec<Row> + Send + 'scope,
    ) -> Worker<'scope> {
        match builder.spawn_scoped(scope, work) {
            Ok(handle) => Worker::Started(handle),
            Err(error) => Worker::Refused(error),
        }
    }

    fn rows(self) -> Vec<Row> {
        match self {
            Worker::Started(handle) => handle.join().unwrap_or_else(|_| vec![lost()]),
            Worker::Refused(error) => vec![row(RowId::ProxyAnswers, "", || {
                Finding::broken(format!(
                    "a part of the proof could not be started ({error}): the container is at its ceiling on processes \
                     or memory; end some of what runs in it, and try again"
                ))
            })],
        }
    }
}

/// A worker that fell over proves nothing.
fn lost() -> Row {
    row(RowId::ProxyAnswers, "", || {
        Finding::broken("a part of the proof ended unexpectedly")
    })
}

/// The rows about names, at the same time.
fn name_rows(expectation: &Expectation, snapshot: &Snapshot, window: Duration) -> Vec<Row> {
    let root = Path::new("/");
    let servers = names::nameservers(root);
    thread::scope(|scope| {
        let workers = [
            Worker::start(Builder::new(), scope, || {
                let what = format!("{} nameservers, asked for a public name", servers.len());
                vec![row(RowId::Nameservers, what, || {
                    names::must_not_resolve(expectation, snapshot, &servers, window)
                })]
            }),
            Worker::start(Builder::new(), scope, || {
                vec![row(
                    RowId::PublicDns,
                    "public resolvers over UDP and TCP",
                    || names::public_dns(expectation, snapshot, window),
                )]
            }),
            Worker::start(Builder::new(), scope, || {
                vec![row(
                    RowId::HostNames,
                    "host.docker.internal and its like",
                    || names::host_names(expectation, snapshot, root, window),
                )]
            }),
        ];
        workers.into_iter().flat_map(Worker::rows).collect()
    })
}

/// A row's timer and maker.
fn row(id: RowId, what: impl Into<String>, find: impl FnOnce() -> Finding) -> Row {
    let start = Instant::now();
    let finding = find();
    Row::since(start, id, what, finding)
}

fn process_rows() -> Vec<Row> {
    let root = Path::new("/");
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let status = Status::parse(&text);
    vec![
        row(RowId::Capabilities, "/proc/self/status", || {
            capabilities(&status)
        }),
        row(RowId::NoNewPrivs, "/proc/self/status", || {
            confinement::no_new_privs(&status)
        }),
        row(RowId::Seccomp, "/proc/self/status", || {
            confinement::seccomp(&status)
        }),
        row(
            RowId::RawSockets,
            "socket(AF_INET, SOCK_RAW)",
            confinement::raw_sockets,
        ),
        row(
            RowId::PacketSockets,
            "socket(AF_PACKET)",
            confinement::packet_sockets,
        ),
        row(RowId::Vsock, "socket(AF_VSOCK)", vsock),
        row(RowId::EngineSocket, "engines' sockets", || {
            outside::engine_socket(root)
        }),
        row(RowId::HostNamespaces, "/proc/self/ns", || {
            outside::host_namespaces(root)
        }),
    ]
}

fn network_rows(expectation: &Expectation, snapshot: &Snapshot, patience: Patience) -> Vec<Row> {
    let asking = Instant::now();
    let asked = (expectation.fence == Fence::Network).then(|| link::ask(expectation, snapshot));
    let mut rows = vec![
        row(RowId::Interfaces, "interfaces that are up", || {
            shape::interfaces(expectation, snapshot)
        }),
        row(RowId::Addresses, "own addresses", || {
            shape::addresses(expectation, snapshot)
        }),
        row(RowId::Routes, "every routing table", || {
            shape::routes(expectation, snapshot)
        }),
    ];
    rows.extend(reach::rows(expectation, snapshot, patience.connect));
    rows.extend(link_rows(
        expectation,
        snapshot,
        asked.as_ref(),
        patience,
        asking,
    ));
    rows
}

fn link_rows(
    expectation: &Expectation,
    snapshot: &Snapshot,
    asked: Option<&io::Result<link::Asked>>,
    patience: Patience,
    since: Instant,
) -> Vec<Row> {
    let whats = [
        (RowId::LinkIpv4, "who answers in our IPv4 subnet"),
        (RowId::LinkIpv6, "who answers over IPv6, fe80:: too"),
        (RowId::LinkHosts, "who answers for other networks"),
    ];
    let all = |finding: Finding| {
        whats
            .map(|(id, what)| Row::since(since, id, what, finding.clone()))
            .to_vec()
    };
    let Some(asked) = asked else {
        let why = match expectation.fence {
            Fence::Open => shape::OPEN,
            Fence::Network | Fence::Socket | Fence::None => "this fence has no link",
        };
        return all(Finding::skipped(why));
    };
    let Patience {
        settle,
        link,
        just_proven,
        ..
    } = patience;
    let heard = asked.as_ref().map_err(ToString::to_string);
    let heard = heard.and_then(|asked| {
        let answers = asked.answers(expectation, settle, link, just_proven);
        Ok((asked, answers.map_err(|error| error.to_string())?))
    });
    let (asked, answers) = match heard {
        Ok(heard) => heard,
        Err(error) => {
            return all(Finding::broken(format!(
                "the neighbour table is not readable: {error}"
            )));
        }
    };
    let findings = [
        answer::ipv4(expectation, snapshot, &answers),
        answer::ipv6(expectation, snapshot, asked, &answers),
        answer::hosts(expectation, asked, &answers),
    ];
    let pairs = whats.into_iter().zip(findings);
    pairs
        .map(|((id, what), finding)| Row::since(since, id, what, finding))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;

    #[test]
    fn a_part_that_cannot_be_started_is_no_proof_and_no_panic() {
        let rows = thread::scope(|scope| {
            // No address space has room for this stack.
            let builder = Builder::new().stack_size(1 << 60);
            Worker::start(builder, scope, Vec::new).rows()
        });
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].outcome, Outcome::Broken);
        assert!(
            rows[0].detail.contains("ceiling on processes"),
            "{:?}",
            rows[0]
        );
    }
}
