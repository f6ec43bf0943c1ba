//! What there is to collect, as the extractor lists it, and what of it is taken: an agent can make
//! a million files, or one of a petabyte.

use serde::{Deserialize, Serialize};

use crate::output::printable;

/// How much is taken.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Files.
    pub files: usize,
    /// Bytes of one file.
    pub each: u64,
    /// Bytes of all.
    pub all: u64,
}

/// Directories above a file.
const DEEPEST: usize = 64;
/// Bytes of a path.
const LONGEST: usize = 1024;
/// How many things that were left out are named one by one.
const MOST_NAMED: usize = 50;

/// One path below the task's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// What it is, as find's `%y` has it: `f`, `l`, `d`, `p` …; `x` for what is gone.
    kind: char,
    size: u64,
    path: String,
}

/// Something that was not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeftOut {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

impl LeftOut {
    pub(super) fn new(what: impl Into<String>, why: impl Into<String>) -> LeftOut {
        LeftOut {
            what: printable(&what.into()),
            why: printable(&why.into()),
        }
    }
}

impl Entry {
    /// Below the task's files.
    #[must_use]
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// What is taken, and what is not.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Regular files, in order.
    pub files: Vec<String>,
    /// Symbolic links, in order.
    pub links: Vec<String>,
    /// What the base had and the tree has not, in order.
    pub gone: Vec<String>,
    /// The rest.
    pub left_out: Vec<LeftOut>,
}

/// Reads records of kind, size and path that end in a NUL. A last one without it was cut off.
#[must_use]
pub(super) fn parse(bytes: &[u8]) -> Vec<Entry> {
    let mut records: Vec<_> = bytes.split(|byte| *byte == 0).collect();
    // What follows the last NUL.
    records.pop();
    records.into_iter().filter_map(entry).collect()
}

fn entry(record: &[u8]) -> Option<Entry> {
    let text = String::from_utf8_lossy(record);
    let mut parts = text.splitn(3, ' ');
    let kind = parts.next()?.chars().next()?;
    let size = parts.next()?.parse().ok()?;
    let path = parts.next()?;
    let path = path.strip_prefix("./").unwrap_or(path);
    Some(Entry {
        kind,
        size,
        path: path.to_owned(),
    })
}

/// Takes what fits, in the order of the list.
#[must_use]
pub(super) fn select(entries: Vec<Entry>, bounds: Bounds) -> Selection {
    let mut selection = Selection::default();
    let (mut total, mut unnamed, mut surplus) = (0_u64, 0_usize, 0_usize);
    for entry in entries {
        let odd = match entry.kind {
            'f' | 'l' | 'x' => refuse(&entry, bounds),
            'd' => Some("it is a directory with a repository of its own".to_owned()),
            _ => Some("it is neither a file nor a link".to_owned()),
        };
        let size = if entry.kind == 'f' { entry.size } else { 0 };
        let full = selection.files.len() + selection.links.len() >= bounds.files
            || total.saturating_add(size) > bounds.all;
        let is_gone = entry.kind == 'x';
        match odd {
            Some(why) if selection.left_out.len() < MOST_NAMED => {
                selection.left_out.push(LeftOut::new(entry.path, why));
            }
            Some(_) => unnamed += 1,
            // Of those there is nothing to take but the name.
            None if is_gone => selection.gone.push(entry.path),
            None if full => surplus += 1,
            None if entry.kind == 'l' => selection.links.push(entry.path),
            None => {
                total += size;
                selection.files.push(entry.path);
            }
        }
    }
    if unnamed > 0 {
        let more = LeftOut::new(format!("{unnamed} more"), "as those above");
        selection.left_out.push(more);
    }
    if surplus > 0 {
        let Bounds { files, all, .. } = bounds;
        let why = format!("at most {files} files and {all} bytes are taken");
        let more = LeftOut::new(format!("{surplus} files"), why);
        selection.left_out.push(more);
    }
    selection
}

fn refuse(entry: &Entry, bounds: Bounds) -> Option<String> {
    if entry.path.contains(char::REPLACEMENT_CHARACTER) {
        return Some("its name is not UTF-8".to_owned());
    }
    if entry.path.len() > LONGEST || entry.path.split('/').count() > DEEPEST {
        return Some("its path is too long or too deep".to_owned());
    }
    if entry.kind == 'f' && entry.size > bounds.each {
        return Some(format!(
            "it has {} bytes, at most {} are taken",
            entry.size, bounds.each
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        files: 3,
        each: 10,
        all: 15,
    };

    fn selected(listing: &str) -> Selection {
        select(parse(listing.as_bytes()), BOUNDS)
    }

    #[test]
    fn takes_files_and_links_and_names_the_rest() {
        let selection = selected("f 1 ./b c\0l 4 ./a\0p 0 fifo\0d 9 nested/\0");
        assert_eq!(selection.files, ["b c"]);
        assert_eq!(selection.links, ["a"]);
        let left: Vec<_> = selection.left_out.iter().map(|l| l.what.as_str()).collect();
        assert_eq!(left, ["fifo", "nested/"]);
    }

    #[test]
    fn a_file_too_large_or_too_much_together_or_one_too_many_is_left_out() {
        assert_eq!(selected("f 11 a\0").files, [] as [&str; 0]);
        let full = selected("f 10 a\0f 6 b\0f 5 c\0");
        assert_eq!(full.files, ["a", "c"]);
        assert_eq!(full.left_out.len(), 1);
        assert_eq!(full.left_out[0].what, "1 files");
        assert_eq!(
            selected("f 1 a\0f 1 b\0l 1 c\0f 1 d\0").files,
            ["a", "b"],
            "three with the link"
        );
    }

    #[test]
    fn odd_names_are_left_out_and_a_cut_record_is_no_record() {
        let deep = format!("f 1 {}\0", "a/".repeat(70));
        assert_eq!(selected(&deep).files, [] as [&str; 0]);
        let mut bytes = b"f 1 caf\xe9\0f 1 ok\0f 1 cut".to_vec();
        assert_eq!(select(parse(&bytes), BOUNDS).files, ["ok"]);
        bytes.clear();
        assert_eq!(parse(&bytes), []);
    }

    #[test]
    fn a_million_refusals_are_a_page() {
        let many: String = (0..1000).map(|n| format!("p 0 {n}\0")).collect();
        let selection = selected(&many);
        assert_eq!(selection.left_out.len(), MOST_NAMED + 1);
        assert_eq!(selection.left_out[MOST_NAMED].what, "950 more");
    }
}
