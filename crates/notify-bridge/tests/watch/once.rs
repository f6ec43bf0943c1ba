//! Once and never twice, whatever dies when.

use std::collections::BTreeMap;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{World, alert, binary, write};

#[test]
fn an_alert_written_while_no_bridge_runs_is_shown_once_by_the_next() {
    let mut world = World::new();
    world.say("a", "before");
    world.start();
    world.until(|world| world.texts() == ["before"]);
    world.kill();
    world.say("b", "between");
    world.start();
    world.until(|world| world.texts().len() == 2);
    world.is_well();
    assert_eq!(world.texts(), ["before", "between", "all is well"]);
}

#[test]
fn a_bridge_that_is_told_to_end_ends_well_and_says_that_it_does_not_run() {
    let mut world = World::running();
    world.is_well();
    let pid = Pid::from_raw(world.pid().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(world.ended().code(), Some(0));
    let status = world.status();
    assert_eq!(status["running"], false);
    assert_eq!(status["last"][0]["body"], "all is well");
}

#[test]
fn a_second_bridge_ends_with_its_own_exit_code_and_names_the_first() {
    let world = World::on_disk();
    world.is_well();
    let second = Command::new(binary())
        .args(world.arguments())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(3));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains(&format!("process {}", world.pid())), "{said}");
    let status = world.status();
    assert_eq!(
        (&status["running"], &status["pid"]),
        (&true.into(), &world.pid().into())
    );
}

#[test]
fn after_a_kill_at_any_moment_nothing_is_shown_twice_and_what_is_missing_is_told() {
    let mut world = World::new();
    let mut written = 0;
    // Twelve tasks, so that no limit is met; each round is killed a little later than the last.
    for round in 0..24_u64 {
        for task in 0..12 {
            if round % 3 == 0 {
                let out = world.task(&format!("task-{task}"));
                let text = alert("info", &format!("alert {round} {task}"));
                write(&out, &format!("a-{round}"), &text);
                written += 1;
            }
        }
        world.start();
        let shown = world.texts().len();
        // From before it has begun to after it has shown something.
        let late = std::time::Duration::from_millis(round * 2 + 5);
        let end = std::time::Instant::now() + late;
        world.until(|world| std::time::Instant::now() > end || world.texts().len() > shown + 6);
        world.kill();
    }
    world.start();
    let times = |world: &World| {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for text in world.texts() {
            *times.entry(text).or_default() += 1;
        }
        times
    };
    let unconfirmed = |world: &World| world.trouble().matches("was on its way").count();
    world.until(|world| times(world).len() + unconfirmed(world) >= written);
    world.is_well();
    let times = times(&world);
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert!(written + 1 - times.len() <= unconfirmed(&world));
}
