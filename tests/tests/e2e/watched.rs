//! What a task does, wants and costs: seen from outside, with a key that opens what it wants.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::engine::Engine;
use agentnet_e2e::on_engines;
use agentnet_e2e::origin::{ALLOWED, Origin, UNLISTED, whitelist};
use agentnet_e2e::pty::{self, Pty};
use agentnet_e2e::wait::until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

fn curl(engine: &Engine, agent: &str, environment: &str, host: &str) -> String {
    let curl = "curl --silent --show-error --include --insecure --max-time 10";
    let script = format!("{environment} {curl} https://{host}/hello 2>&1");
    engine.shell(agent, &script).stdout
}

fn json(checkout: &Checkout<'_>, words: &[&str]) -> Value {
    let text = checkout.agentnet(words).expect();
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"))
}

/// A refused host, a program that passes the proxy by, one that was started without its variables, and
/// settings that win over them.
fn wants_much(engine: &Engine, agent: &str) {
    let refused = curl(engine, agent, "", UNLISTED);
    assert!(refused.contains("403"), "{refused}");
    let around = "env -u https_proxy -u HTTPS_PROXY -u http_proxy -u HTTP_PROXY";
    let unresolved = curl(engine, agent, around, UNLISTED);
    assert!(unresolved.contains("Could not resolve"), "{unresolved}");
    engine
        .shell(
            agent,
            "printf 'noproxy = \"*\"\\n' >$HOME/.curlrc; env -i sleep 1000 >/dev/null 2>&1 &",
        )
        .expect();
}

fn is_diagnosed(checkout: &Checkout<'_>) {
    let found = until("the program without the variables", PATIENCE, || {
        let found = json(checkout, &["doctor", "t", "--json"]);
        let programs = found["programs"].as_array()?;
        programs
            .iter()
            .any(|p| p["name"] == "sleep")
            .then_some(found)
    });
    let blocked = found["blocked"].as_array().unwrap();
    let host = blocked.iter().find(|b| b["host"] == UNLISTED).unwrap();
    let ways: Vec<_> = host["ways"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| &w[0])
        .collect();
    assert!(ways.contains(&&Value::from("proxy")), "{host}");
    assert!(ways.contains(&&Value::from("dns")), "{host}");
    let agents = host["agents"][0].as_str().unwrap();
    assert!(agents.starts_with("curl/"), "{host}");
    assert_eq!(found["overrides"][0]["file"], "~/.curlrc", "{found}");
    assert_eq!(found["problems"].as_array().unwrap().len(), 0, "{found}");

    let text = checkout.agentnet(&["doctor", "t"]).expect();
    for words in [
        UNLISTED,
        "agentnet allow t unlisted",
        "sleep",
        "https_proxy",
        "~/.curlrc:1: noproxy *",
    ] {
        assert!(text.contains(words), "{words:?}: {text}");
    }
}

fn costs_something(checkout: &Checkout<'_>) {
    let status = json(checkout, &["status", "t", "--json"]);
    let stats = &status["stats"];
    assert_eq!(stats["state"], "up", "{status}");
    let agent = &stats["agent"];
    assert!(agent["memory"].as_u64() > Some(0), "{status}");
    assert!(
        agent["memory_limit"].as_u64() > agent["memory"].as_u64(),
        "{status}"
    );
    assert!(agent["pids"].as_u64() >= Some(1), "{status}");
    assert!(agent["cpu_percent"].is_number(), "{status}");
    assert!(stats["traffic"]["denied"].as_u64() >= Some(1), "{status}");
    let denial = &stats["denials"][0];
    assert_eq!(denial["target"], format!("{UNLISTED}:443"), "{status}");
    let listed = json(checkout, &["ls", "--json"]);
    assert_eq!(listed["tasks"][0]["state"], "up", "{listed}");
    assert_eq!(
        listed["tasks"][0]["traffic"]["denied"], stats["traffic"]["denied"],
        "{listed}"
    );
}

/// Lines, without a terminal; and SIGTERM ends them.
fn is_told_in_lines(checkout: &Checkout<'_>) {
    let mut command = checkout.command(&["watch", "t", "--plain", "--tail", "100"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // It stays open: a reader that leaves ends the program as well.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = lines.by_ref().map_while(Result::ok);
    let line = told.find(|line| line.contains(UNLISTED)).unwrap();
    assert!(
        line.contains(&format!("/t REFUSED {UNLISTED}:443 not_listed (")),
        "{line}"
    );
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// What the person refused by hand, a key opens again, and the retry gets through.
fn is_opened_by_a_key(checkout: &Checkout<'_>, engine: &Engine, agent: &str) {
    let mut screen = Pty::start(checkout.command(&["watch", "t"]));
    screen.shows(&format!("{UNLISTED}:443"));
    // The settings in ~/.curlrc stay out of this.
    let get = || {
        engine.shell(
            agent,
            &format!("curl --disable -sik https://{ALLOWED}/hello; true"),
        )
    };
    checkout.agentnet(&["deny", "t", ALLOWED]).expect();
    let refused = get();
    assert!(refused.stdout.contains("rule_denied"), "{refused}");
    screen.shows(&format!("  {ALLOWED}:443"));

    // Nothing is chosen yet, so the key does nothing.
    screen.press("a");
    screen.shows("choose a host with the arrows first");
    screen.press("\u{1b}[B");
    screen.shows(&format!("> {ALLOWED}:443"));
    screen.press("a");
    screen.shows(&format!("wrote the line `{ALLOWED}`"));
    screen.shows("allowed now");
    let retry = get();
    assert!(retry.stdout.contains("hello from the origin"), "{retry}");
    screen.shows(&format!("allowed {ALLOWED}:443"));

    screen.resize(60, 12);
    screen.press("q");
    assert_eq!(screen.ends().code(), Some(0));
    assert!(screen.is_as_before(), "{:?}", screen.drawn());

    let mut screen = Pty::start(checkout.command(&["watch"]));
    screen.shows("did not get through");
    screen.signal(Signal::TERM);
    assert_eq!(screen.ends().code(), Some(130));
    assert!(screen.is_as_before(), "{:?}", screen.drawn());
}

fn is_seen(engine: &Engine, fence: &str) {
    let checkout = Checkout::new(engine, Some(fence), &whitelist());
    checkout.agentnet(&["up", "t"]).expect();
    let _origin = Origin::start(engine, &checkout.network("t", "egress"));
    let agent = checkout.container("t", "agent");
    wants_much(engine, &agent);
    is_diagnosed(&checkout);
    costs_something(&checkout);
    is_told_in_lines(&checkout);
    is_opened_by_a_key(&checkout, engine, &agent);
}

on_engines! {
    [isolating] fn what_a_task_behind_a_network_fence_wants_is_seen_and_opened_by_a_key(engine) {
        is_seen(engine, "network");
    }

    [current] fn what_a_task_behind_a_socket_fence_wants_is_seen_and_opened_by_a_key(engine) {
        is_seen(engine, "socket");
    }
}

#[test]
fn a_picture_is_what_the_last_words_left() {
    let drawn = "shell\u{1b}[2J\u{1b}[1;1Habc\u{1b}[38;5;1m\u{1b}[2;3Hx\u{1b}[1;2HB\u{1b}[?25l";
    assert_eq!(pty::picture(drawn), "aBc\n  x\n");
}
