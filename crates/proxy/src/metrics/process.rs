//! What every Prometheus dashboard asks of a process, under the names that client libraries agreed on.
//!
//! Read from `/proc/self` when somebody scrapes, and only then. The prometheus crate has a collector
//! for this, for which it takes procfs, and which the prefix of our registry would rename.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use prometheus::{Counter, Gauge, IntGauge, Registry};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// The `process_*` metrics.
#[derive(Debug)]
pub(super) struct Process {
    registry: Registry,
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    virtual_bytes: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    threads: IntGauge,
    start_time: Gauge,
    /// Two scrapes at once must not both add the same seconds.
    reading: Mutex<()>,
}

impl Process {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let cpu_seconds = Counter::new(
            "process_cpu_seconds_total",
            "User and system time that the process took.",
        )?;
        registry.register(Box::new(cpu_seconds.clone()))?;
        let start_time = Gauge::new(
            "process_start_time_seconds",
            "Unix time at which the process started.",
        )?;
        registry.register(Box::new(start_time.clone()))?;
        Ok(Self {
            cpu_seconds,
            start_time,
            resident_bytes: gauge("process_resident_memory_bytes", "Memory in RAM.")?,
            virtual_bytes: gauge("process_virtual_memory_bytes", "Address space.")?,
            open_fds: gauge("process_open_fds", "Open file descriptors.")?,
            max_fds: gauge(
                "process_max_fds",
                "Descriptors that the process may have open.",
            )?,
            threads: gauge("process_threads", "Threads.")?,
            reading: Mutex::new(()),
            registry,
        })
    }

    /// Reads the kernel's figures. One that cannot be read stays as it was.
    pub(super) fn gather(&self) -> Vec<prometheus::proto::MetricFamily> {
        let _one = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stat) = read("/proc/self/stat").as_deref().and_then(Stat::parse) {
            let ticks = clock_ticks_per_second();
            let gone = seconds(stat.cpu_ticks, ticks) - self.cpu_seconds.get();
            self.cpu_seconds.inc_by(gone.max(0.0));
            self.resident_bytes.set(signed(
                stat.resident_pages.saturating_mul(page_size() as u64),
            ));
            self.virtual_bytes.set(signed(stat.virtual_bytes));
            self.threads.set(signed(stat.threads));
            // Once: the kernel moves its idea of the boot when the clock is set, and it would look
            // like a restart.
            if self.start_time.get() == 0.0
                && let Some(boot) = read("/proc/stat").as_deref().and_then(boot_time)
            {
                self.start_time
                    .set(boot + seconds(stat.started_ticks, ticks));
            }
        }
        if let Some(open) = open_descriptors(Path::new("/proc/self/fd")) {
            self.open_fds.set(signed(open));
        }
        let limit = getrlimit(Resource::Nofile).current;
        self.max_fds.set(signed(limit.unwrap_or(u64::MAX)));
        self.registry.gather()
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 ticks are three million years"
)]
fn seconds(ticks: u64, per_second: u64) -> f64 {
    ticks as f64 / per_second.max(1) as f64
}

/// Since Linux 6.2 the directory's size is the answer; before, it is 0 and the entries are counted.
fn open_descriptors(directory: &Path) -> Option<u64> {
    match fs::metadata(directory).ok()?.len() {
        // The one with which the directory is read does not count.
        0 => Some((fs::read_dir(directory).ok()?.count() as u64).saturating_sub(1)),
        size => Some(size),
    }
}

/// The seconds since the epoch at which the machine started.
fn boot_time(text: &str) -> Option<f64> {
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

/// The fields of `/proc/PID/stat` that we tell (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name in parentheses may hold anything, spaces and parentheses too.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        // proc_pid_stat(5) counts from 1; the first field behind the name is its third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)?.checked_add(field(15)?)?,
            threads: field(20)?,
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_stat_line_whatever_the_program_is_called() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 7 0 1234 \
                    8192000 321 18446744073709551615 1 1 0 0 0 0 0 4096 0";
        let stat = Stat::parse(line).unwrap();
        let expected = Stat {
            cpu_ticks: 300,
            threads: 7,
            started_ticks: 1234,
            virtual_bytes: 8_192_000,
            resident_pages: 321,
        };
        assert_eq!(stat, expected);
        assert_eq!(Stat::parse("42 (a) S 1 2"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn reads_when_the_machine_started() {
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\n"), Some(1.7e9));
        assert_eq!(boot_time("cpu 1 2\n"), None);
    }

    #[test]
    fn tells_figures_of_this_process_and_never_counts_down() {
        let process = Process::new().unwrap();
        process.gather();
        let first = process.cpu_seconds.get();
        process.gather();
        assert!(process.cpu_seconds.get() >= first);
        assert!(process.resident_bytes.get() > 0);
        assert!(process.virtual_bytes.get() > process.resident_bytes.get());
        assert!(process.open_fds.get() > 0);
        assert!(process.max_fds.get() >= process.open_fds.get());
        assert!(process.threads.get() >= 1);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        assert!(process.start_time.get() > 0.0);
        assert!(process.start_time.get() <= now.as_secs_f64() + 1.0);
    }
}
