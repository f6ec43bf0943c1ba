//! The program from outside: arguments, settings, signals, exit codes.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, prlimit};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::harness::{Client, Origin, Program, eventually, within};

struct Files(TempDir);

impl Files {
    fn with(name: &str, text: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.add(name, text);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn add(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }
}

async fn serve(whitelist: &str, more: &[&str]) -> (Program, SocketAddr, String) {
    let base = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--whitelist",
        whitelist,
    ];
    let arguments: Vec<&str> = base.into_iter().chain(more.iter().copied()).collect();
    let program = Program::start(&arguments, &[]);
    let address = program.says("listener default at ").await.parse().unwrap();
    let admin = program.says("admin at ").await;
    (program, address, admin)
}

async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> crate::harness::Exited {
    let own = |text: &&str| (*text).to_owned();
    let arguments: Vec<String> = arguments.iter().map(own).collect();
    let environment: Vec<(String, String)> = environment
        .iter()
        .map(|(name, value)| (own(name), own(value)))
        .collect();
    let task = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Program::run(&arguments, &environment)
    });
    within("the program", task).await.unwrap()
}

#[tokio::test]
async fn checks_whitelists() {
    let files = Files::with("good.txt", "example.com\n*.example.org\n*.example.com\n");
    let good = files.path("good.txt").display().to_string();
    let ended = run(&["check", &good], &[]).await;
    assert_eq!(ended.code, Some(0));
    let warning = "good.txt:2: warning: \"*.example.org\" is not for example.org itself, and no other line is; write: **.example.org\nok: 3 rules\n";
    assert!(ended.stdout.ends_with(warning), "{}", ended.stdout);
    assert_eq!(ended.stdout.lines().count(), 2, "example.com has a line");
    let bad = files.add("bad.txt", "example.com\n*\n");
    let ended = run(&["check", &good, &bad], &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("bad.txt:2: "), "{}", ended.stdout);
    let ended = run(&["check", "/nowhere/x.txt"], &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .stdout
            .contains("/nowhere/x.txt: the file cannot be read"),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn explains_decisions() {
    let files = Files::with("w.txt", "api.example GET /v1/** # models\nexample.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let explain = async |method: &str, url: &str| {
        run(
            &[
                "explain",
                "--whitelist",
                &whitelist,
                "--method",
                method,
                url,
            ],
            &[],
        )
        .await
    };
    let ended = explain("GET", "https://example.com/any").await;
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains("w.txt:2"), "{}", ended.stdout);
    assert_eq!(
        explain("GET", "http://api.example/v1/x").await.code,
        Some(0)
    );
    let ended = explain("POST", "http://api.example/v1/x").await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stdout.contains("method_not_listed"),
        "{}",
        ended.stdout
    );
    assert_eq!(explain("GET", "https://u@example.com/").await.code, Some(2));
    let ended = explain("get", "http://api.example/v1/x").await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("in capitals"), "{}", ended.stderr);
}

#[tokio::test]
async fn explains_the_limit_that_lines_have_by_default() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let limit = async |more: &[&str], variables: &[(&str, &str)]| {
        let mut arguments = vec!["explain", "--whitelist", &whitelist, "example.com:443"];
        arguments.extend(more);
        let ended = run(&arguments, variables).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let (_, rest) = ended.stdout.split_once("at most ")?;
        Some(rest.split(' ').next()?.to_owned())
    };
    assert_eq!(limit(&[], &[]).await, None);
    let said = limit(&["--default-up", "20MB"], &[]).await;
    assert_eq!(said.as_deref(), Some("20000000"));
    let said = limit(&[], &[("AGENTNET_DEFAULT_UP", "5MB")]).await;
    assert_eq!(said.as_deref(), Some("5000000"));
    let toml = "default_up = \"1KB\"\n[[listener]]\nname = \"a\"\nlisten = [\"127.0.0.1:0\"]\n\
        [[listener]]\nname = \"b\"\nlisten = [\"127.0.0.1:0\"]\ndefault_up = \"2KB\"\n";
    let toml = files.add("two.toml", toml);
    assert_eq!(limit(&["-c", &toml], &[]).await.as_deref(), Some("1000"));
    let of_b = ["-c", &toml, "--listener", "b"];
    assert_eq!(limit(&of_b, &[]).await.as_deref(), Some("2000"));
    let conf = files.add("tinyproxy.conf", "Port 0\n");
    let both = [
        "explain",
        "--whitelist",
        &whitelist,
        "-c",
        &conf,
        "example.com:443",
    ];
    let ended = run(&both, &[]).await;
    assert_eq!(ended.code, Some(2));
    let says = "--whitelist: cannot be used beside a tinyproxy.conf";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
}

#[tokio::test]
async fn helps_with_the_settings_that_a_command_heeds_and_no_others() {
    for (command, heeded, others) in [
        (
            "check",
            &["--config", "--presets"][..],
            &["--admin", "--upstream", "--listen"][..],
        ),
        (
            "explain",
            &["--config", "--upstream", "--default-up"],
            &["--admin"],
        ),
        (
            "lint",
            &[],
            &["--config", "--presets", "--admin", "--upstream"],
        ),
        ("relay", &["--to"], &["--config", "--presets", "--admin"]),
        ("healthcheck", &["--admin", "--door"], &["--presets"]),
    ] {
        let ended = run(&[command, "--help"], &[]).await;
        assert_eq!(ended.code, Some(0), "{command}");
        for flag in heeded {
            assert!(ended.stdout.contains(flag), "{command}: {}", ended.stdout);
        }
        for flag in others {
            assert!(!ended.stdout.contains(flag), "{command}: {}", ended.stdout);
        }
    }
    let whole = run(&["--help"], &[]).await.stdout;
    for flag in [
        "--config",
        "--presets",
        "--admin",
        "--upstream",
        "--default-up",
    ] {
        assert!(whole.contains(flag), "{whole}");
    }
}

#[tokio::test]
async fn explains_which_way_a_request_would_go() {
    let files = Files::with("w.txt", "example.com\ngit.corp.example private\n");
    let whitelist = files.path("w.txt").display().to_string();
    let settings = files.add(
        "proxy.toml",
        "upstream = [\"socks5h://me:hunter2@tor.example:9050\"]\n\
         [[listener]]\nname = \"a\"\nlisten = [\"127.0.0.1:0\"]\n\
         [[listener]]\nname = \"b\"\nlisten = [\"127.0.0.1:0\"]\n\
         [[listener.upstream]]\nto = [\"**.corp.example\"]\nvia = \"none\"\n\
         [[listener.upstream]]\nvia = [\"http://a.example:3128\", \"http://b.example:3128\"]\n",
    );
    let explain = async |more: &[&str], variables: &[(&str, &str)], url: &str| {
        let mut arguments = vec!["explain", "--whitelist", &whitelist];
        arguments.extend(more);
        arguments.push(url);
        let ended = run(&arguments, variables).await;
        assert!(!ended.stdout.contains("hunter2"), "{}", ended.stdout);
        ended
    };
    let way = async |more: &[&str], variables: &[(&str, &str)], url: &str| {
        let ended = explain(more, variables, url).await;
        let line = ended
            .stdout
            .lines()
            .find(|line| line.starts_with("  goes "));
        line.unwrap_or(&ended.stderr).trim().to_owned()
    };
    let url = "https://example.com/";
    assert_eq!(way(&[], &[], url).await, "goes directly");
    let flags = ["--upstream", "http://me:hunter2@p.example:3128"];
    assert_eq!(
        way(&flags, &[], url).await,
        "goes through http://p.example:3128"
    );
    let variables = [("UPSTREAM_SOCKS5", "tor.example:9050")];
    assert_eq!(
        way(&[], &variables, url).await,
        "goes through socks5://tor.example:9050"
    );
    let file = ["-c", &settings];
    assert_eq!(
        way(&file, &[], url).await,
        "goes through socks5h://tor.example:9050, which resolves names"
    );
    let listener = ["-c", &settings, "--listener", "b"];
    assert_eq!(
        way(&listener, &[], url).await,
        "goes through http://a.example:3128, else http://b.example:3128"
    );
    assert_eq!(
        way(&listener, &[], "git.corp.example:443").await,
        "goes directly"
    );
    let nobody = ["-c", &settings, "--listener", "c"];
    assert_eq!(explain(&nobody, &[], url).await.code, Some(2));
    let refused = explain(&[], &[], "https://evil.example/").await;
    assert_eq!(refused.code, Some(1));
    assert!(!refused.stdout.contains("goes"), "{}", refused.stdout);
}

#[tokio::test]
async fn starts_with_no_parent_that_it_does_not_understand_and_tells_no_password() {
    for (arguments, variables, says) in [
        (
            vec!["--upstream", "ftp://me:hunter2@p.example:1"],
            vec![],
            "upstream: parent 1 is not a parent",
        ),
        (
            vec![],
            vec![("AGENTNET_UPSTREAM", "http://me:hunter2@p.example")],
            "AGENTNET_UPSTREAM: parent 1 is not SCHEME://HOST:PORT: the target has no port",
        ),
        (
            vec![],
            vec![("UPSTREAM_HTTP", "socks5://me:hunter2@p.example:1")],
            "UPSTREAM_HTTP: parent 1 is not a parent",
        ),
        (
            vec![
                "--upstream",
                "http://p:1",
                "--upstream-credentials-file",
                "/nowhere",
            ],
            vec![],
            "/nowhere cannot be read",
        ),
        (
            vec!["--upstream", "none", "--upstream", "http://p:1"],
            vec![],
            "`none` stands beside parents",
        ),
    ] {
        let ended = run(&arguments, &variables).await;
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn says_at_the_start_what_is_lost_where_a_parent_resolves() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let more = ["--upstream", "socks5h://me:hunter2@127.0.0.1:9"];
    let (program, _, _) = serve(&whitelist, &more).await;
    let warned = eventually("the warning", || {
        let said = program.stderr();
        said.contains("socks5h://127.0.0.1:9 resolves names itself")
            .then_some(said)
    });
    assert!(!warned.await.contains("hunter2"));
}

/// Arguments, environment, and what stderr says.
type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

#[tokio::test]
async fn exits_with_2_and_binds_nothing_when_something_is_wrong() {
    let files = Files::with("bad.txt", "example.com\n*\n");
    let bad = files.path("bad.txt").display().to_string();
    let good = files.add("good.txt", "example.com\n");
    let toml = files.add(
        "bad.toml",
        "mode = \"enforce\"\nlisten = [\"127.0.0.1:0\"]\nlisen = 1\n",
    );
    let types = files.add("types.toml", "max_connections = \"many\"\n");
    let users = files.add("users", "a:b\nsecret-without-a-user\n");
    let closed = files.add(
        "closed.toml",
        "[[listener]]\nname = \"a\"\nlisten = [\"127.0.0.1:0\"]\nclients = []\n",
    );
    // The address is taken: binding it would be another error than the one that is expected.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let rows: &[Row<'_>] = &[
        (&["--whitelist", &bad], &[], "bad.txt:2: "),
        (
            &["--whitelist", "/nowhere/w.txt"],
            &[],
            "/nowhere/w.txt: the file cannot be read",
        ),
        (
            &["-c", &toml],
            &[],
            "bad.toml:3: `lisen` is no key here; write: listen",
        ),
        (&["-c", &types], &[], "types.toml:1: "),
        (
            &["-c", "/nowhere/x.toml"],
            &[],
            "/nowhere/x.toml: cannot be read",
        ),
        (
            &["--mode", "open"],
            &[],
            "--mode: `open` is not a value for it: write enforce or observe",
        ),
        (&["--listen", "8888"], &[], "write 0.0.0.0:8888"),
        (
            &["--admin", "0.0.0.0:9100"],
            &[],
            "write egress:9100 or 127.0.0.1:9100",
        ),
        (
            &["--max-connections", "0"],
            &[],
            "--max-connections: 0 is out of range",
        ),
        (&["--max-connections", "many"], &[], "invalid value 'many'"),
        (
            &["--no-such-flag"],
            &[],
            "unexpected argument '--no-such-flag'",
        ),
        (
            &["--whitelist", &good, "--credentials-file", &users],
            &[],
            "users:2: has no colon: write user:password",
        ),
        (
            &["--credentials-file", "/nowhere/users"],
            &[],
            "/nowhere/users: the file cannot be read",
        ),
        (
            &["--client", "10.0.0.0/33"],
            &[],
            "--client: `10.0.0.0/33` is no client",
        ),
        (
            &["-c", &closed],
            &[],
            "listener 1, client: the list of clients is empty",
        ),
        (&[], &[("AGENTNET_MODE", "open")], "AGENTNET_MODE: `open`"),
        (
            &[],
            &[("AGENTNET_MAX_CONNECTIONS", "x")],
            "AGENTNET_MAX_CONNECTIONS: invalid value 'x'",
        ),
        (&["--log", "xml"], &[], "write json or text"),
        (&["--forwarding", "maybe"], &[], "write refuse or ignore"),
        (
            &["--host-address", "gateway"],
            &[],
            "`gateway` is not an IP address",
        ),
        (
            &["--listen", "127.0.0.1:1,127.0.0.1:1"],
            &[],
            "127.0.0.1:1 is given twice",
        ),
    ];
    for (arguments, environment, said) in rows {
        let mut line: Vec<&str> = arguments.to_vec();
        if !arguments
            .iter()
            .any(|word| word.contains("listen") || word.ends_with(".toml"))
        {
            line.extend(["--listen", &taken]);
        }
        let ended = run(&line, environment).await;
        assert_eq!(ended.code, Some(2), "{line:?}: {ended:?}");
        assert!(ended.stderr.contains(said), "{line:?}: {}", ended.stderr);
    }
    let ended = run(&["--listen", &taken, "--whitelist", &good], &[]).await;
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains(&format!("{taken} cannot be bound")),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn knows_a_listed_client_by_the_systems_hosts_file() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    for (client, reason) in [
        ("localhost", "not_listed"),
        ("127.0.0.9", "client_not_allowed"),
    ] {
        let flags = ["--listen", "127.0.0.1:0", "--admin", "off", "--whitelist"];
        let line = [&flags[..], &[whitelist.as_str(), "--client", client]].concat();
        let program = Program::start(&line, &[]);
        let address = program.says("listener default at ").await.parse().unwrap();
        let answer = Client::tcp(address).await.connect("evil.example:443").await;
        assert_eq!(answer.reason(), reason, "{client}");
    }
}

#[tokio::test]
async fn takes_flags_over_variables_over_the_file() {
    let files = Files::with("w.txt", "example.com\n");
    let config = files.add(
        "proxy.toml",
        &format!(
            "listen = [\"127.0.0.1:0\"]\nadmin = \"off\"\nlog = \"text\"\nmode = \"observe\"\nwhitelist = [{:?}]\n",
            files.path("w.txt")
        ),
    );
    let environment = [
        ("AGENTNET_CONFIG", config.as_str()),
        ("AGENTNET_MODE", "enforce"),
    ];
    let program = Program::start(&["--admin", "127.0.0.1:0"], &environment);
    let address = program.says("listener default at ").await.parse().unwrap();
    program.says("admin at ").await;
    let answer = Client::tcp(address).await.connect("evil.example:443").await;
    assert_eq!(answer.reason(), "not_listed", "enforce won over observe");
    eventually("a line for people", || {
        program
            .stdout()
            .contains("DENY   not_listed    CONNECT evil.example:443 from ")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn never_looks_at_the_proxy_variables_of_others() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "off",
        "--whitelist",
        &whitelist,
    ];
    let environment = [
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("https_proxy", "http://127.0.0.1:1"),
        ("ALL_PROXY", "socks5://127.0.0.1:1"),
        ("NO_PROXY", "*"),
        ("AGENTNET_TASK", "somebody else's"),
    ];
    let program = Program::start(&arguments, &environment);
    let address = program.says("listener default at ").await.parse().unwrap();
    let answer = Client::tcp(address).await.connect("evil.example:443").await;
    assert_eq!(answer.status, 403);
    program.says("AGENTNET_TASK is set and is no setting").await;
}

#[tokio::test]
async fn asks_the_running_proxy() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let (_program, address, admin) = serve(&whitelist, &[]).await;
    let variables = [("AGENTNET_ADMIN", admin.as_str())];
    let ended = run(&["healthcheck"], &variables).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    Client::tcp(address).await.connect("evil.example:443").await;
    let ended = run(&["admin", "metrics"], &variables).await;
    assert!(
        ended
            .stdout
            .contains("reason=\"not_listed\",verdict=\"deny\"} 1"),
        "{ended:?}"
    );
    let ended = run(&["admin", "policy", "--admin", &admin], &[]).await;
    assert!(
        ended.stdout.contains("\"text\":\"example.com\""),
        "{ended:?}"
    );
    assert_eq!(run(&["admin", "live"], &variables).await.stdout, "live\n");
    files.add("w.txt", "*\n");
    let ended = run(&["admin", "reload"], &variables).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("\"ok\":false"), "{ended:?}");
    assert_eq!(
        run(&["healthcheck"], &variables).await.code,
        Some(0),
        "the old policy holds"
    );
}

#[tokio::test]
async fn is_unhealthy_when_nobody_answers() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let ended = run(&["healthcheck"], &[("AGENTNET_ADMIN", &free.to_string())]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("does not answer"), "{}", ended.stderr);
    let ended = run(&["healthcheck", "--admin", "off"], &[]).await;
    assert_eq!(ended.code, Some(1));
}

#[tokio::test]
async fn serves_its_admin_side_on_a_unix_socket() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let admin = format!("unix:{}", files.path("admin.sock").display());
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        &admin,
        "--whitelist",
        &whitelist,
    ];
    let program = Program::start(&arguments, &[]);
    program.says("admin at ").await;
    assert_eq!(
        run(&["healthcheck", "--admin", &admin], &[]).await.code,
        Some(0)
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(files.path("admin.sock"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn reloads_on_sighup_and_on_sigusr1() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let (program, address, _) = serve(&whitelist, &["--rescan-seconds", "86400"]).await;
    for (signal, rules) in [(Signal::HUP, 2), (Signal::USR1, 3)] {
        let text: String = (0..rules)
            .map(|number| format!("host{number}.example\n"))
            .collect();
        files.add("w.txt", &text);
        program.signal(signal);
        program
            .says(&format!("new policy in force, {rules} rules"))
            .await;
    }
    files.add("w.txt", "*\n");
    program.signal(Signal::HUP);
    program.says("w.txt:1: ").await;
    let answer = Client::tcp(address).await.connect("evil.example:443").await;
    assert_eq!(answer.status, 403, "a broken file never ends the process");
}

#[tokio::test]
async fn warns_when_its_file_has_been_replaced_under_a_mount() {
    let files = Files::with("w.txt", "example.com\n");
    let held = std::fs::File::open(files.path("w.txt")).unwrap();
    std::fs::remove_file(files.path("w.txt")).unwrap();
    // What a file mounted alone looks like after an editor's rename: it is there, and has no link.
    use std::os::fd::AsRawFd;
    let path = format!("/proc/{}/fd/{}", std::process::id(), held.as_raw_fd());
    let (program, _, admin) = serve(&path, &[]).await;
    run(&["admin", "reload", "--admin", &admin], &[]).await;
    program.says("mount its directory instead").await;
}

#[tokio::test]
async fn rests_when_nobody_asks_for_anything() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let (program, address, _) = serve(&whitelist, &["--rescan-seconds", "3600"]).await;
    // Its own reading of a watched file is seen by the watcher as well.
    files.add("w.txt", "example.org\n");
    program.says("new policy in force").await;
    Client::tcp(address).await.connect("evil.example:443").await;
    let (mut seen, mut since) = (program.bytes_read(), Instant::now());
    eventually("300 ms without reading anything", || {
        let now = program.bytes_read();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_millis(300)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn serves_reloads_and_ends_when_nobody_reads_what_it_says() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let door = files.path("door");
    let listen = format!("unix:{}", door.display());
    let admin = format!("unix:{}", files.path("admin").display());
    let arguments = [
        "--listen",
        &listen,
        "--admin",
        &admin,
        "--whitelist",
        &whitelist,
    ];
    let program = Program::start_unread(&arguments);
    // It is there before it listens.
    let knock = || UnixStream::connect(&door).ok();
    drop(eventually("the door is open", knock).await);
    let answer = Client::unix(&door).await.connect("evil.example:443").await;
    assert_eq!(answer.status, 403);
    for (text, code) in [("broken line\n", 1), ("example.org\n", 0)] {
        files.add("w.txt", text);
        let asked = run(&["admin", "reload", "--admin", &admin], &[]).await;
        assert_eq!(asked.code, Some(code), "{asked:?}");
    }
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code, Some(0));
}

#[tokio::test]
async fn drains_on_sigterm_and_exits_with_0() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let (program, address, _) = serve(&whitelist, &[]).await;
    Client::tcp(address).await.connect("evil.example:443").await;
    program.signal(Signal::TERM);
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(
        ended.stdout.lines().count(),
        1,
        "the last event was written: {ended:?}"
    );
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn recovers_when_it_runs_out_of_descriptors() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let (program, address, _) = serve(&whitelist, &[]).await;
    // A limit that it did not know of when it began: the whole system's, say.
    let few = Rlimit {
        current: Some(40),
        maximum: Some(40),
    };
    prlimit(Some(program.pid()), Resource::Nofile, few).unwrap();
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(Client::tcp(address).await);
    }
    program.says("cannot accept at listener default").await;
    drop(held);
    let mut client = Client::tcp(address).await;
    assert_eq!(client.connect("evil.example:443").await.status, 403);
    program.says("listener default accepts again").await;
}

#[tokio::test]
async fn keeps_descriptors_for_its_policy_and_its_admin_side_whatever_clients_do() {
    let origin = Origin::saying("").await;
    let target = origin.address.to_string();
    let files = Files::with("w.txt", &format!("{target} raw host\n"));
    let whitelist = files.path("w.txt").display().to_string();
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--whitelist",
        &whitelist,
    ];
    let program = Program::start_with_descriptors(64, &arguments);
    program.says("so at most 16 connections are served").await;
    let address: SocketAddr = program.says("listener default at ").await.parse().unwrap();
    let admin = program.says("admin at ").await;
    let mut tunnels = Vec::new();
    for _ in 0..16 {
        let mut client = Client::tcp(address).await;
        assert_eq!(client.connect(&target).await.status, 200);
        tunnels.push(client);
    }
    let answer = Client::tcp(address).await.connect(&target).await;
    assert_eq!(answer.reason(), "too_many_connections");
    files.add("w.txt", "example.com\n");
    let asked = run(&["admin", "reload", "--admin", &admin], &[]).await;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    for mut tunnel in tunnels {
        tunnel.rest_or_reset().await;
    }
    assert!(!program.stderr().contains("cannot"), "{}", program.stderr());
}

#[tokio::test]
async fn has_several_listeners_with_a_policy_each() {
    let files = Files::with("a.txt", "127.0.0.1:1 raw host\n");
    files.add("b.txt", "b.example\n");
    let listener = |name: &str| {
        format!(
            "[[listener]]\nname = \"{name}\"\nlisten = [\"127.0.0.1:0\"]\nwhitelist = [{:?}]\n",
            files.path(&format!("{name}.txt"))
        )
    };
    let config = files.add(
        "p.toml",
        &format!("admin = \"off\"\n{}{}", listener("a"), listener("b")),
    );
    let program = Program::start(&["-c", &config], &[]);
    let mut answers = Vec::new();
    for name in ["a", "b"] {
        let address = program
            .says(&format!("listener {name} at "))
            .await
            .parse()
            .unwrap();
        answers.push(
            Client::tcp(address)
                .await
                .connect("127.0.0.1:1")
                .await
                .reason()
                .to_owned(),
        );
    }
    assert_eq!(answers, ["connect_failed", "private_address"]);
}

#[tokio::test]
async fn serves_the_two_listeners_of_the_documentation() {
    let files = Files::with("project.txt", "127.0.0.1:1 raw host\n");
    files.add("docker.txt", "registry.example\n");
    let page = include_str!("../../../docs/proxy.md");
    let (_, section) = page.split_once("### Two proxies in one").unwrap();
    let (_, example) = section.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    // Only where it is: the directory, and ports that nobody else has.
    let example = example
        .replace("/etc/agentnet", files.0.path().to_str().unwrap())
        .replace("0.0.0.0:8888", "127.0.0.1:0")
        .replace("0.0.0.0:8889", "127.0.0.1:0")
        .replace("egress:9100", "127.0.0.1:0");
    let config = files.add("proxy.toml", &example);
    let checked = run(&["check", "-c", &config], &[]).await;
    let said = "listener agent: ok: 1 rules\nlistener docker: ok: 1 rules\n";
    assert_eq!((checked.code, checked.stdout.as_str()), (Some(0), said));
    let program = Program::start(&["-c", &config], &[]);
    // The second lets pass what it does not list, but not into the proxy itself.
    for (name, reason) in [("agent", "connect_failed"), ("docker", "loop")] {
        let address = program.says(&format!("listener {name} at ")).await;
        let mut client = Client::tcp(address.parse().unwrap()).await;
        assert_eq!(client.connect("127.0.0.1:1").await.reason(), reason);
    }
}

#[tokio::test]
async fn lint_finds_the_filter_of_a_container_beside_its_configuration() {
    let files = Files::with("filter", "github\\.com\n");
    let conf = "Filter \"/nowhere/tinyproxy/filter\"\nFilterDefaultDeny Yes\n";
    let conf = files.add("tinyproxy.conf", conf);
    let ended = run(&["lint", &conf], &[]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let says = "filter:1: github\\.com lets github.com.evil.example through";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
}

#[tokio::test]
async fn tells_its_version_and_help() {
    let ended = run(&["--version"], &[]).await;
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.stdout.starts_with("agentnet-proxy "),
        "{}",
        ended.stdout
    );
    let ended = run(&["--help"], &[]).await;
    assert_eq!(ended.code, Some(0));
    assert!(!ended.stdout.contains("relay-worker"));
}

#[tokio::test]
async fn lint_shows_a_name_that_gets_through_and_prints_a_whitelist_that_loads() {
    let files = Files::with("filter", "^example\\.org$ # docs\ngithub.com\n/x\n");
    let conf = "Port 8888\nFilter \"filter\"\nFilterDefaultDeny Yes\nUser nobody\n";
    let conf = files.add("tinyproxy.conf", conf);
    let ended = run(&["lint", &conf], &[]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let finding = "filter:2: github.com lets github.com.evil.example through";
    assert!(ended.stderr.contains(finding), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("filter:3: /x can never match: it has a slash")
    );
    assert!(ended.stderr.contains("\"User\" is not used"));
    assert!(
        ended.stdout.contains("\n**.github.com # "),
        "{}",
        ended.stdout
    );
    let whitelist = files.add("w.txt", &ended.stdout);
    let checked = run(&["check", &whitelist], &[]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
    assert!(
        checked.stdout.ends_with("ok: 2 rules\n"),
        "{}",
        checked.stdout
    );

    files.add("filter", "^example\\.org$\n");
    let ended = run(&["lint", &conf], &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("\nexample.org # "),
        "{}",
        ended.stdout
    );

    let open = files.add("open.conf", "Port 8888\nFilter \"filter\"\n");
    let ended = run(&["lint", &open], &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("everything else is open"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stdout.contains("\nexample.org deny # "),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn checks_and_explains_what_a_configuration_would_serve() {
    let files = Files::with("filter", "^example\\.org$ # docs\r\n");
    let filter = files.path("filter").display().to_string();
    let conf = format!("Port 8888\nFilter \"{filter}\"\nFilterDefaultDeny Yes\nUser nobody\n");
    let conf = files.add("tinyproxy.conf", &conf);
    let checked = run(&["check", "-c", &conf], &[]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let warning = "tinyproxy.conf:4: warning: \"User\" is not used";
    assert!(checked.stdout.contains(warning), "{}", checked.stdout);
    assert!(checked.stdout.ends_with("\nok: 1 rules\n"));
    let explain = async |url: &str| run(&["explain", "-c", &conf, url], &[]).await;
    let allowed = explain("https://example.org/").await;
    assert_eq!(allowed.code, Some(0), "{}", allowed.stderr);
    let line = "filter:1: ^example\\.org$ (allows it)  # docs";
    assert!(allowed.stdout.contains(line), "{}", allowed.stdout);
    assert_eq!(
        explain("https://example.org.evil.example/").await.code,
        Some(1)
    );

    files.add("filter", "\\(a\n");
    let checked = run(&["check", "-c", &conf], &[]).await;
    assert_eq!(checked.code, Some(1), "{}", checked.stdout);
    assert!(
        checked.stdout.contains("filter:1: \"\\(a\" opens a group"),
        "{}",
        checked.stdout
    );
    let explained = explain("https://example.org/").await;
    assert_eq!(explained.code, Some(2));

    let white = files.add("w.txt", "example.com\n");
    let toml = format!(
        "[[listener]]\nname = \"a\"\nlisten = [\"127.0.0.1:1\"]\nwhitelist = [\"{white}\"]\n\
        [[listener]]\nname = \"b\"\nlisten = [\"127.0.0.1:2\"]\nwhitelist = [\"{conf}\"]\n"
    );
    let toml = files.add("two.toml", &toml);
    let checked = run(&["check", "-c", &toml], &[]).await;
    assert_eq!(checked.code, Some(1));
    assert!(
        checked.stdout.starts_with("listener a: ok: 1 rules\n"),
        "{}",
        checked.stdout
    );
    assert!(
        checked
            .stdout
            .contains("is a tinyproxy.conf and no whitelist"),
        "{}",
        checked.stdout
    );
    let of_b = [
        "explain",
        "-c",
        &toml,
        "--listener",
        "a",
        "https://example.com/",
    ];
    assert_eq!(run(&of_b, &[]).await.code, Some(0));
    for nothing in [&["check"][..], &["explain", "https://example.org/"]] {
        let ended = run(nothing, &[]).await;
        assert_eq!(ended.code, Some(2));
        assert!(ended.stderr.contains("-c FILE"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn says_where_a_setting_was_said_and_what_to_write() {
    let files = Files::with("w.txt", "example.com\n");
    let toml = "\n[[listener]]\nname = \"a\"\nlisten = [\"8888\"]\nmode = \"report\"\n";
    let toml = files.add("p.toml", toml);
    let port = files.add("p.conf", "Port=8888\n");
    let white = files.path("w.txt").display().to_string();
    let variable = ("AGENTNET_LISTEN", "localhost:1");
    for (arguments, variables, says) in [
        (
            &["check", "-c", &toml][..],
            &[][..],
            format!("{toml}:4: listener 1, listen: `8888` is not"),
        ),
        (&["-c", &toml], &[], "write 0.0.0.0:8888".to_owned()),
        (
            &["-c", &toml],
            &[],
            format!("{toml}:5: listener 1, mode: `report`"),
        ),
        (
            &["--listen", "10.0.0.1"],
            &[variable],
            "--listen: `10.0.0.1` is not".to_owned(),
        ),
        (
            &[],
            &[variable],
            "AGENTNET_LISTEN: `localhost:1`".to_owned(),
        ),
        (&[], &[variable], "write 127.0.0.1:1".to_owned()),
        (
            &["-c", &port],
            &[],
            format!("{port}:1: \"Port\" stands before a `=`"),
        ),
        (
            &["-c", &white],
            &[],
            format!("{white}: is a whitelist and no configuration; write: --whitelist"),
        ),
        (
            &["lint", &white],
            &[],
            format!("{white}: is a whitelist and no tinyproxy.conf"),
        ),
        (
            &[
                "tinyproxy",
                "-d",
                "-c",
                "/dev/null",
                "--max-connections",
                "0",
            ],
            &[],
            "--max-connections: 0 is out of".to_owned(),
        ),
        (
            &["-c", "/dev/zero"],
            &[],
            "/dev/zero: cannot be read: it is larger than 1 MiB".to_owned(),
        ),
    ] {
        let ended = run(arguments, variables).await;
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stdout);
        assert!(ended.stderr.contains(&says), "{says}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn calls_nothing_both_an_error_and_a_warning() {
    let files = Files::with("filter", "\\(a\nexample.org and words\n");
    let filter = files.path("filter").display().to_string();
    let conf = format!("Port 0\nFilter \"{filter}\"\nUser nobody\n");
    let conf = files.add("tinyproxy.conf", &conf);
    let ended = run(&["-c", &conf], &[]).await;
    assert_eq!(ended.code, Some(2));
    let said = ended.stderr;
    assert!(
        said.contains(&format!("error: {filter}:1: \"\\(a\" opens")),
        "{said}"
    );
    assert!(
        said.contains(&format!("warning: {filter}:2: \"example.org\" is the")),
        "{said}"
    );
}

#[tokio::test]
async fn lint_of_what_cannot_be_read_says_where_and_ends_with_two() {
    let files = Files::with("filter", "\\(a\\)\\1\n");
    let conf = files.add("tinyproxy.conf", "Port 8888\nFilter \"filter\"\n");
    let ended = run(&["lint", &conf], &[]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(
        ended.stderr.contains("filter:1: ") && ended.stderr.contains("refers back"),
        "{}",
        ended.stderr
    );
    let conf = files.add("bad.conf", "Prot 8888\nListen localhost\n");
    let ended = run(&["lint", &conf], &[]).await;
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .contains("bad.conf:1: \"Prot\" is no directive of Tinyproxy; write: Port 8888"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("bad.conf:2: "), "{}", ended.stderr);
    let conf = files.add("no.conf", "Port 8888\nFilter \"nowhere\"\n");
    let ended = run(&["lint", &conf], &[]).await;
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("nowhere: cannot be read"),
        "{}",
        ended.stderr
    );
    assert_eq!(run(&["lint", "/nowhere/t.conf"], &[]).await.code, Some(2));
}
