//! `exec`: the exit codes of `docker run`, the search through `PATH`, and arguments left alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod harness;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use harness::{GATE, Namespace, can_run};

/// Runs a command behind the gate where the fence is sealed.
fn behind(namespace: &Namespace, words: &[&[u8]]) -> Output {
    let mut gate = namespace.gate();
    gate.args(["exec", "--fence", "none", "--"])
        .stdin(Stdio::null());
    gate.args(words.iter().map(|word| OsStr::from_bytes(word)))
        .output()
        .unwrap()
}

#[test]
fn arguments_and_exit_code_pass_through_untouched() {
    if !can_run() {
        return;
    }
    let namespace = Namespace::new();
    let script = b"printf '[%s]' \"$@\"; exit 7";
    let output = behind(
        &namespace,
        &[b"sh", b"-c", script, b"0", b"", b"--fence", b"a b", b"\xff"],
    );
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stdout, b"[][--fence][a b][\xff]");
    assert_eq!(output.stderr, b"", "a sealed fence says nothing");
}

#[test]
fn a_command_is_searched_in_path_and_the_failures_are_those_of_docker_run() {
    if !can_run() {
        return;
    }
    let namespace = Namespace::new();
    let code = |words: &[&[u8]]| behind(&namespace, words).status.code();
    assert_eq!(code(&[b"true"]), Some(0));
    assert_eq!(code(&[b"/bin/true"]), Some(0));
    assert_eq!(code(&[b"no-such-command"]), Some(127));
    assert_eq!(code(&[b"/no/such/command"]), Some(127));
    let file = tempfile::NamedTempFile::new().unwrap();
    let mode = |mode| std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode));
    mode(0o644).unwrap();
    assert_eq!(code(&[file.path().as_os_str().as_bytes()]), Some(126));
    assert_eq!(code(&[b"/"]), Some(126));
}

#[test]
fn the_environment_of_the_command_is_the_containers() {
    if !can_run() {
        return;
    }
    let namespace = Namespace::new();
    let mut gate = namespace.gate();
    gate.env("MARK", "kept")
        .args(["exec", "--fence", "none", "--", "sh", "-c", "echo $MARK"]);
    let output = gate.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.stdout, b"kept\n");
}

#[test]
fn a_pipe_that_closes_ends_the_command_as_it_would_without_the_gate() {
    if !can_run() {
        return;
    }
    let namespace = Namespace::new();
    // Rust ignores SIGPIPE for itself; the command must not inherit that.
    let ignored = b"grep -i SigIgn /proc/self/status";
    let output = behind(&namespace, &[b"sh", b"-c", ignored]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mask = u64::from_str_radix(text.split_ascii_whitespace().nth(1).unwrap(), 16).unwrap();
    assert_eq!(mask & (1 << 12), 0, "SIGPIPE is signal 13: {text}");
}

#[test]
fn wrong_usage_of_exec_is_ours_and_of_verify_is_usage() {
    let code = |words: &[&str]| {
        let output = Command::new(GATE)
            .args(words)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (output.status.code().unwrap(), !output.stderr.is_empty())
    };
    assert_eq!(code(&["exec", "--fence", "none"]), (125, true));
    assert_eq!(
        code(&["exec", "--fence", "nonsense", "--", "true"]),
        (125, true)
    );
    assert_eq!(
        code(&["exec", "--fence", "network", "--", "true"]),
        (125, true)
    );
    assert_eq!(code(&["verify", "--fence", "network"]), (2, true));
    assert_eq!(code(&["verify"]), (2, true));
    assert_eq!(code(&["--version"]), (0, false));
    assert_eq!(code(&["exec", "--help"]), (0, false));
}
