//! The table of decisions of the policy, over a real socket: what a request is answered, whether its
//! name was looked up, and where a connection was attempted.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use agentnet_policy::event::Word;
use serde::Deserialize;

use crate::harness::Proxy;

const TABLE: &str = include_str!("../../policy/tests/decisions.toml");

/// The rows of one whitelist.
#[derive(Deserialize)]
struct Group {
    name: String,
    whitelist: String,
    #[serde(default)]
    mode: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Table {
    group: Vec<Group>,
}

#[derive(Deserialize)]
struct Case {
    ask: String,
    is: String,
    #[serde(default)]
    reported: bool,
    resolves: Option<Vec<IpAddr>>,
    #[serde(default)]
    own: Vec<IpAddr>,
    #[serde(default)]
    listening: Vec<SocketAddr>,
    #[serde(default)]
    machine: Vec<IpAddr>,
}

impl Case {
    /// False for a row about another machine than that of these tests, and for one in which an address
    /// resolves to others.
    fn can_happen_here(&self) -> bool {
        let here = self.own.is_empty() && self.listening.is_empty() && self.machine.is_empty();
        here && (self.resolves.is_none() || address(&self.request().1).is_none())
    }

    /// The request, and the name in it if it is one.
    fn request(&self) -> (String, String) {
        let (method, target) = self.ask.split_once(' ').unwrap();
        let rest = target.strip_prefix("http://").unwrap_or(target);
        let authority = rest.split('/').next().unwrap();
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        (head, name)
    }
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

/// A public address to which nothing leads.
const PUBLIC: &str = "93.184.216.34";

#[tokio::test]
async fn every_row_of_the_policys_table_is_answered_as_it_says() {
    let table: Table = toml::from_str(TABLE).unwrap();
    let mut asked = 0;
    // Their clock is another one.
    let groups = table.group.iter();
    for group in groups.filter(|group| !group.name.contains("clock")) {
        let cases = group.cases.iter();
        let cases: Vec<&Case> = cases.filter(|case| case.can_happen_here()).collect();
        // A proxy remembers what a name led to.
        for cases in cases.chunk_by(|_, next| next.resolves.is_none()) {
            let mut proxy = start(group).await;
            for (nth, case) in cases.iter().enumerate() {
                row(&proxy, group, case, nth).await;
                asked += 1;
            }
            proxy.drain(Duration::ZERO).await;
        }
    }
    assert!(asked > 360, "{asked}");
}

async fn start(group: &Group) -> Proxy {
    let mode = (group.mode == "observe").then(|| group.mode.clone());
    let start = Proxy::with(&group.whitelist);
    start.settings(|raw| raw.mode = mode).start().await
}

/// `nth` of its proxy.
async fn row(proxy: &Proxy, group: &Group, case: &Case, nth: usize) {
    let world = &proxy.world;
    let what = format!("{}: {:?}", group.name, case.ask);
    let (head, name) = case.request();
    let resolves = case
        .resolves
        .clone()
        .unwrap_or_else(|| vec![PUBLIC.parse().unwrap()]);
    let texts: Vec<String> = resolves.iter().map(ToString::to_string).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    world.name(&name, &texts);
    let (dialled, looked_up) = (world.dialled(), world.asked().len());
    let mut client = proxy.client().await;
    client.send(&head).await;
    let answer = client.head().await;
    let passes = case.is == "allowed" || case.reported;
    let expected = match case.is.as_str() {
        // Refused before a policy sees it.
        _ if case.ask.starts_with("get ") => (405, "bad_request"),
        _ if case.ask.contains(['\\', '#']) => (400, "bad_request"),
        _ if passes => (502, "connect_failed"),
        "refused" => (400, "bad_request"),
        "resolve_failed" => (502, "resolve_failed"),
        reason => (403, reason),
    };
    // The proxy of these tests is itself at one of the loopback addresses.
    let said = match answer.reason() {
        "loop" if case.is == "private_address" => "private_address",
        said => said,
    };
    assert_eq!((answer.status, said), expected, "{what}");
    // Addresses are not looked up, and a name only once it is permitted.
    let questions = world.asked().split_off(looked_up);
    assert!(
        questions.iter().all(|question| *question == name),
        "{what}: {questions:?}"
    );
    if !passes && case.resolves.is_none() {
        assert_eq!(questions, [""; 0], "{what}");
    }
    let attempts = world.dialled_to().split_off(dialled);
    if passes {
        assert!(!attempts.is_empty(), "{what}");
        let host = address(&name).map_or(resolves, |address| vec![address]);
        let known = |address: &SocketAddr| host.contains(&address.ip());
        assert!(attempts.iter().all(known), "{what}: {attempts:?}");
    } else {
        assert_eq!(attempts, [], "{what}");
    }
    let verdict = match (passes || case.is == "resolve_failed", case.reported) {
        (_, true) => Word::Report,
        (true, false) => Word::Allow,
        (false, false) => Word::Deny,
    };
    assert_eq!(proxy.decision(nth).await.verdict, verdict, "{what}");
}
