//! `check`, `explain` and `lint`: what a file means, without serving it.

use super::{Files, run};

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
    assert!(checked.stdout.ends_with("\nok: 1 rule\n"));
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
        checked.stdout.starts_with("listener a: ok: 1 rule\n"),
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
