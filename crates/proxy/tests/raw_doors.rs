//! Doors of names: at the proxy's own socket, as a relay speaks to it, and through a relay.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use agentnet_policy::event::{Protocol, Word};
use agentnet_policy::{Event, Reason};
use agentnet_proxy::raw_doors::wire::{OPENING, Opening, Received, read_list};
use agentnet_proxy::settings::Raw;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::dns::{A, AAAA, NOERROR, NXDOMAIN, Stub, framed, query, unframed};
use crate::harness::{Client, Origin, Program, Proxy, eventually, hello, within};

/// A proxy with sockets for a relay.
struct Doors {
    proxy: Proxy,
    raw: PathBuf,
    dns: PathBuf,
    _directory: TempDir,
}

/// What a relay hears.
struct Told {
    stream: UnixStream,
    received: Vec<u8>,
}

impl Doors {
    async fn start(lines: &str) -> Self {
        Self::with(lines, |_| {}).await
    }

    async fn with(lines: &str, change: impl FnOnce(&mut Raw)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [raw, dns] = ["raw.sock", "dns.sock"].map(|name| directory.path().join(name));
        let settings = |settings: &mut Raw| {
            settings.raw_doors = vec![format!("unix:{}", raw.display())];
            settings.dns = vec![format!("unix:{}", dns.display())];
            settings.dns_address = vec!["127.128.0.1".to_owned()];
            change(settings);
        };
        Self {
            proxy: Proxy::with(lines).settings(settings).start().await,
            raw,
            dns,
            _directory: directory,
        }
    }

    async fn change(&self, lines: &str) {
        self.proxy.write("project.txt", lines);
        self.proxy.reload().await;
    }

    /// A relay's question where to listen.
    async fn told(&self) -> Told {
        let mut stream = UnixStream::connect(&self.raw).await.unwrap();
        stream.write_all(&Opening::List.bytes()).await.unwrap();
        Told {
            stream,
            received: Vec::new(),
        }
    }

    /// The address that a name has at the DNS.
    async fn address(&self, name: &str) -> Option<Ipv4Addr> {
        let mut stream = UnixStream::connect(&self.dns).await.unwrap();
        let query = query(name, A);
        let length = u16::try_from(query.len()).unwrap();
        stream.write_u16(length).await.unwrap();
        stream.write_all(&query).await.unwrap();
        let length = within("a length", stream.read_u16()).await.unwrap();
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await.unwrap();
        (answer[3] & 15 == NOERROR).then(|| {
            let octets: [u8; 4] = answer[answer.len() - 4..].try_into().unwrap();
            octets.into()
        })
    }

    /// A connection that came in at a name's door, as a relay brings it.
    async fn at(&self, name: &str, port: u16) -> Client {
        let address = self.address(name).await.unwrap();
        self.at_door(SocketAddrV4::new(address, port)).await
    }

    async fn at_door(&self, door: SocketAddrV4) -> Client {
        let mut client = Client::unix(&self.raw).await;
        client.send(Opening::Connection(door).bytes()).await;
        client
    }
}

impl Told {
    async fn next(&mut self) -> Vec<String> {
        loop {
            match read_list(&self.received) {
                Received::List(doors, length) => {
                    self.received.drain(..length);
                    return doors.iter().map(ToString::to_string).collect();
                }
                Received::Part => {
                    let read = self.stream.read_buf(&mut self.received);
                    assert_ne!(within("a list", read).await.unwrap(), 0);
                }
                Received::Wrong => panic!("{:?}", self.received),
            }
        }
    }
}

fn told(event: &Event) -> (Protocol, Word, Reason, String) {
    let host = format!("{}:{}", event.host, event.port);
    (event.protocol, event.verdict, event.reason, host)
}

#[tokio::test]
async fn a_relay_is_told_where_to_listen_and_again_when_that_changes() {
    let doors = Doors::start("git.example:22 raw\ntls.example\n").await;
    let git = doors.address("git.example").await.unwrap();
    let tls = doors.address("tls.example").await.unwrap();
    assert_eq!(tls, Ipv4Addr::new(127, 128, 0, 1));
    let mut told = doors.told().await;
    let at = |ports: &[u16]| {
        let text = |port: &u16| format!("{git}:{port}");
        ports.iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(told.next().await, at(&[22, 80, 443]));
    // A change that leaves the doors as they are is none.
    doors.change("git.example:22 raw\nother.example\n").await;
    doors.change("git.example:22,2222 raw\n").await;
    assert_eq!(told.next().await, at(&[22, 80, 443, 2222]));
    doors.change("").await;
    assert_eq!(told.next().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_name_has_its_address_at_the_dns_while_it_is_permitted() {
    let doors = Doors::start("git.example:22 raw\n*.wild.example:22 raw\n").await;
    let git = doors.address("git.example").await.unwrap();
    assert_eq!(git.octets()[..2], [127, 128]);
    assert_ne!(git.octets()[2], 0);
    // A name that no line writes out has the address of all.
    let wild = doors.address("a.wild.example").await.unwrap();
    assert_eq!(wild, Ipv4Addr::new(127, 128, 0, 1));
    assert_eq!(doors.address("evil.example").await, None);
    doors.change("git.example:22 raw\ngit.example deny\n").await;
    assert_eq!(doors.address("git.example").await, None);
    doors.change("git.example:22 raw\n").await;
    assert_eq!(doors.address("git.example").await, Some(git));
}

#[tokio::test]
async fn what_comes_to_a_door_is_carried_as_by_connect() {
    let origin = Origin::saying("SSH-2.0-server\r\n").await;
    let doors = Doors::start("git.example:22 raw # our forge\n").await;
    doors.proxy.world.site("git.example", 22, origin.address);
    let mut client = doors.at("git.example", 22).await;
    // The server speaks first.
    assert_eq!(client.read(16).await, b"SSH-2.0-server\r\n");
    client.finish().await;
    client.rest().await;
    let event = doors.proxy.decision(0).await;
    let target = "git.example:22".to_owned();
    assert_eq!(
        told(&event),
        (Protocol::Raw, Word::Allow, Reason::Allowed, target)
    );
    assert_eq!((event.method.as_str(), event.status), ("RAW", None));
    assert!(event.transparent);
    assert_eq!(event.rule.unwrap().comment.unwrap().as_str(), "our forge");
    let closed = doors.proxy.closed(0).await;
    assert_eq!((closed.up, closed.down), (0, 16));
    let series = "requests_total{listener=\"default\",protocol=\"raw\",reason=\"allowed\",verdict=\"allow\"}";
    assert_eq!(doors.proxy.metric(series).await, Some(1.0));
}

#[tokio::test]
async fn bytes_pass_both_ways_and_half_closes_too() {
    let origin = Origin::echo().await;
    let doors = Doors::start("db.example:5432 raw\n").await;
    doors.proxy.world.site("db.example", 5432, origin.address);
    let mut client = doors.at("db.example", 5432).await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    client.send(&bytes[..10]).await;
    assert_eq!(client.read(10).await, bytes[..10]);
    client.send(&bytes[10..]).await;
    assert_eq!(client.read(bytes.len() - 10).await, bytes[10..]);
    client.finish().await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_door_is_judged_like_a_connect_to_its_name_and_port() {
    let doors =
        Doors::start("git.example:22 raw\ndb.example:5432 raw\ngone.example:22 raw\n").await;
    doors.proxy.world.name("db.example", &["10.0.0.5"]);
    // Addresses that were given stay the names' own: who comes late is told why.
    let gone = doors.address("gone.example").await.unwrap();
    doors
        .change("git.example:22 raw\ndb.example:5432 raw\n")
        .await;
    for (nth, (mut client, verdict, reason, target)) in [
        (
            doors.at("git.example", 2222).await,
            Word::Deny,
            Reason::PortNotListed,
            "git.example:2222",
        ),
        (
            doors.at_door(SocketAddrV4::new(gone, 22)).await,
            Word::Deny,
            Reason::NotListed,
            "gone.example:22",
        ),
        (
            doors.at("db.example", 5432).await,
            Word::Deny,
            Reason::PrivateAddress,
            "db.example:5432",
        ),
        (
            doors.at("git.example", 22).await,
            Word::Allow,
            Reason::ResolveFailed,
            "git.example:22",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        client.finish_if_open().await;
        assert_eq!(client.rest_or_reset().await.0, b"", "{target}");
        let event = doors.proxy.decision(nth).await;
        let expected = (Protocol::Raw, verdict, reason, target.to_owned());
        assert_eq!(told(&event), expected);
        assert_eq!(event.status, None);
        let sentence = event.sentence.unwrap();
        assert!(sentence.as_str().contains(target), "{sentence}");
    }
    // What is not permitted is not looked up.
    assert_eq!(doors.proxy.world.asked(), ["db.example", "git.example"]);
    assert_eq!(doors.proxy.world.dialled(), 0);
}

#[tokio::test]
async fn a_name_with_a_door_has_its_web_there_as_well() {
    let echo = Origin::echo().await;
    let page = Origin::page().await;
    let doors = Doors::start("git.example:22 raw\ngit.example\nalone.example:22 raw\n").await;
    doors.proxy.world.site("git.example", 443, echo.address);
    doors.proxy.world.site("git.example", 80, page.address);
    let flight = hello("git.example");
    let mut client = doors.at("git.example", 443).await;
    client.send(&flight).await;
    assert_eq!(client.read(flight.len()).await, flight);
    let mut client = doors.at("git.example", 80).await;
    client
        .send("GET / HTTP/1.1\r\nHost: git.example\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 200);
    // Refused in the words of each.
    let mut client = doors.at("alone.example", 443).await;
    client.send(&hello("alone.example")).await;
    assert_eq!(client.read(7).await, [21, 3, 3, 0, 2, 2, 49]);
    let mut client = doors.at("alone.example", 80).await;
    client
        .send("GET / HTTP/1.1\r\nHost: alone.example\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.reason()), (403, "port_not_listed"));
    let mut client = doors.at("alone.example", 443).await;
    client.send("SSH-2.0-client\r\n").await;
    client.finish_if_open().await;
    client.rest_or_reset().await;
    assert_eq!(doors.proxy.decision(4).await.reason, Reason::NotTls);
}

#[tokio::test]
async fn with_raw_anything_is_spoken_on_the_ports_of_the_web() {
    let origin = Origin::saying("SSH-2.0-server\r\n").await;
    let doors = Doors::start("ssh.example:443 raw\n").await;
    doors.proxy.world.site("ssh.example", 443, origin.address);
    let mut client = doors.at("ssh.example", 443).await;
    assert_eq!(client.read(16).await, b"SSH-2.0-server\r\n");
    assert_eq!(doors.proxy.decision(0).await.protocol, Protocol::Raw);
}

#[tokio::test]
async fn a_tunnel_ends_with_the_line_that_allowed_it() {
    let origin = Origin::echo().await;
    let doors = Doors::start("git.example:22 raw\n").await;
    doors.proxy.world.site("git.example", 22, origin.address);
    let mut client = doors.at("git.example", 22).await;
    client.send("x").await;
    assert_eq!(client.read(1).await, b"x");
    doors.change("git.example:22 raw\ngit.example deny\n").await;
    client.rest_or_reset().await;
    assert_eq!(doors.proxy.closed(0).await.reason, Reason::PolicyChanged);
}

#[tokio::test]
async fn mode_observe_says_what_a_line_would_need() {
    let origin = Origin::saying("SSH-2.0-server\r\n").await;
    let observe = |raw: &mut Raw| raw.mode = Some("observe".to_owned());
    let doors = Doors::with("git.example:22 raw\n", observe).await;
    doors.proxy.world.site("git.example", 22, origin.address);
    let git = doors.address("git.example").await.unwrap();
    doors.change("").await;
    let mut client = doors.at_door(SocketAddrV4::new(git, 22)).await;
    assert_eq!(client.read(16).await, b"SSH-2.0-server\r\n");
    client.finish().await;
    client.rest().await;
    let event = doors.proxy.decision(0).await;
    assert_eq!(
        (event.verdict, event.reason),
        (Word::Report, Reason::NotListed)
    );
    assert_eq!(doors.proxy.closed(0).await.reason, Reason::NotTls);
}

#[tokio::test]
async fn what_no_relay_says_leads_nowhere() {
    let doors = Doors::start("git.example:22 raw\n").await;
    let git = doors.address("git.example").await.unwrap();
    let whole = Opening::Connection(SocketAddrV4::new(git, 22)).bytes();
    // Cut off at every byte.
    for cut in 0..OPENING {
        let mut client = Client::unix(&doors.raw).await;
        client.send(&whole[..cut]).await;
        client.finish().await;
        assert_eq!(client.rest_or_reset().await.0, b"");
    }
    let stranger = SocketAddrV4::new(Ipv4Addr::new(127, 128, 9, 9), 22);
    for bytes in [
        *b"CONNECT ",
        *b"GET / HT",
        Opening::Connection(stranger).bytes(),
        [b'A', b'C', 10, 0, 0, 1, 0, 22],
        [b'A', b'C', 127, 0, 0, 1, 0, 22],
    ] {
        let mut client = Client::unix(&doors.raw).await;
        client.send(bytes).await;
        client.finish_if_open().await;
        assert_eq!(client.rest_or_reset().await.0, b"", "{bytes:?}");
    }
    let cause = "connections_rejected_total{cause=\"bad_head\"}";
    let all = f64::from(u32::try_from(OPENING).unwrap()) + 5.0;
    assert_eq!(doors.proxy.metric(cause).await, Some(all));
    assert_eq!(doors.proxy.events(), []);
    assert_eq!(doors.proxy.world.dialled(), 0);
}

#[tokio::test]
async fn a_list_of_clients_counts_here_as_well() {
    let only = |raw: &mut Raw| raw.client = Some(vec!["10.9.9.0/24".to_owned()]);
    let doors = Doors::with("git.example:22 raw\n", only).await;
    let mut list = doors.told().await;
    let door: SocketAddrV4 = list.next().await[0].parse().unwrap();
    let mut client = doors.at_door(door).await;
    client.finish_if_open().await;
    client.rest_or_reset().await;
    let event = doors.proxy.decision(0).await;
    assert_eq!(event.reason, Reason::ClientNotAllowed);
    assert_eq!(event.protocol, Protocol::Raw);
}

/// A relay to the sockets of `doors`, which leaves `free` alone.
struct Relayed {
    relay: Program,
    dns: SocketAddr,
}

impl Relayed {
    async fn start(doors: &Doors, free: &[u16]) -> Self {
        let dns = format!("unix:{}", doors.dns.display());
        let raw = format!("unix:{}", doors.raw.display());
        let proxy = format!("127.0.0.1:0=unix:{}", doors.proxy.socket.display());
        let questions = format!("127.0.0.1:0={dns}");
        let mut words = vec![
            "relay",
            "--listen",
            &proxy,
            "--dns",
            &questions,
            "--raw-doors",
            &raw,
        ];
        let free: Vec<String> = free.iter().map(ToString::to_string).collect();
        words.extend(free.iter().flat_map(|port| ["--keep-free", port]));
        let relay = Program::start(&words, &[]);
        let dns = relay.says(&format!("relay to {dns} at ")).await;
        Self {
            dns: dns.parse().unwrap(),
            relay,
        }
    }

    /// Where a program would go for a name.
    async fn look_up(&self, name: &str) -> Option<Ipv4Addr> {
        let (rcode, answer) = Stub::new(self.dns).await.ask(name, A).await;
        let octets: [u8; 4] = answer[answer.len() - 4..].try_into().unwrap();
        (rcode == NOERROR).then(|| octets.into())
    }

    async fn connect(&self, name: &str, port: u16) -> Client {
        let address = self.look_up(name).await.unwrap();
        self.relay
            .says(&format!("relay to a name at {address}:{port}"))
            .await;
        Client::tcp((address, port).into()).await
    }

    fn worker(&self) -> Option<Pid> {
        let path = format!("/proc/{0}/task/{0}/children", self.relay.id());
        let children = std::fs::read_to_string(path).ok()?;
        Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
    }
}

/// A name that no other run of these tests on this machine has a door for, and a port that needs no
/// privilege.
fn own_name(test: &str) -> String {
    format!("{test}-{}.example", std::process::id())
}

const PORT: u16 = 40_022;

#[tokio::test]
async fn a_program_that_knows_nothing_of_proxies_gets_there_through_a_relay() {
    let origin = Origin::echo().await;
    let name = own_name("through");
    let doors = Doors::start(&format!("{name}:{PORT} raw\n")).await;
    doors.proxy.world.site(&name, PORT, origin.address);
    let relayed = Relayed::start(&doors, &[]).await;
    let mut client = relayed.connect(&name, PORT).await;
    client.send("plain bytes").await;
    assert_eq!(client.read(11).await, b"plain bytes");
    client.finish().await;
    assert_eq!(client.rest().await, b"");
    let stub = Stub::new(relayed.dns).await;
    let (rcode, answer) = stub.ask(&name, AAAA).await;
    assert_eq!((rcode, answer[7]), (NOERROR, 0));
}

#[tokio::test]
async fn doors_come_and_go_with_the_policy() {
    let origin = Origin::echo().await;
    let [old, new] = ["old", "new"].map(own_name);
    let doors = Doors::start(&format!("{old}:{PORT} raw\n")).await;
    doors.proxy.world.site(&new, PORT, origin.address);
    let relayed = Relayed::start(&doors, &[]).await;
    drop(relayed.connect(&old, PORT).await);
    let address = relayed.look_up(&old).await.unwrap();
    assert_eq!(relayed.look_up(&new).await, None);
    doors.change(&format!("{new}:{PORT} raw\n")).await;
    let mut client = relayed.connect(&new, PORT).await;
    client.send("x").await;
    assert_eq!(client.read(1).await, b"x");
    let closed = async {
        while TcpStream::connect((address, PORT)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within("the old door is closed", closed).await;
    assert_eq!(relayed.look_up(&old).await, None);
}

#[tokio::test]
async fn ports_of_the_tasks_own_have_no_door_and_what_is_taken_is_tried_again() {
    let name = own_name("free");
    let taken = own_name("taken");
    let lines = format!("{name}:{PORT},40023 raw\n{taken}:40024 raw\n");
    let doors = Doors::start(&lines).await;
    let door = doors.address(&taken).await.unwrap();
    let held = std::net::TcpListener::bind((door, 40_024)).unwrap();
    let relayed = Relayed::start(&doors, &[40_023]).await;
    drop(relayed.connect(&name, PORT).await);
    let address = relayed.look_up(&name).await.unwrap();
    assert!(TcpStream::connect((address, 40_023)).await.is_err());
    relayed
        .relay
        .says(&format!("no door at {door}:40024"))
        .await;
    drop(held);
    let mut client = relayed.connect(&taken, 40_024).await;
    client.finish_if_open().await;
    client.rest_or_reset().await;
    let event = doors.proxy.decision(1).await;
    assert_eq!(event.host.as_str(), taken);
}

#[tokio::test]
async fn doors_are_back_when_the_worker_or_the_proxy_was_away() {
    let origin = Origin::echo().await;
    let name = own_name("back");
    let mut doors = Doors::start(&format!("{name}:{PORT} raw\n")).await;
    doors.proxy.world.site(&name, PORT, origin.address);
    let relayed = Relayed::start(&doors, &[]).await;
    let mut client = relayed.connect(&name, PORT).await;
    client.send("x").await;
    assert_eq!(client.read(1).await, b"x");
    let address = relayed.look_up(&name).await.unwrap();
    let died = eventually("a worker", || relayed.worker()).await;
    kill_process(died, Signal::KILL).unwrap();
    client.rest_or_reset().await;
    let open = async {
        loop {
            if let Ok(stream) = TcpStream::connect((address, PORT)).await {
                return stream;
            }
            tokio::task::yield_now().await;
        }
    };
    let mut stream = within("the door", open).await;
    stream.write_all(b"y").await.unwrap();
    assert_eq!(within("an echo", stream.read_u8()).await.unwrap(), b'y');
    drop(stream);

    doors.proxy.drain(std::time::Duration::from_secs(5)).await;
    // The door is there, and what comes in is reset.
    let cut = async {
        let mut stream = TcpStream::connect((address, PORT)).await?;
        stream.read_u8().await
    };
    let cut = within("the end", cut).await.unwrap_err();
    assert_eq!(cut.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_flood_at_a_door_is_bounded_and_leaves_the_others_alone() {
    let origin = Origin::echo().await;
    let [flooded, other] = ["flooded", "other"].map(own_name);
    let lines = format!("{flooded}:{PORT} raw\n{other}:{PORT} raw\n");
    let few = |raw: &mut Raw| raw.max_connections = Some(8);
    let doors = Doors::with(&lines, few).await;
    for name in [&flooded, &other] {
        doors.proxy.world.site(name, PORT, origin.address);
    }
    let relayed = Relayed::start(&doors, &[]).await;
    drop(relayed.connect(&flooded, PORT).await);
    let address = relayed.look_up(&flooded).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..50 {
        held.push(Client::tcp((address, PORT).into()).await);
    }
    let cause = "connections_rejected_total{cause=\"too_many_connections\"}";
    let refused = async {
        while doors.proxy.metric(cause).await == Some(0.0) {
            tokio::task::yield_now().await;
        }
    };
    within("the limit", refused).await;
    drop(held);
    let echoed = async {
        loop {
            let mut client = relayed.connect(&other, PORT).await;
            if client.try_send("x").await && client.byte().await == Some(b'x') {
                return;
            }
        }
    };
    within("another name's door", echoed).await;
}

#[tokio::test]
async fn questions_on_connections_give_the_same_address() {
    let name = own_name("framed");
    let doors = Doors::start(&format!("{name}:{PORT} raw\n")).await;
    let relayed = Relayed::start(&doors, &[]).await;
    let address = relayed.look_up(&name).await.unwrap();
    let mut stream = TcpStream::connect(relayed.dns).await.unwrap();
    framed(&mut stream, &query(&name, A)).await;
    assert!(
        unframed(&mut stream)
            .await
            .unwrap()
            .ends_with(&address.octets())
    );
    framed(&mut stream, &query("evil.example", A)).await;
    assert_eq!(unframed(&mut stream).await.unwrap()[3] & 15, NXDOMAIN);
}
