//! A new file in the place of the old one: when there is none, when it has grown, when it is damaged.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::line::Line;
use super::{Book, BookError, FILE, HEADER, Opened, trouble, writable};

/// What takes the file's place in one step.
const NEW: &str = "budgets.new";
/// One that could not be read.
pub(super) const ASIDE: &str = "budgets.corrupt";

impl Book {
    /// Moves the file out of the way. From here on every purse counts as spent.
    pub(super) fn set_aside(&mut self, path: &Path) -> Result<(), BookError> {
        self.reserved.clear();
        self.lost = true;
        // The new one stands before the old one is moved: a crash in between must not leave none.
        let aside = self.directory.join(ASIDE);
        fs::remove_file(&aside).ok();
        fs::hard_link(path, &aside)
            .map_err(|source| trouble(aside.clone(), "made from the damaged file", source))?;
        self.rewrite()?;
        self.news = Some(aside);
        Ok(())
    }

    /// Writes what is known into a new file that takes the old one's place in one step.
    pub(super) fn rewrite(&mut self) -> Result<(), BookError> {
        let (new, path) = (self.directory.join(NEW), self.directory.join(FILE));
        let mut text = HEADER.to_owned();
        let mut lines = 0;
        let mut put = |line: Line| {
            text.push_str(&line.to_string());
            lines += 1;
        };
        if self.lost {
            put(Line::Lost);
        }
        // A purse that is whole again need not be remembered, unless all others count as spent.
        self.reserved.retain(|_, bytes| *bytes > 0 || self.lost);
        for (key, bytes) in &self.reserved {
            put(Line::Change(key.clone(), i128::from(*bytes)));
        }
        let write = || {
            fs::remove_file(&new).ok();
            let mut file = writable(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            let identity = file.metadata().map(|found| (found.dev(), found.ino()))?;
            fs::rename(&new, &path)?;
            File::open(&self.directory)?.sync_all()?;
            Ok(Opened {
                file,
                identity,
                length: text.len() as u64,
                lines,
            })
        };
        let opened = write().map_err(|source| trouble(path.clone(), "written", source))?;
        self.open = Some(opened);
        Ok(())
    }
}
