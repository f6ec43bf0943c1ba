//! A directory of presets: in the running proxy, and for `check`, `explain` and `presets`.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::harness::{Exited, Program, Proxy, eventually, within};

/// Files of a test, by path below a directory.
struct Files(TempDir);

impl Files {
    fn with(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

async fn run(arguments: &[&str], paths: &[&Path], environment: &[(&str, &Path)]) -> Exited {
    let arguments: Vec<String> = arguments
        .iter()
        .map(|word| (*word).to_owned())
        .chain(paths.iter().map(|path| path.display().to_string()))
        .collect();
    let environment: Vec<(String, String)> = environment
        .iter()
        .map(|(name, path)| ((*name).to_owned(), path.display().to_string()))
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

async fn reason(proxy: &Proxy, target: &str) -> String {
    let mut client = proxy.client().await;
    client.connect(target).await.reason().to_owned()
}

async fn becomes(proxy: &Proxy, target: &str, expected: &str) {
    let look = async {
        while reason(proxy, target).await != expected {
            tokio::task::yield_now().await;
        }
    };
    within(&format!("{target}: {expected}"), look).await;
}

#[tokio::test]
async fn a_file_of_the_directory_stands_in_the_place_of_the_built_in_preset() {
    let proxy = Proxy::with("@python-dev\n@ours\n")
        .preset("python.txt", "mirror.example:443 # our index\n")
        .preset("ours.txt", "ours.example:443\n")
        .start()
        .await;
    // A bundle includes the file as well. What is allowed has no address here.
    assert_eq!(reason(&proxy, "mirror.example:443").await, "resolve_failed");
    assert_eq!(reason(&proxy, "ours.example:443").await, "resolve_failed");
    assert_eq!(reason(&proxy, "pypi.org:443").await, "not_listed");
    assert_eq!(reason(&proxy, "github.com:443").await, "resolve_failed");
    let file = proxy.decision(0).await.rule.unwrap().file;
    assert!(file.as_str().ends_with("presets/python.txt"), "{file}");
}

#[tokio::test]
async fn a_changed_file_of_the_directory_takes_its_place_by_itself() {
    let proxy = Proxy::with("@python\n")
        .preset("python.txt", "mirror.example:443\n")
        .start()
        .await;
    proxy.write("presets/python.txt", "other.example:443\n");
    becomes(&proxy, "other.example:443", "resolve_failed").await;
    assert_eq!(reason(&proxy, "mirror.example:443").await, "not_listed");
    // Taken away, the built-in one is back.
    proxy.remove("presets/python.txt");
    becomes(&proxy, "pypi.org:443", "resolve_failed").await;
}

#[tokio::test]
async fn a_broken_file_keeps_the_last_good_policy_and_is_named() {
    let proxy = Proxy::with("@python\n")
        .preset("python.txt", "mirror.example:443\n")
        .start()
        .await;
    proxy.write("presets/python.txt", "other.example:443\n*\n");
    let mut admin = crate::harness::Client::tcp(proxy.admin).await;
    admin
        .send("POST /reload HTTP/1.1\r\nHost: admin\r\n\r\n")
        .await;
    let answer = admin.answer().await;
    assert_eq!(answer.status, 422);
    let body: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    let problem = &body["listeners"][0]["problems"][0];
    let file = problem["file"].as_str().unwrap();
    assert!(file.ends_with("presets/python.txt"), "{file}");
    assert_eq!(problem["line"], 2);
    assert_eq!(reason(&proxy, "mirror.example:443").await, "resolve_failed");
    assert_eq!(reason(&proxy, "other.example:443").await, "not_listed");
}

#[tokio::test]
async fn check_and_explain_take_the_presets_that_the_proxy_would_take() {
    let files = Files::with(&[
        ("w.txt", "@python\n"),
        ("presets/python.txt", "mirror.example:443\n"),
        ("presets/.python.txt.swp", "\u{1}"),
        ("presets/README.md", "no preset"),
    ]);
    let (w, presets) = (files.path("w.txt"), files.path("presets"));
    let ended = run(&["check", "--presets"], &[&presets, &w], &[]).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "ok: 1 rule\n")
    );
    let ended = run(&["check"], &[&w], &[("AGENTNET_PRESETS", &presets)]).await;
    assert_eq!(ended.stdout, "ok: 1 rule\n");
    let ended = run(&["check"], &[&w], &[]).await;
    assert_eq!(ended.stdout, "ok: 2 rules\n");
    let explain = ["explain", "https://pypi.org/", "--whitelist"];
    assert_eq!(run(&explain, &[&w], &[]).await.code, Some(0));
    let ended = run(&explain, &[&w], &[("AGENTNET_PRESETS", &presets)]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
}

#[tokio::test]
async fn a_broken_directory_is_an_error_that_names_file_and_line() {
    let files = Files::with(&[
        ("w.txt", "github.com\n"),
        ("broken/unused.txt", "a.example\n*\n"),
        ("misnamed/Python.txt", "a.example\n"),
    ]);
    let w = files.path("w.txt");
    for (directory, expected) in [
        ("broken", "broken/unused.txt:2: "),
        (
            "misnamed",
            "misnamed/Python.txt: is not the file of a preset",
        ),
        (
            "missing",
            "missing: the directory of presets cannot be read",
        ),
    ] {
        let directory = files.path(directory);
        let ended = run(&["check", "--presets"], &[&directory, &w], &[]).await;
        assert_eq!(ended.code, Some(1), "{expected}");
        assert!(ended.stdout.contains(expected), "{}", ended.stdout);
    }
    // The proxy does not start on a directory that it cannot read.
    let missing = files.path("missing");
    let arguments = ["--listen", "127.0.0.1:0", "--admin", "off", "--whitelist"];
    let ended = run(&arguments, &[&w], &[("AGENTNET_PRESETS", &missing)]).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("cannot be read"), "{}", ended.stderr);
}

#[tokio::test]
async fn lists_the_presets_and_prints_one() {
    let files = Files::with(&[
        ("presets/python.txt", "# our mirror\nmirror.example:443\n"),
        ("presets/bare.txt", "a.example\n"),
    ]);
    let presets = files.path("presets");
    let ended = run(&["presets"], &[], &[]).await;
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.lines().count() >= 50, "{}", ended.stdout);
    let line = |text: &str, name: &str| {
        let start = format!("{name} ");
        let found = text.lines().find(|line| line.starts_with(&start));
        found.unwrap_or_default().to_owned()
    };
    assert!(line(&ended.stdout, "@python").ends_with("the Python Package Index."));
    let ended = run(&["presets", "--presets"], &[&presets], &[]).await;
    let python = line(&ended.stdout, "@python");
    assert!(
        python.contains("our mirror [") && python.ends_with("python.txt]"),
        "{python}"
    );
    assert!(line(&ended.stdout, "@bare").contains("says nothing about itself"));
    let ended = run(&["presets", "@python"], &[], &[]).await;
    assert!(ended.stdout.starts_with("# @python: "), "{}", ended.stdout);
    let ended = run(&["presets", "nothing"], &[], &[]).await;
    assert_eq!(ended.code, Some(1));
    eventually("the error", || {
        ended.stderr.contains("@nothing is no preset").then_some(())
    })
    .await;
}
