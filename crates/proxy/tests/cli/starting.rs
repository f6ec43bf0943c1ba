//! How it starts, or why not: arguments, variables and files, help and messages.

use super::{Files, run, serve};
use crate::harness::{Client, Program, eventually};

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
