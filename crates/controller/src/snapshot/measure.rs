//! What a snapshot will cost, before it is made.

use serde::Serialize;

use super::exclude::Excluded;
use super::place::{Place, extractor, places};
use super::{PATIENCE, RESERVE};
use crate::ceiling::binary;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::extractor::{Extractor, Job};
use crate::labels::Role;
use crate::paths::StateDir;
use crate::record::Record;
use crate::spec::Capability;

/// Entries that a place may have.
const MOST_ENTRIES: u64 = 2_000_000;
/// Bytes that an archive has for an entry besides its content: a header and what fills a block up.
const ENTRY: u64 = 1024;
/// What an ordinary machine stores in a second, with room.
const BYTES_PER_SECOND: u64 = 100 << 20;
/// The same for entries.
const ENTRIES_PER_SECOND: u64 = 10_000;

/// What is there to be stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Each part: name, entries (unknown of the container), bytes.
    pub parts: Vec<Line>,
    /// Bytes in all, as archives.
    pub bytes: u64,
    /// About how long the task would stand still.
    pub seconds: u64,
    /// Bytes that are free where snapshots are kept.
    pub free: Option<u64>,
}

/// One part of an estimate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Which.
    pub part: String,
    /// Files, directories and links.
    pub entries: Option<u64>,
    /// Bytes on the disk.
    pub bytes: u64,
}

impl Estimate {
    /// In one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        let parts: Vec<_> = self
            .parts
            .iter()
            .map(|line| {
                let entries = line.entries.map(|n| format!(" in {n} entries"));
                format!(
                    "{} {}{}",
                    line.part,
                    binary(line.bytes),
                    entries.unwrap_or_default()
                )
            })
            .collect();
        format!(
            "about {} to store ({}), for which the task stands still for about {} s",
            binary(self.bytes),
            parts.join(", "),
            self.seconds
        )
    }

    /// Refuses what is too much for the limit or for the disk.
    pub fn check(&self, most: u64) -> Result<()> {
        for line in &self.parts {
            if line.entries.is_some_and(|entries| entries > MOST_ENTRIES) {
                return Err(Error::Failed(format!(
                    "{} has more than {MOST_ENTRIES} entries; --exclude leaves something out",
                    line.part
                )));
            }
        }
        if self.bytes > most {
            return Err(Error::Failed(format!(
                "the snapshot would have about {}, and at most {} are taken; --exclude leaves something out, --max-size \
                 takes more",
                binary(self.bytes),
                binary(most)
            )));
        }
        room(self.free, self.bytes, "the snapshot")
    }
}

/// Refuses what a disk has no room for.
pub(super) fn room(free: Option<u64>, needed: u64, what: &str) -> Result<()> {
    match free {
        Some(free) if free < needed.saturating_add(RESERVE) => {
            let full = format!(
                "{what} needs about {}, and {} are free on that disk, of which {} stay free",
                binary(needed),
                binary(free),
                binary(RESERVE)
            );
            Err(std::io::Error::new(std::io::ErrorKind::StorageFull, full).into())
        }
        Some(_) | None => Ok(()),
    }
}

/// Looks at every place. Changes nothing.
pub async fn estimate<E: Engine>(
    engine: &E,
    state: &StateDir,
    record: &Record,
    excluded: &Excluded,
) -> Result<Estimate> {
    let facts = engine.facts().await;
    let facts = facts.map_err(Error::engine("asking the engine"))?;
    let extractor = extractor(engine, state, &facts, record)?;
    let mut parts = Vec::new();
    for place in places(engine, state, record).await? {
        parts.push(measure(&extractor, &place, excluded).await?);
    }
    if let Some(agent) = record.container(Role::Agent) {
        let written = engine.written(agent).await;
        parts.push(Line {
            part: "container".to_owned(),
            entries: None,
            bytes: written.map_err(Error::engine(format!("measuring {agent}")))?,
        });
    }
    let entries: u64 = parts.iter().filter_map(|line| line.entries).sum();
    let bytes = parts.iter().map(|line| line.bytes).sum::<u64>() + entries * ENTRY;
    Ok(Estimate {
        bytes,
        seconds: 1 + bytes / BYTES_PER_SECOND + entries / ENTRIES_PER_SECOND,
        free: crate::disk::free(state.root()),
        parts,
    })
}

async fn measure<E: Engine>(
    extractor: &Extractor<'_, E>,
    place: &Place,
    excluded: &Excluded,
) -> Result<Line> {
    let job = reading(
        place,
        excluded,
        "measuring",
        include_str!("scripts/measure.sh"),
    );
    let said = extractor.capture(job).await?;
    let said = String::from_utf8_lossy(&said);
    let mut numbers = said.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(entries)), Some(Ok(bytes))) => Ok(Line {
            part: place.what.to_string(),
            entries: Some(entries),
            bytes,
        }),
        _ => Err(Error::Failed(format!(
            "measuring {}: no figures came",
            place.what
        ))),
    }
}

/// A job that looks at a place as root of its container: a volume has files of several owners.
pub(super) fn reading(place: &Place, excluded: &Excluded, doing: &str, script: &str) -> Job {
    let script = format!("{}\n{script}", include_str!("scripts/select.sh"));
    let mut words = vec![place.target().to_owned()];
    words.extend(place.never());
    if place.what == super::What::Files {
        words.extend(excluded.tests());
    }
    Job::script(format!("{doing} {}", place.what), &script)
        .arguments(words)
        .mounts([place.mount(false)])
        .as_root(&Capability::READ)
        .within(PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn estimate(bytes: u64, entries: u64, free: u64) -> Estimate {
        Estimate {
            parts: vec![Line {
                part: "files".into(),
                entries: Some(entries),
                bytes,
            }],
            bytes,
            seconds: 3,
            free: Some(free),
        }
    }

    #[test]
    fn what_fits_is_taken_and_what_does_not_is_said_with_what_helps() {
        let gib = 1 << 30;
        estimate(gib, 10, 8 * gib).check(2 * gib).unwrap();
        let big = estimate(3 * gib, 10, 8 * gib).check(2 * gib).unwrap_err();
        assert!(big.to_string().contains("--max-size"), "{big}");
        let many = estimate(1, MOST_ENTRIES + 1, 8 * gib)
            .check(gib)
            .unwrap_err();
        assert!(many.to_string().contains("--exclude"), "{many}");
        let full = estimate(gib, 10, gib).check(2 * gib).unwrap_err();
        assert_eq!(full.exit(), Exit::Exhausted, "{full}");
    }

    #[test]
    fn an_estimate_is_one_line() {
        assert_eq!(
            estimate(5 << 20, 12, 1).sentence(),
            "about 5 MiB to store (files 5 MiB in 12 entries), for which the task stands still for about 3 s"
        );
    }
}
