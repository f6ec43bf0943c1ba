//! Figures as people read them.

use super::Load;
use crate::engine::HealthState;

/// Bytes as people read them: `999`, `1.2K`, `340M`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if count < 1_000 {
        return count.to_string();
    }
    let mut unit = 0;
    let mut tenths = count.saturating_mul(10) / 1_024;
    // 1000 of a unit are one of the next, so that there are never four digits.
    while tenths >= 9_995 && unit + 1 < UNITS.len() {
        tenths /= 1_024;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if tenths < 100 {
        format!("{}.{}{unit}", tenths / 10, tenths % 10)
    } else {
        format!("{}{unit}", tenths / 10)
    }
}

/// A time span as people read it: `59s`, `12m`, `3h`, `2d`.
#[must_use]
pub fn span(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3_600 => format!("{}m", s / 60),
        s @ 3_600..86_400 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

/// A health in a word, nothing where there is no check.
#[must_use]
pub fn health(health: Option<HealthState>) -> &'static str {
    match health {
        Some(HealthState::Healthy) => "healthy",
        Some(HealthState::Unhealthy) => "unhealthy",
        Some(HealthState::Starting) => "starting",
        Some(HealthState::None) | None => "",
    }
}

/// `12%`, or nothing where nobody knows.
#[must_use]
pub fn cpu(load: Option<&Load>) -> String {
    let rate = load.and_then(|load| load.cpu_percent);
    rate.map(|rate| format!("{rate:.0}%")).unwrap_or_default()
}

/// `512M/4.0G`.
#[must_use]
pub fn memory(load: Option<&Load>) -> String {
    load.map_or_else(String::new, |load| {
        part_of(bytes(load.memory), load.memory_limit.map(bytes))
    })
}

/// `7/512`.
#[must_use]
pub fn pids(load: Option<&Load>) -> String {
    load.map_or_else(String::new, |load| {
        let limit = load.pids_limit.map(|limit| limit.to_string());
        part_of(load.pids.to_string(), limit)
    })
}

fn part_of(used: String, limit: Option<String>) -> String {
    match limit {
        Some(limit) => format!("{used}/{limit}"),
        None => used,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "0.9K"),
            (1_536, "1.5K"),
            (10 << 10, "10K"),
            (1023 << 10, "0.9M"),
            (512 << 20, "512M"),
            (4 << 30, "4.0G"),
            (u64::MAX, "1638P"),
        ] {
            assert_eq!(bytes(count), text, "{count}");
        }
        let spans = [-5, 59, 61, 7_200, 200_000].map(span);
        assert_eq!(spans, ["0s", "59s", "1m", "2h", "2d"]);
    }
}
