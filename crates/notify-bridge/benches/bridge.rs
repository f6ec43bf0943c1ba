//! What the bridge costs: the time from a file to an outlet, its idle processor time, and a million
//! swaps of links against its reader. Run all with `cargo bench -p agentnet-notify --bench bridge`, or
//! one: `-- latency`, `-- idle 60`, `-- races 1000000`, `-- flood`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark that fails has failed, and prints"
)]

#[path = "../tests/watch/harness.rs"]
#[allow(dead_code, reason = "the tests use the rest of it")]
mod harness;

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agentnet_notify::{AlertName, take};

use harness::{World, alert, scratch, write};

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let figure = |usual: u64| {
        let given = arguments.get(1).map(|text| text.parse().unwrap());
        given.unwrap_or(usual)
    };
    match arguments.first().map(String::as_str) {
        None => {
            latency(200);
            flood();
            races(1_000_000);
            idle(60);
        }
        Some("latency") => latency(figure(200)),
        Some("flood") => flood(),
        Some("races") => races(figure(1_000_000)),
        Some("idle") => idle(figure(60)),
        Some(other) => panic!("{other}: there are latency, flood, races and idle"),
    }
}

/// From the rename of a file to the line in the log: found, moved, read, written down with two
/// syncs, removed, shown. Forty tasks, so that no limit is met, and a bridge that sleeps in between.
fn latency(rounds: u64) {
    let world = World::on_disk();
    let outs: Vec<_> = (0..40).map(|n| world.task(&format!("task-{n}"))).collect();
    world.is_well();
    let mut times = Vec::new();
    for round in 0..rounds {
        let out = &outs[usize::try_from(round).unwrap() % outs.len()];
        let before = fs::metadata(world.path("log")).unwrap().len();
        let began = Instant::now();
        write(out, &format!("a-{round}"), &alert("info", "x"));
        while fs::metadata(world.path("log")).unwrap().len() == before {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "it was not shown"
            );
            std::thread::sleep(Duration::from_micros(100));
        }
        times.push(began.elapsed());
        std::thread::sleep(Duration::from_millis(30));
        if round % 300 == 299 {
            // Ten a minute and task.
            std::thread::sleep(Duration::from_secs(61));
        }
    }
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1000.0;
    println!(
        "file to outlet, {rounds} alerts: median {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
        at(50),
        at(90),
        at(99),
        at(100)
    );
}

/// A hundred thousand files, written as fast as they can be.
fn flood() {
    let world = World::running();
    let out = world.out();
    world.is_well();
    let rested = world.memory("VmRSS");
    let began = Instant::now();
    let noise = alert("info", "noise");
    for number in 0..100_000 {
        write(&out, &format!("n-{number}"), &noise);
    }
    let written = began.elapsed();
    world.until(World::is_empty);
    world.until(|world| world.texts().iter().any(|text| text.starts_with("and ")));
    println!(
        "100,000 files: written in {:.1} s, gone after {:.1} s, {} notices, {} KiB before, {} KiB after, {} KiB at most",
        written.as_secs_f64(),
        began.elapsed().as_secs_f64(),
        world.texts().len(),
        rested,
        world.memory("VmRSS"),
        world.memory("VmHWM")
    );
}

/// A writer that swaps honest files, links and hard links behind one name, and the reader.
fn races(swaps: u64) {
    let dir = scratch();
    let (out, taken) = (dir.path().join("out"), dir.path().join("taken"));
    fs::create_dir(&out).unwrap();
    fs::create_dir(&taken).unwrap();
    let secret = dir.path().join("secret.json");
    fs::write(&secret, alert("info", "secret")).unwrap();
    let (held, moved) = (
        fs::File::open(&out).unwrap(),
        fs::File::open(taken).unwrap(),
    );
    let name = AlertName::parse("x.json".as_ref()).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0..swaps {
                swap(turn, &out, &secret);
            }
            stop.store(true, Ordering::Relaxed);
        });
        let (mut honest, mut refused, mut outside) = (0_u64, 0_u64, 0_u64);
        while !stop.load(Ordering::Relaxed) {
            match take(held.as_fd(), &name, moved.as_fd()) {
                Ok(alert) if alert.text == "honest" => honest += 1,
                Ok(_) => outside += 1,
                Err(_) => refused += 1,
            }
        }
        println!(
            "{swaps} swaps: {honest} honest reads, {refused} refused, {outside} outside the spool"
        );
        assert_eq!(outside, 0);
    });
}

fn swap(turn: u64, out: &Path, secret: &Path) {
    let new = out.join("new");
    match turn % 4 {
        0 => fs::write(&new, alert("info", "honest")).unwrap(),
        1 => symlink(secret, &new).unwrap(),
        2 => fs::hard_link(secret, &new).unwrap(),
        _ => symlink("../secret.json", &new).unwrap(),
    }
    fs::rename(&new, out.join("x.json")).unwrap();
}

/// Processor time of a bridge with ten tasks and nothing to do.
fn idle(seconds: u64) {
    let world = World::running();
    for task in 0..10 {
        world.task(&format!("task-{task}"));
    }
    world.is_well();
    // What the start leaves to do: the status file, new directories.
    std::thread::sleep(Duration::from_secs(12));
    let before = (ticks(world.pid()), ran(world.pid()), switches(&world));
    std::thread::sleep(Duration::from_secs(seconds));
    println!(
        "idle for {seconds} s with 11 tasks: {} ticks of 10 ms ({:.1} ms by the scheduler), {} wake-ups, {} KiB in RAM",
        ticks(world.pid()) - before.0,
        (ran(world.pid()) - before.1).as_secs_f64() * 1000.0,
        switches(&world) - before.2,
        world.memory("VmRSS")
    );
}

/// User and system time, in ticks.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<u64> = rest
        .split(' ')
        .map(|field| field.trim().parse().unwrap_or(0))
        .collect();
    fields[11] + fields[12]
}

/// The same as the scheduler counts it, where it does.
fn ran(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    Duration::from_nanos(first.parse().unwrap_or(0))
}

fn switches(world: &World) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", world.pid())).unwrap();
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}
