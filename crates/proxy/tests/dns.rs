//! The DNS answerer, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use agentnet_policy::Reason;
use agentnet_policy::event::{Event, Protocol, Word};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::harness::{Proxy, within};

const LINES: &str = "github.com\n*.example.com\nquiet.example quiet deny\n";
pub(crate) const A: u16 = 1;
const TXT: u16 = 16;
pub(crate) const AAAA: u16 = 28;

pub(crate) const NOERROR: u8 = 0;
pub(crate) const NXDOMAIN: u8 = 3;

async fn start() -> Proxy {
    start_with(LINES, |_| {}).await
}

async fn start_with(lines: &str, change: impl FnOnce(&mut agentnet_proxy::settings::Raw)) -> Proxy {
    let settings = |raw: &mut agentnet_proxy::settings::Raw| {
        raw.dns = vec!["127.0.0.1:0".to_owned()];
        change(raw);
    };
    Proxy::with(lines).settings(settings).start().await
}

pub(crate) fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut query = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    query.extend_from_slice(&kind.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    query
}

/// A client of UDP.
pub(crate) struct Stub(UdpSocket);

impl Stub {
    pub(crate) async fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server).await.unwrap();
        Self(socket)
    }

    pub(crate) async fn send(&self, bytes: &[u8]) {
        self.0.send(bytes).await.unwrap();
    }

    pub(crate) async fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 2048];
        let length = within("an answer", self.0.recv(&mut buffer)).await.unwrap();
        buffer.truncate(length);
        buffer
    }

    /// What comes within a tenth of a second.
    pub(crate) async fn receive_soon(&self) -> Option<Vec<u8>> {
        timeout(Duration::from_millis(100), self.receive())
            .await
            .ok()
    }

    pub(crate) async fn ask(&self, name: &str, kind: u16) -> (u8, Vec<u8>) {
        self.send(&query(name, kind)).await;
        let answer = self.receive().await;
        (answer[3] & 15, answer)
    }
}

fn told(event: &Event) -> (Protocol, Word, Reason, &str, &str) {
    assert_eq!(event.protocol, Protocol::Dns);
    let (method, host) = (event.method.as_str(), event.host.as_str());
    (event.protocol, event.verdict, event.reason, method, host)
}

fn series(verdict: &str, reason: &str) -> String {
    format!(
        "requests_total{{listener=\"default\",protocol=\"dns\",reason=\"{reason}\",verdict=\"{verdict}\"}}"
    )
}

#[tokio::test]
async fn gives_permitted_names_the_address_that_was_asked_and_looks_nothing_up() {
    let proxy = start().await;
    let stub = Stub::new(proxy.dns()).await;
    for name in ["github.com", "GitHub.Com", "a.b.example.com"] {
        let (rcode, answer) = stub.ask(name, A).await;
        assert_eq!(rcode, NOERROR, "{name}");
        assert!(answer.ends_with(&[0, 0, 0, 5, 0, 4, 127, 0, 0, 1]));
        let (rcode, answer) = stub.ask(name, AAAA).await;
        assert_eq!((rcode, answer[7]), (NOERROR, 0));
    }
    let (rcode, _) = stub.ask("secret.evil.example", A).await;
    assert_eq!(rcode, NXDOMAIN);
    assert_eq!(proxy.world.asked(), Vec::<String>::new());
    assert_eq!(proxy.metric(&series("allow", "allowed")).await, Some(6.0));
    assert_eq!(proxy.metric(&series("deny", "not_listed")).await, Some(1.0));
    let event = proxy.decision(0).await;
    let expected = (
        Protocol::Dns,
        Word::Deny,
        Reason::NotListed,
        "A",
        "secret.evil.example",
    );
    assert_eq!(told(&event), expected);
    assert_eq!(
        (event.port, event.status, event.transparent),
        (443, None, true)
    );
    let sentence = event.sentence.unwrap();
    assert!(
        sentence.as_str().contains("`secret.evil.example:443`"),
        "{sentence}"
    );
    let blocked = "blocked_hosts_total{host=\"secret.evil.example\",listener=\"default\"}";
    assert_eq!(proxy.metric(blocked).await, Some(1.0));
}

#[tokio::test]
async fn gives_the_address_of_the_settings() {
    let said = |raw: &mut agentnet_proxy::settings::Raw| {
        raw.dns_address = vec!["127.128.0.1".to_owned(), "fd00::1".to_owned()];
    };
    let proxy = start_with(LINES, said).await;
    let stub = Stub::new(proxy.dns()).await;
    assert!(
        stub.ask("github.com", A)
            .await
            .1
            .ends_with(&[127, 128, 0, 1])
    );
    let (_, six) = stub.ask("github.com", AAAA).await;
    assert!(six.ends_with(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
}

#[tokio::test]
async fn mode_observe_answers_and_records_what_enforce_would_do() {
    let observe = |raw: &mut agentnet_proxy::settings::Raw| raw.mode = Some("observe".to_owned());
    let proxy = start_with(LINES, observe).await;
    let stub = Stub::new(proxy.dns()).await;
    assert_eq!(stub.ask("github.com", A).await.0, NOERROR);
    for _ in 0..2 {
        let (rcode, answer) = stub.ask("evil.example", A).await;
        assert_eq!(rcode, NOERROR);
        assert!(answer.ends_with(&[127, 0, 0, 1]));
    }
    stub.ask("quiet.example", A).await;
    // Nothing opens this one.
    assert_eq!(stub.ask("metadata.google.internal", A).await.0, NXDOMAIN);
    for (verdict, reason, count) in [
        ("allow", "allowed", 1.0),
        ("report", "not_listed", 2.0),
        ("report", "rule_denied", 1.0),
        ("deny", "private_address", 1.0),
    ] {
        let found = proxy.metric(&series(verdict, reason)).await;
        assert_eq!(found, Some(count), "{verdict} {reason}");
    }
    let event = proxy.decision(0).await;
    let expected = (
        Protocol::Dns,
        Word::Report,
        Reason::NotListed,
        "A",
        "evil.example",
    );
    assert_eq!(told(&event), expected);
    assert_eq!((event.port, event.sentence, event.rule), (443, None, None));
    assert_eq!(proxy.decision(1).await.reason, Reason::RuleDenied);
    assert_eq!(proxy.decision(2).await.verdict, Word::Deny);
    let blocked = "blocked_hosts_total{host=\"evil.example\",listener=\"default\"}";
    assert_eq!(proxy.metric(blocked).await, None);
}

#[tokio::test]
async fn follows_a_whitelist_that_changes() {
    let proxy = start().await;
    let stub = Stub::new(proxy.dns()).await;
    assert_eq!(stub.ask("new.example", A).await.0, NXDOMAIN);
    proxy.write("task.txt", "new.example\n");
    proxy.reload().await;
    assert_eq!(stub.ask("new.example", A).await.0, NOERROR);
    proxy.remove("task.txt");
    proxy.reload().await;
    assert_eq!(stub.ask("new.example", A).await.0, NXDOMAIN);
}

#[tokio::test]
async fn tells_a_question_once_and_counts_it_every_time() {
    let proxy = start().await;
    let stub = Stub::new(proxy.dns()).await;
    for _ in 0..5 {
        assert_eq!(stub.ask("evil.example", A).await.0, NXDOMAIN);
    }
    stub.ask("evil.example", TXT).await;
    stub.ask("quiet.example", A).await;
    assert_eq!(proxy.metric(&series("deny", "not_listed")).await, Some(6.0));
    assert_eq!(
        proxy.metric(&series("deny", "rule_denied")).await,
        Some(1.0)
    );
    let quiet = proxy.decision(2).await;
    assert_eq!((quiet.host.as_str(), quiet.quiet), ("quiet.example", true));
    let hits = "rule_hits_total{listener=\"default\",rule=\"quiet.example quiet deny\"}";
    assert_eq!(proxy.metric(hits).await, Some(1.0));
    let types: Vec<String> = proxy
        .events()
        .iter()
        .map(|event| event.method.to_string())
        .collect();
    assert_eq!(types, ["A", "TXT", "A"]);
}

#[tokio::test]
async fn a_flood_of_names_does_not_flood_the_log() {
    let proxy = start().await;
    let stub = Stub::new(proxy.dns()).await;
    for number in 0..500 {
        let (rcode, _) = stub.ask(&format!("secret{number}.evil.example"), A).await;
        assert_eq!(rcode, NXDOMAIN);
    }
    assert_eq!(
        proxy.metric(&series("deny", "not_listed")).await,
        Some(500.0)
    );
    proxy.decision(19).await;
    assert!(proxy.events().len() <= 60, "{}", proxy.events().len());
    let other = "blocked_hosts_total{host=\"other\",listener=\"default\"}";
    assert_eq!(proxy.metric(other).await, Some(300.0));
}

#[tokio::test]
async fn what_is_no_host_does_not_exist_and_what_is_no_question_is_not_answered() {
    let proxy = start().await;
    let stub = Stub::new(proxy.dns()).await;
    let mut hidden = query("evilXtest.example.com", A);
    hidden[12 + 5] = 0;
    stub.send(&hidden).await;
    assert_eq!(stub.receive().await[3] & 15, NXDOMAIN);
    let event = proxy.decision(0).await;
    assert_eq!((event.reason, event.port), (Reason::BadRequest, 0));
    assert_eq!(event.host.as_str(), "evil\\000test.example.com");

    let whole = query("github.com", A);
    for cut in 0..whole.len() {
        stub.send(&whole[..cut]).await;
    }
    stub.send(&[0xff; 1472]).await;
    let mut response = whole.clone();
    response[2] |= 0x80;
    stub.send(&response).await;
    // What is answered next is this, so none of those was.
    let (rcode, answer) = stub.ask("a.example.com", A).await;
    assert_eq!(rcode, NOERROR);
    assert_eq!(&answer[12..27], b"\x01a\x07example\x03com\0");
    let ignored = f64::from(u32::try_from(whole.len()).unwrap()) + 2.0;
    let bad = proxy.metric(&series("deny", "bad_request")).await;
    // An empty datagram is one as well.
    assert_eq!(bad, Some(ignored + 1.0));
}

pub(crate) async fn framed(stream: &mut TcpStream, query: &[u8]) {
    let length = u16::try_from(query.len()).unwrap().to_be_bytes();
    let frame = [length.as_slice(), query].concat();
    stream.write_all(&frame).await.unwrap();
}

pub(crate) async fn unframed(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = within("a length", stream.read_u16()).await.ok()?;
    let mut answer = vec![0; length.into()];
    within("an answer", stream.read_exact(&mut answer))
        .await
        .ok()?;
    Some(answer)
}

#[tokio::test]
async fn answers_several_questions_of_a_connection_however_they_are_cut() {
    let proxy = start().await;
    let mut stream = TcpStream::connect(proxy.dns()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for name in ["github.com", "evil.example"] {
        let query = query(name, A);
        let length = u16::try_from(query.len()).unwrap().to_be_bytes();
        for byte in length.into_iter().chain(query) {
            stream.write_all(&[byte]).await.unwrap();
        }
    }
    framed(&mut stream, &query("a.example.com", A)).await;
    let mut rcodes = Vec::new();
    for _ in 0..3 {
        rcodes.push(unframed(&mut stream).await.unwrap()[3] & 15);
    }
    assert_eq!(rcodes, [NOERROR, NXDOMAIN, NOERROR]);
}

#[tokio::test]
async fn closes_a_connection_that_asks_nothing_sensible() {
    let proxy = start().await;
    for frame in [
        vec![0xff; 65_537],
        vec![0, 0],
        vec![0, 5, 1, 2, 3, 4, 5],
        [[0x06, 0].as_slice(), &[0; 1536]].concat(),
    ] {
        let mut stream = TcpStream::connect(proxy.dns()).await.unwrap();
        // The other side may have closed before it was all written.
        stream.write_all(&frame).await.ok();
        assert_eq!(unframed(&mut stream).await, None);
    }
    let mut stream = TcpStream::connect(proxy.dns()).await.unwrap();
    framed(&mut stream, &query("github.com", A)).await;
    assert!(unframed(&mut stream).await.is_some());
}

#[tokio::test]
async fn keeps_a_bounded_number_of_connections_and_stays_there_for_datagrams() {
    let proxy = start().await;
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(proxy.dns()).await.unwrap();
        framed(&mut stream, &query("github.com", A)).await;
        assert!(unframed(&mut stream).await.is_some());
        held.push(stream);
    }
    let mut refused = TcpStream::connect(proxy.dns()).await.unwrap();
    assert_eq!(unframed(&mut refused).await, None);
    let stub = Stub::new(proxy.dns()).await;
    assert_eq!(stub.ask("github.com", A).await.0, NOERROR);
    let cause = "connections_rejected_total{cause=\"too_many_connections\"}";
    assert_eq!(proxy.metric(cause).await, Some(1.0));
}

#[tokio::test]
async fn clients_that_may_not_use_the_listener_are_refused() {
    let only = |raw: &mut agentnet_proxy::settings::Raw| {
        raw.client = Some(vec!["10.9.9.0/24".to_owned()]);
    };
    let proxy = start_with(LINES, only).await;
    let stub = Stub::new(proxy.dns()).await;
    let (rcode, answer) = stub.ask("github.com", A).await;
    assert_eq!((rcode, answer[7]), (5, 0));
    let refused = series("deny", "client_not_allowed");
    assert_eq!(proxy.metric(&refused).await, Some(1.0));
}

#[tokio::test]
async fn is_quiet_once_the_proxy_drains() {
    let mut proxy = start().await;
    let stub = Stub::new(proxy.dns()).await;
    assert_eq!(stub.ask("github.com", A).await.0, NOERROR);
    assert!(proxy.drain(Duration::from_secs(5)).await);
    // A closed port may answer with ICMP, which is an error here.
    stub.0.send(&query("github.com", A)).await.ok();
    let mut buffer = [0; 512];
    let answer = timeout(Duration::from_millis(100), stub.0.recv(&mut buffer)).await;
    assert!(!matches!(answer, Ok(Ok(_))));
}
