//! What there is, as lines, so that before and after can be compared.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::bed::root;
use crate::command::run;
use crate::engine::Engine;
use crate::repository::git;

/// A set of lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing(BTreeSet<String>);

impl Listing {
    /// Containers, networks, volumes and images of an engine, and what they leave on its host: links, routes and rules of
    /// its firewall. Only an unpacked engine that nobody else uses stays the same while one looks away.
    pub fn of_engine(engine: &Engine) -> Self {
        let kinds: [&[&str]; 4] = [
            &["container", "ls", "--all", "--format", "{{.Names}}"],
            &["network", "ls", "--format", "{{.Name}}"],
            &["volume", "ls", "--format", "{{.Name}}"],
            &[
                "image",
                "ls",
                "--all",
                "--format",
                "{{.Repository}}:{{.Tag}} {{.ID}}",
            ],
        ];
        let mut found = Self::default();
        for words in kinds {
            found.add(words[0], &engine.docker(words).expect());
        }
        let host: [&[&str]; 4] = [
            &["ip", "-brief", "link"],
            &["ip", "route"],
            &["iptables-save"],
            &["ip6tables-save"],
        ];
        for words in host {
            let text = run(engine.command(&tool(words[0])).args(&words[1..])).expect();
            // Comments have the time in them, chains the packets so far, and a link may go up and down. A table is there
            // for good once a rule was looked for in it; its rules are what counts.
            let lines = text.lines().filter(|line| !line.starts_with(['#', '*']));
            let lines = lines.map(|line| match words {
                ["ip", _, "link"] => line.split_whitespace().next().unwrap_or_default(),
                _ => line
                    .split(" [")
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches(" linkdown"),
            });
            found.add(&words.join(" "), &lines.collect::<Vec<_>>().join("\n"));
        }
        found
    }

    /// Every entry below a directory, with its mode and, of a file, its length; `skip` is left out.
    pub fn of_directory(root: &Path, skip: &[&str]) -> Self {
        let mut found = Self::default();
        let mut waiting = vec![root.to_owned()];
        while let Some(directory) = waiting.pop() {
            // What was never made has nothing in it.
            for entry in fs::read_dir(&directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                let name = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                if skip.contains(&name.as_str()) {
                    continue;
                }
                let meta = fs::symlink_metadata(&path).unwrap();
                let length = if meta.is_file() { meta.len() } else { 0 };
                found
                    .0
                    .insert(format!("{name} {:o} {length}", meta.permissions().mode()));
                if meta.is_dir() {
                    waiting.push(path);
                }
            }
        }
        found
    }

    /// Refs, worktrees, settings, and everything that is checked out.
    pub fn of_repository(checkout: &Path) -> Self {
        let mut found = Self::of_directory(checkout, &[".git"]);
        for words in [
            &["for-each-ref"][..],
            &["worktree", "list"],
            &["config", "--local", "--list"],
            &["status", "--porcelain"],
            &["symbolic-ref", "HEAD"],
        ] {
            found.add(&words.join(" "), &git(checkout, words));
        }
        found
    }

    fn add(&mut self, kind: &str, text: &str) {
        let lines = text.lines().filter(|line| !line.is_empty());
        self.0.extend(lines.map(|line| format!("{kind}: {line}")));
    }

    /// What has come and what has gone since another: `+ line`, `- line`.
    pub fn since(&self, before: &Self) -> Vec<String> {
        let come = self.0.difference(&before.0).map(|line| format!("+ {line}"));
        let gone = before.0.difference(&self.0).map(|line| format!("- {line}"));
        come.chain(gone).collect()
    }
}

/// The firewall's programs are unpacked with the engine; a machine need not have them.
fn tool(name: &str) -> String {
    let unpacked = std::env::var_os("AGENTNET_ENGINES_DIR")
        .map_or_else(|| root().join("target/engines"), PathBuf::from)
        .join("bin")
        .join(name);
    match unpacked.exists() {
        true => unpacked.to_string_lossy().into_owned(),
        false => name.to_owned(),
    }
}
