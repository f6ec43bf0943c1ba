//! A small git repository, as a user would have one.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::command::run;

/// Makes a repository with one commit in `directory`, which is created.
pub fn create(directory: &Path) {
    fs::create_dir_all(directory).expect("a directory");
    fs::write(directory.join("README"), "a sample project\n").expect("a file");
    fs::write(directory.join("main.py"), "print('hello')\n").expect("a file");
    git(directory, &["init", "--quiet", "--initial-branch=main"]);
    commit(directory, "First");
}

/// Adds everything and commits it.
pub fn commit(directory: &Path, subject: &str) {
    git(directory, &["add", "--all"]);
    let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"];
    let words: Vec<_> = identity
        .into_iter()
        .chain(["commit", "--quiet", "--message", subject])
        .collect();
    git(directory, &words);
}

/// `git WORDS…` in a checkout, as its owner, without the machine's configuration.
#[track_caller]
pub fn git(directory: &Path, words: &[&str]) -> String {
    let mut command = Command::new("git");
    let [owner, me] = [directory, Path::new("/proc/self")].map(|path| fs::metadata(path).unwrap());
    if owner.uid() != me.uid() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    run(command.args(words)).expect()
}
