//! A thousand reloads under two thousand requests a second.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_policy::event::{Moment, Word};
use agentnet_policy::{Event, Reason};
use tokio::time::{MissedTickBehavior, interval};

use crate::harness::{Client, Origin, Proxy};
use crate::load::{ALONE, Load};

const RELOADS: u32 = 1000;
/// Between two reloads.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two requests of one client: 24 of them make 2,000 requests a second.
const PACE: Duration = Duration::from_millis(12);
/// Tunnels that are open when a policy ends them, and how often.
const TUNNELS: usize = 10;
const EVERY: u32 = 100;

/// The two policies say different things of the same hosts, on different lines, with different words.
const A: &str = "both.example raw # A\nswap.example raw # A\nlast.example raw # A\n";
const B: &str =
    "\nlast.example deny # B\n\nswap.example deny quiet # B\n\nboth.example:80,443 raw # B\n";

/// Line and comment of the one rule that decides about a host, by policy, and whether it lets pass.
fn rule(policy: &str, host: &str) -> (u32, bool) {
    let place = policy.lines().position(|line| line.starts_with(host));
    let place = place.unwrap();
    let line = policy.lines().nth(place).unwrap();
    (u32::try_from(place).unwrap() + 1, !line.contains("deny"))
}

/// Which policy decided; panics if it was neither of them, or a little of both.
fn decided_by(event: &Event) -> &'static str {
    let rule_line = event
        .rule
        .as_ref()
        .expect("a line decides about every host");
    let comment = rule_line.comment.as_ref().unwrap().as_str();
    let policy = match comment {
        "A" => A,
        "B" => B,
        other => panic!("{other}"),
    };
    let (line, passes) = rule(policy, event.host.as_str());
    let words = policy.lines().nth(line as usize - 1).unwrap();
    let (words, _) = words.split_once(" #").unwrap();
    assert_eq!(
        (rule_line.line, rule_line.text.as_str()),
        (line, words),
        "{event:?}"
    );
    let expected = if passes {
        (Word::Allow, Reason::Allowed)
    } else {
        (Word::Deny, Reason::RuleDenied)
    };
    assert_eq!((event.verdict, event.reason), expected, "{event:?}");
    assert_eq!(event.quiet, words.contains("quiet"), "{event:?}");
    policy
}

async fn plain(proxy: Arc<Proxy>, mut client: Client) -> (Arc<Proxy>, Client) {
    let answer = client.get("http://both.example/").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "hello"),
        "{}",
        answer.head
    );
    (proxy, client)
}

async fn tunnel(proxy: Arc<Proxy>) -> Arc<Proxy> {
    let mut client = proxy.tunnel("both.example:443").await;
    client.send("0123456789").await;
    assert_eq!(client.read(10).await, b"0123456789");
    client.finish().await;
    assert_eq!(client.rest().await, b"");
    proxy
}

async fn swapped(proxy: Arc<Proxy>) -> Arc<Proxy> {
    let mut client = proxy.client().await;
    let answer = client.connect("swap.example:443").await;
    match answer.status {
        200 => {}
        403 => {
            assert_eq!(answer.reason(), "rule_denied");
            let body: serde_json::Value =
                serde_json::from_str(answer.text().lines().next().unwrap()).unwrap();
            let (line, _) = rule(B, "swap.example");
            assert_eq!(body["rule"]["line"], line, "{body}");
            assert_eq!(body["rule"]["comment"], "B", "{body}");
        }
        other => panic!("{other}: {}", answer.head),
    }
    proxy
}

/// Opens tunnels that only A allows.
async fn open_tunnels(proxy: &Proxy) -> Vec<Client> {
    let mut tunnels = Vec::new();
    for _ in 0..TUNNELS {
        let mut client = proxy.tunnel("last.example:443").await;
        client.send("x").await;
        assert_eq!(client.read(1).await, b"x");
        tunnels.push(client);
    }
    tunnels
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_fail_no_request_and_mix_no_policies() {
    let _alone = ALONE.lock().await;
    let (page, echo) = (Origin::page().await, Origin::echo().await);
    let start = Proxy::with(A).settings(|raw| raw.rescan_seconds = Some(60));
    let proxy = Arc::new(start.start().await);
    proxy.world.site("both.example", 80, page.address);
    for host in ["both.example", "swap.example", "last.example"] {
        proxy.world.site(host, 443, echo.address);
    }
    let mut load = Load::new();
    for _ in 0..18 {
        let state = (Arc::clone(&proxy), proxy.client().await);
        load.client(PACE, state, |(proxy, client)| plain(proxy, client));
    }
    for _ in 0..3 {
        load.client(PACE, Arc::clone(&proxy), tunnel);
        load.client(PACE, Arc::clone(&proxy), swapped);
    }
    let mut clock = interval(PAUSE);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut slowest = Duration::ZERO;
    for number in 1..=RELOADS {
        let tunnels = if number % EVERY == 1 {
            open_tunnels(&proxy).await
        } else {
            Vec::new()
        };
        let next = if number % 2 == 1 { B } else { A };
        proxy.write("project.txt", next);
        let asked = Instant::now();
        proxy.reload().await;
        for mut tunnel in tunnels {
            tunnel.rest_or_reset().await;
            slowest = slowest.max(asked.elapsed());
        }
        // What begins after the reload is decided by the policy that it brought.
        let expected = if next == A { 200 } else { 403 };
        let answer = proxy.client().await.connect("last.example:443").await;
        assert_eq!(answer.status, expected, "reload {number}: {}", answer.head);
        clock.tick().await;
    }
    let done = load.end().await;
    // Past the capture of the test runner: the figures are what this is for.
    let said = format!(
        "{RELOADS} reloads during {} requests in {:.1} s: {:.0} requests and {:.0} reloads a second; \
         tunnels closed within {} ms\n",
        done.requests,
        done.took.as_secs_f64(),
        done.a_second(),
        f64::from(RELOADS) / done.took.as_secs_f64(),
        slowest.as_millis(),
    );
    std::io::stderr().write_all(said.as_bytes()).unwrap();
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let success = "policy_reloads_total{outcome=\"success\"}";
    let reloads = proxy.metric(success).await.unwrap();
    assert!(reloads >= f64::from(RELOADS), "{reloads}");
    let events = proxy.events();
    let decisions = events
        .iter()
        .filter(|event| event.event == Moment::Decision);
    let by_a = decisions
        .clone()
        .filter(|event| decided_by(event) == A)
        .count();
    let by_b = decisions.count() - by_a;
    assert!(by_a > 1000 && by_b > 1000, "{by_a} by A, {by_b} by B");
}
