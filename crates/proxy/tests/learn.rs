//! From a run in `observe` to a whitelist that allows that run and nothing else.

use std::path::PathBuf;

use agentnet_policy::BuiltinPresets;
use agentnet_policy::learn::{Learner, Options};
use tempfile::TempDir;

use crate::harness::{Exited, Origin, Program, Proxy, World, within};

/// Files of a test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn add(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

async fn run(arguments: &[&str]) -> Exited {
    let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
    let task = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Program::run(&arguments, &[])
    });
    within("the program", task).await.unwrap()
}

async fn internet(world: &World) -> (Origin, Origin) {
    let (page, echo) = (Origin::page().await, Origin::echo().await);
    world.site("deb.example", 80, page.address);
    world.site("other.example", 80, page.address);
    for name in ["pypi.example", "new.example", "gist.github.com"] {
        world.site(name, 443, echo.address);
    }
    world.site("ssh.example", 22, echo.address);
    world.name("inside.example", &["10.0.0.7"]);
    world.road("9.8.7.6:443", echo.address);
    (page, echo)
}

/// The requests of a run, and what each was answered.
async fn requests(proxy: &Proxy) -> Vec<(&'static str, u16)> {
    let mut answers = Vec::new();
    for target in [
        "pypi.example:443",
        "gist.github.com:443",
        "ssh.example:22",
        "inside.example:443",
        "9.8.7.6:443",
        "gone.example:443",
    ] {
        let mut client = proxy.client().await;
        let answer = client.connect(target).await;
        if answer.status == 200 {
            client.send("hello").await;
            assert_eq!(client.read(5).await, b"hello");
        }
        answers.push((target, answer.status));
    }
    for url in [
        "http://deb.example/debian/dists/stable/Release",
        "http://deb.example/debian/pool/main/h/hello.deb?x=1",
    ] {
        answers.push((url, proxy.client().await.get(url).await.status));
    }
    answers
}

#[tokio::test]
async fn what_a_run_in_observe_needed_is_what_enforce_allows_afterwards() {
    let watching = Proxy::with("").settings(|raw| raw.mode = Some("observe".to_owned()));
    let watching = watching.start().await;
    let _origins = internet(&watching.world).await;
    let seen = requests(&watching).await;
    assert_eq!(
        seen,
        [
            ("pypi.example:443", 200),
            ("gist.github.com:443", 200),
            ("ssh.example:22", 200),
            ("inside.example:443", 403),
            ("9.8.7.6:443", 200),
            ("gone.example:443", 502),
            ("http://deb.example/debian/dists/stable/Release", 200),
            ("http://deb.example/debian/pool/main/h/hello.deb?x=1", 200),
        ]
    );
    // Four tunnels and two exchanges have ended.
    watching.closed(5).await;
    let files = Files::new();
    let log = files.add("events.log", watching.log());
    let ended = run(&["learn", &log]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let learnt = files.add("learnt.txt", &ended.stdout);
    let checked = run(&["check", &learnt]).await;
    assert_eq!(checked.stdout, "ok: 4 rules\n", "{}", ended.stdout);
    assert_eq!(checked.code, Some(0));
    let pypi = ended
        .stdout
        .lines()
        .find(|line| line.starts_with("pypi.example:443"));
    assert!(
        pypi.unwrap().contains("1 request, 5 B up, 5 B down, "),
        "{pypi:?}"
    );
    assert!(
        ended.stdout.contains("deb.example:80 GET /debian/**"),
        "{}",
        ended.stdout
    );
    assert!(
        ended
            .stderr
            .contains("warning: gist.github.com: serves or takes"),
        "{}",
        ended.stderr
    );

    let enforcing = Proxy::start(&ended.stdout).await;
    let _origins = internet(&enforcing.world).await;
    for (request, status) in requests(&enforcing).await {
        let expected = match request {
            // Addresses and what was never reached have no line.
            "9.8.7.6:443" | "inside.example:443" | "gone.example:443" => 403,
            _ => 200,
        };
        assert_eq!(status, expected, "{request}");
    }
    for (target, reason) in [
        ("new.example:443", "not_listed"),
        ("www.pypi.example:443", "not_listed"),
        ("pypi.example:8443", "port_not_listed"),
        ("deb.example:443", "port_not_listed"),
        ("deb.example:80", "method_not_listed"),
    ] {
        let answer = enforcing.client().await.connect(target).await;
        assert_eq!(answer.reason(), reason, "{target}");
    }
    for (url, reason) in [
        ("http://other.example/", "not_listed"),
        ("http://deb.example/other", "path_not_listed"),
        ("http://pypi.example/", "port_not_listed"),
    ] {
        assert_eq!(
            enforcing.client().await.get(url).await.reason(),
            reason,
            "{url}"
        );
    }
    assert!(
        enforcing
            .world
            .asked()
            .iter()
            .all(|name| name != "new.example")
    );
}

#[tokio::test]
async fn refused_requests_are_proposed_only_when_asked_for() {
    let proxy = Proxy::start("").await;
    let answer = proxy.client().await.connect("new.example:443").await;
    assert_eq!(answer.reason(), "not_listed");
    proxy.decision(0).await;
    let learn = |include_refused| {
        let mut learner = Learner::new(Options {
            include_refused,
            ..Options::default()
        });
        proxy.events().iter().for_each(|event| learner.see(event));
        learner.propose()
    };
    assert!(learn(false).is_empty());
    let text = learn(true).whitelist(&BuiltinPresets);
    assert!(text.contains("\nnew.example:443 # 1 request"), "{text}");
}

const EVENT: &str = r#"{"v":1,"time":"2026-11-20T22:00:00Z","id":"7","event":"decision","listener":"default","client":"","protocol":"connect","method":"CONNECT","host":"pypi.org","port":443,"verdict":"allow","reason":"allowed","status":200,"up":0,"down":0,"ms":1}"#;

#[tokio::test]
async fn a_log_may_have_other_text_in_it_and_end_in_the_middle() {
    let files = Files::new();
    let (start, _) = EVENT.split_at(100);
    let version = EVENT.replace("\"v\":1", "\"v\":2");
    let long = "x".repeat(100_000);
    let text =
        format!("starting up\n\n{EVENT}\n\u{1b}[2J{{\n{version}\n{long}\n{EVENT}\r\n{start}");
    let log = files.add("mixed.log", text);
    let ended = run(&["learn", &log]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("pypi.org:443 # 2 requests"),
        "{}",
        ended.stdout
    );
    for said in [
        "mixed.log: 4 lines are no event of version 1 and are passed over, the first is line 1",
        "mixed.log: the last line is not whole",
        "the names were chosen by whoever made the requests",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    // A whole event without its line end counts.
    let log = files.add("whole.log", EVENT);
    assert!(run(&["learn", &log]).await.stdout.contains("1 request,"));
    let nothing = files.add("text.log", "no\nevents\n");
    let ended = run(&["learn", &nothing]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(
        ended.stderr.contains("there is no event"),
        "{}",
        ended.stderr
    );
    let ended = run(&["learn", "/nowhere/x.log"]).await;
    assert_eq!(ended.code, Some(2));
}

#[tokio::test]
async fn a_log_may_come_by_stdin() {
    let files = Files::new();
    let log = files.add("events.log", format!("{EVENT}\n{EVENT}\n"));
    let task = tokio::task::spawn_blocking(move || {
        std::process::Command::new(env!("CARGO_BIN_EXE_agentnet-proxy"))
            .env_clear()
            .args(["learn", "-"])
            .stdin(std::fs::File::open(log).unwrap())
            .output()
            .unwrap()
    });
    let output = within("the program", task).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.contains("pypi.org:443 # 2 requests,"),
        "{text}"
    );
}

#[tokio::test]
async fn a_diff_against_the_whitelist_in_use_takes_its_presets_from_the_directory() {
    let files = Files::new();
    let log = files.add("events.log", format!("{EVENT}\n"));
    let whitelist = files.add("project.txt", "@ours\nold.example:443\n");
    std::fs::create_dir(files.0.path().join("presets")).unwrap();
    files.add("presets/ours.txt", "mirror.example:443\n");
    let presets = files.0.path().join("presets").display().to_string();
    let arguments = [
        "learn",
        "--presets",
        &presets,
        "--whitelist",
        &whitelist,
        &log,
    ];
    let ended = run(&arguments).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let hunk = format!(
        "\n--- {whitelist}\n+++ {whitelist}\n@@ -1,2 +1,1 @@\n-@ours\n-old.example:443\n+pypi.org:443 # 1 request"
    );
    assert!(ended.stdout.contains(&hunk), "{}", ended.stdout);
    let broken = files.add("broken.txt", "*\n");
    let ended = run(&["learn", "--whitelist", &broken, &log]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("broken.txt:1: "), "{}", ended.stderr);
}
