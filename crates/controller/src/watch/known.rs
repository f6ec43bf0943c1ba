//! Records that were read before. A watch looks at all of them every second, for days, and they hardly ever change.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use crate::paths::TaskDir;
use crate::record::Record;
use crate::task::TaskId;

/// Which writing of a record it was: each is a file of its own.
type Writing = (u64, i64, i64, u64);

/// What was read, and when it was written.
#[derive(Debug, Default)]
pub struct Known(Mutex<HashMap<TaskId, (Writing, Record)>>);

impl Known {
    /// A task's record, read only where it was written anew; `None` where there is none, or none that can be read.
    pub fn read(&self, id: &TaskId, dir: &TaskDir) -> Option<Record> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(file) = fs_err::metadata(dir.record()) else {
            known.remove(id);
            return None;
        };
        let writing = (file.ino(), file.mtime(), file.mtime_nsec(), file.size());
        if let Some((of, record)) = known.get(id)
            && *of == writing
        {
            return Some(record.clone());
        }
        let record = Record::read(dir).ok().flatten()?;
        known.insert(id.clone(), (writing, record.clone()));
        Some(record)
    }

    /// Forgets the tasks that are gone.
    pub fn keep(&self, ids: &[TaskId]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, _| ids.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::StateDir;
    use crate::record::{Phase, made};

    #[test]
    fn a_record_is_what_was_written_last_and_one_that_is_gone_is_none() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(home.path())).unwrap();
        let mut record = made();
        let (id, dir) = (record.task.clone(), state.task(&record.task));
        fs_err::create_dir_all(dir.record().parent().unwrap()).unwrap();
        let known = Known::default();
        assert_eq!(known.read(&id, &dir), None);
        for phase in [Phase::Partial, Phase::Run, Phase::Down] {
            record.phase = phase;
            record.write(&dir).unwrap();
            for _ in 0..2 {
                assert_eq!(known.read(&id, &dir), Some(record.clone()));
            }
        }
        fs_err::write(dir.record(), "{").unwrap();
        assert_eq!(known.read(&id, &dir), None);
        fs_err::remove_file(dir.record()).unwrap();
        assert_eq!(known.read(&id, &dir), None);
        record.write(&dir).unwrap();
        known.read(&id, &dir);
        known.keep(&[]);
        assert!(known.0.lock().unwrap().is_empty());
    }
}
