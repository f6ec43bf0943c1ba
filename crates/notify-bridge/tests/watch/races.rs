//! The reader against a writer that swaps what is behind a name all the time.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use agentnet_notify::{AlertName, take};

use crate::harness::{alert, scratch};

/// Swaps in this test; `cargo bench -p agentnet-notify --bench bridge -- races` does a million.
const SWAPS: u64 = 20_000;

#[test]
fn w120_and_w123_no_swap_of_links_gets_a_read_outside_the_spool() {
    let dir = scratch();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let secret = dir.path().join("secret.json");
    fs::write(&secret, alert("info", "secret")).unwrap();
    let taken = dir.path().join("taken");
    fs::create_dir(&taken).unwrap();
    let held = fs::File::open(&out).unwrap();
    let taken = fs::File::open(&taken).unwrap();
    let name = AlertName::parse("x.json".as_ref()).unwrap();
    let stop = AtomicBool::new(false);
    let swaps = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while swaps.load(Ordering::Relaxed) < SWAPS {
                swap(&out, &secret);
                swaps.fetch_add(4, Ordering::Relaxed);
            }
            stop.store(true, Ordering::Relaxed);
        });
        let (mut honest, mut refused) = (0_u64, 0_u64);
        while !stop.load(Ordering::Relaxed) {
            match take(held.as_fd(), &name, taken.as_fd()) {
                Ok(alert) => {
                    assert_eq!(alert.text, "honest");
                    honest += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(
            honest > 0 && refused > 0,
            "{honest} honest, {refused} refused"
        );
    });
}

fn swap(out: &Path, secret: &Path) {
    let put = |name: &str| fs::rename(out.join(name), out.join("x.json")).unwrap();
    fs::write(out.join("a"), alert("info", "honest")).unwrap();
    put("a");
    symlink(secret, out.join("b")).unwrap();
    put("b");
    fs::hard_link(secret, out.join("c")).unwrap();
    put("c");
    symlink("../secret.json", out.join("d")).unwrap();
    put("d");
}
