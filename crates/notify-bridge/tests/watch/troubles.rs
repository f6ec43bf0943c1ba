//! What a machine may do to a bridge: a full disk, no inotify, a state directory that goes, tasks without end.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{World, alert, binary, write};

/// `unshare` with these words; `None`, and why on standard error, where this machine refuses it.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn unshare(words: &[&str]) -> Option<Command> {
    let mut tried = Command::new("unshare");
    let ended = tried.args(words).arg("true").output();
    if !ended.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no unshare {} here: {ended:?}", words.join(" "));
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(words).args(["sh", "-c"]);
    Some(command)
}

/// A bridge behind a line of shell.
fn start_behind(world: &mut World, mut unshared: Command, line: &str) {
    unshared.arg(format!("{line} && exec \"$@\"")).arg("sh");
    unshared.arg(binary()).args(world.arguments());
    world.start_as(unshared);
}

#[test]
fn on_a_full_disk_everything_waits_and_is_shown_once_when_there_is_room() {
    let mut world = World::new();
    let words: &[&str] = if rustix::process::geteuid().is_root() {
        &["--mount"]
    } else {
        &["--mount", "--map-root-user"]
    };
    let Some(unshared) = unshare(words) else {
        return;
    };
    let state = world.path("state");
    let mount = format!("mount -t tmpfs -o size=512k none {}", state.display());
    start_behind(&mut world, unshared, &mount);
    // Only the bridge sees that disk; its files are reached through it.
    let inside = PathBuf::from(format!("/proc/{}/root{}", world.pid(), state.display()));
    let bridges = inside.join("notify/bridge");
    world.until(|_| bridges.join("status.json").exists());
    let outs: Vec<PathBuf> = (0..5)
        .map(|task| inside.join(format!("tasks/shop/t-{task}/spool/out")))
        .collect();
    let pid = Pid::from_raw(world.pid().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let mut expected = Vec::new();
    for (task, out) in outs.iter().enumerate() {
        fs::create_dir_all(out).unwrap();
        for number in 0..6 {
            let text = format!("alert {task} {number}");
            write(out, &format!("a-{number}"), &alert("info", &text));
            expected.push(text);
        }
    }
    let fill = inside.join("fill");
    let full = fs::write(&fill, vec![0; 512 * 1024]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    kill_process(pid, Signal::CONT).unwrap();
    world.until(|world| world.trouble().contains("the journal cannot be written"));
    assert_eq!(world.texts(), Vec::<String>::new());
    fs::remove_file(fill).unwrap();
    world.until(|world| world.texts().len() >= expected.len());
    let mut texts = world.texts();
    texts.sort();
    assert_eq!(texts, expected);
    world.until(|_| {
        outs.iter()
            .all(|out| fs::read_dir(out).unwrap().count() == 0)
    });
}

#[test]
fn without_inotify_or_with_too_few_of_its_watches_alerts_are_found_all_the_same() {
    for (limit, most) in [("max_inotify_instances", 0), ("max_inotify_watches", 1)] {
        let Some(unshared) = unshare(&["--user", "--map-root-user"]) else {
            return;
        };
        let mut world = World::new();
        world.task("another");
        let lower = format!("echo {most} >/proc/sys/user/{limit}");
        start_behind(&mut world, unshared, &lower);
        world.is_well();
        let trouble = world.trouble();
        assert!(
            trouble.contains("spools are looked at every second"),
            "{limit}: {trouble}"
        );
    }
}

#[test]
fn a_state_directory_that_is_removed_under_the_bridge_ends_it_with_a_sentence() {
    let mut world = World::running();
    world.is_well();
    fs::remove_dir_all(world.path("state")).unwrap();
    assert_eq!(world.ended().code(), Some(1));
    let trouble = world.trouble();
    assert!(trouble.contains("start the bridge again"), "{trouble}");
    // And the next one begins with what is there.
    world.start();
    world.is_well();
}

#[test]
fn ten_thousand_tasks_are_said_to_be_too_many_and_cost_no_more_than_a_thousand() {
    let mut world = World::new();
    let many = world.path("state/tasks/many");
    for task in 0..10_000 {
        fs::create_dir_all(many.join(format!("t-{task}/spool/out"))).unwrap();
    }
    world.start();
    world.until(|world| world.trouble().contains("1024 tasks"));
    world.until(|world| world.status()["spools"] == 1025);
    assert!(
        world.memory("VmHWM") <= 16 * 1024,
        "{} KiB",
        world.memory("VmHWM")
    );
    // Those that are looked at are heard, and the others when there is room for them.
    fs::remove_dir_all(many).unwrap();
    world.is_well();
}
