//! `agentnet-notify install`, and what systemd's own tools say of its unit.

use std::path::Path;
use std::process::Command;

use agentnet_e2e::command::{Outcome, run};
use agentnet_e2e::{bed, peers};
use fs_err as fs;
use tempfile::TempDir;

/// Where systemd begins to say MEDIUM, times ten.
const MEDIUM: &str = "50";

struct Person(TempDir);

impl Person {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn home(&self) -> &Path {
        self.0.path()
    }

    /// With no session, and nothing of the real person's.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.home())
            .env("XDG_RUNTIME_DIR", self.home())
            .current_dir(self.home());
        command
    }

    fn install(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.command(bed::notify());
        run(command.arg("install").args(arguments))
    }

    fn unit(&self) -> String {
        fs::read_to_string(self.home().join(UNIT)).unwrap()
    }
}

const UNIT: &str = ".config/systemd/user/agentnet-notify.service";
const ENTRY: &str = ".local/share/applications/agentnet-notify.desktop";
const ICON: &str = ".local/share/icons/hicolor/scalable/apps/agentnet-notify.svg";

#[test]
fn it_can_be_installed_twice_and_taken_away_twice() {
    let person = Person::new();
    let said = person.install(&["--no-start"]).expect();
    assert_eq!(said.matches("written").count(), 3, "{said}");
    let said = person.install(&["--no-start"]).expect();
    assert_eq!(said.matches("unchanged").count(), 3, "{said}");
    for file in [UNIT, ENTRY, ICON] {
        assert!(person.home().join(file).is_file(), "{file}");
    }
    let said = person.install(&["--uninstall", "--no-start"]).expect();
    assert_eq!(said.matches("removed").count(), 3, "{said}");
    let said = person.install(&["--uninstall", "--no-start"]).expect();
    assert_eq!(said.matches("not there").count(), 3, "{said}");
}

#[test]
fn without_a_session_the_files_are_there_and_the_reason_is_said() {
    let person = Person::new();
    let outcome = person.install(&[]).expect_failure();
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    assert!(
        outcome.stderr.contains("the files are in place"),
        "{outcome}"
    );
    assert!(person.unit().contains("Type=notify"));
}

#[test]
fn a_file_that_is_not_ours_is_left_alone() {
    let person = Person::new();
    let entry = person.home().join(ENTRY);
    fs::create_dir_all(entry.parent().unwrap()).unwrap();
    fs::write(&entry, "[Desktop Entry]\nName=mine\n").unwrap();
    for arguments in [["--no-start"].as_slice(), &["--uninstall", "--no-start"]] {
        let outcome = person.install(arguments).expect_failure();
        assert!(outcome.stderr.contains(ENTRY), "{outcome}");
    }
    assert!(!person.home().join(UNIT).exists());
    assert!(fs::read_to_string(entry).unwrap().contains("mine"));
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_and_calls_it_ok() {
    let root = match peers::peer("desktop") {
        Ok(root) => root,
        Err(reason) => return bed::skip(&reason),
    };
    let webhook = "[[outlet]]\ntype = \"webhook\"\nurl = \"https://ntfy.test/\"\ntopic = \"t\"\n";
    let log = "[[outlet]]\ntype = \"log\"\nfile = \"/var/tmp/some/notify.jsonl\"\n";
    for config in [None, Some(webhook), Some(log)] {
        let person = Person::new();
        if let Some(text) = config {
            let dir = person.home().join(".config/agentnet");
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("notify.toml"), text).unwrap();
        }
        person.install(&["--no-start"]).expect();
        let unit = person.unit();
        assert_eq!(unit.contains("PrivateNetwork=yes"), config != Some(webhook));
        assert_eq!(unit.contains("\"-/var/tmp/some\""), config == Some(log));
        let analyze = root.join("bin/systemd-analyze");
        for words in [
            ["--user", "verify", "--man=no"].as_slice(),
            &[
                "--user",
                "security",
                "--offline=true",
                "--no-pager",
                "--threshold",
                MEDIUM,
            ],
        ] {
            let outcome = run(person.command(&analyze).args(words).arg(UNIT));
            assert!(outcome.ok(), "{outcome}");
            assert!(!outcome.stderr.contains("agentnet-notify"), "{outcome}");
        }
    }
}
