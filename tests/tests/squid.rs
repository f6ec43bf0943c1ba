//! What docs/squid.md says about `dstdomain` lists is asked of a real Squid: the list there and its translation must let
//! the same hosts through.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use agentnet_e2e::command::run;
use agentnet_e2e::daemon::{Daemon, free_port};
use agentnet_e2e::recorder::Recorder;
use agentnet_e2e::wire::Wire;
use agentnet_e2e::{bed, peers};
use fs_err as fs;
use tempfile::TempDir;

/// Names on the list, below one, above one, beside one, and spelt otherwise.
const HOSTS: [&str; 27] = [
    "example.com",
    "www.example.com",
    "a.b.c.example.com",
    "EXAMPLE.com",
    "WWW.Example.COM",
    "example.com.",
    "notexample.com",
    "example.com.evil.test",
    "com",
    "example.org",
    "www.example.org",
    "example.orgs",
    "registry.example.net",
    "eu.registry.example.net",
    "example.net",
    "myregistry.example.net",
    "api.vendor.example",
    "v2.api.vendor.example",
    "vendor.example",
    "pypi.org",
    "files.pypi.org",
    "pypi.org.test",
    "xpypi.org",
    "192.0.2.7",
    "localhost",
    "else.test",
    "example-com.test",
];

#[test]
fn a_translated_dstdomain_list_answers_as_squid_does() {
    let squid = match peers::peer("squid") {
        Ok(root) => root,
        Err(reason) => return bed::skip(&reason),
    };
    let docs = fs::read_to_string(bed::root().join("docs/squid.md")).expect("docs/squid.md");
    let directory = TempDir::new().expect("a temporary directory");
    // Started by root, Squid is somebody else soon.
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777))
        .expect("a directory for Squid");
    let list = directory.path().join("list");
    fs::write(&list, block(&docs, "dstdomain")).expect("a list");
    let by_hand = directory.path().join("by-hand.txt");
    fs::write(&by_hand, block(&docs, "whitelist")).expect("a whitelist");
    let by_sed = directory.path().join("by-sed.txt");
    fs::write(&by_sed, translated(&docs, &list)).expect("a whitelist");

    let theirs = asked_of_squid(&squid, directory.path(), &list);
    assert!(
        theirs.values().any(|allowed| *allowed),
        "Squid refuses everything: {theirs:?}"
    );
    assert!(
        !theirs.values().all(|allowed| *allowed),
        "Squid refuses nothing"
    );
    for whitelist in [&by_hand, &by_sed] {
        assert_eq!(
            explained(whitelist),
            theirs,
            "left: {}, right: Squid",
            whitelist.display()
        );
    }
}

/// The first code block of that language.
fn block<'d>(docs: &'d str, language: &str) -> &'d str {
    let after = docs.split(&format!("```{language}\n")).nth(1);
    after
        .and_then(|rest| rest.split("```").next())
        .unwrap_or_else(|| panic!("no block of {language} in docs/squid.md"))
}

/// What the documented line makes of a list.
fn translated(docs: &str, list: &Path) -> String {
    let line = block(docs, "sh")
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    let (command, _) = line
        .split_once(" > ")
        .expect("a line that writes a whitelist");
    let command = command.replace("/etc/squid/allowed", &list.to_string_lossy());
    run(Command::new("sh").args(["-c", &command])).expect()
}

/// Every question, and whether Squid let it through to its parent, which answers everything.
fn asked_of_squid(root: &Path, directory: &Path, list: &Path) -> BTreeMap<String, bool> {
    let parent = Recorder::start();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let conf = directory.join("squid.conf");
    fs::write(
        &conf,
        configuration(root, directory, list, address, parent.address),
    )
    .expect("a configuration");
    let mut command = Command::new(root.join("bin/squid"));
    command.arg("-N").arg("-f").arg(&conf);
    let _squid = Daemon::start(&mut command, address, &directory.join("said"))
        .unwrap_or_else(|ended| panic!("Squid does not start: {}", ended.said));
    let mut answers = BTreeMap::new();
    for (question, method, target) in questions() {
        let mut wire = Wire::to(address);
        let host = question
            .trim_start_matches("http://")
            .trim_start_matches("https://")
            .trim_end_matches('/');
        wire.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        let answer = wire.answer(method);
        assert!(
            matches!(answer.status, 200 | 403),
            "Squid says {} to {question}: {answer:?}",
            answer.status
        );
        assert_eq!(
            !parent.take().is_empty(),
            answer.status == 200,
            "{question} reaches the parent or it does not"
        );
        answers.insert(question, answer.status == 200);
    }
    answers
}

/// A Squid that filters by the list, sends what it lets through to the parent, and looks up no names.
fn configuration(
    root: &Path,
    directory: &Path,
    list: &Path,
    address: SocketAddr,
    parent: SocketAddr,
) -> String {
    let [root, directory, list] = [root, directory, list].map(Path::display);
    format!(
        "http_port {address}\nacl allowed dstdomain -n \"{list}\"\nhttp_access allow allowed\nhttp_access deny all\n\
         cache_peer {} parent {} 0 no-query no-digest no-netdb-exchange default\nnever_direct allow all\ncache deny all\n\
         pid_filename {directory}/pid\naccess_log none\ncache_log {directory}/cache.log\ncache_store_log none\n\
         netdb_filename none\ncoredump_dir {directory}\npinger_enable off\ndns_nameservers 127.0.0.1\n\
         shutdown_lifetime 0 seconds\nvisible_hostname squid.test\n\
         error_directory {root}/usr/share/squid-langpack/English\nicon_directory {root}/usr/share/squid/icons\n\
         mime_table {root}/usr/share/squid/mime.conf\nunlinkd_program {root}/usr/lib/squid/unlinkd\n\
         logfile_daemon {root}/usr/lib/squid/log_file_daemon\n",
        parent.ip(),
        parent.port()
    )
}

/// What agentnet-proxy would do, from the code that does it.
fn explained(whitelist: &Path) -> BTreeMap<String, bool> {
    let check = run(Command::new(bed::proxy()).arg("check").arg(whitelist));
    assert!(check.ok(), "{check}");
    let answers = questions().into_iter().map(|(question, ..)| {
        let mut command = Command::new(bed::proxy());
        let outcome = run(command
            .arg("explain")
            .arg("--whitelist")
            .arg(whitelist)
            .arg(&question));
        assert!(matches!(outcome.code(), Some(0 | 1)), "{outcome}");
        (question, outcome.ok())
    });
    answers.collect()
}

/// A URL for each host and door, with the method and target that a client sends for it.
fn questions() -> Vec<(String, &'static str, String)> {
    let both = |host: &str| {
        [
            (format!("http://{host}/"), "GET", format!("http://{host}/")),
            (format!("https://{host}/"), "CONNECT", format!("{host}:443")),
        ]
    };
    HOSTS.iter().flat_map(|host| both(host)).collect()
}
