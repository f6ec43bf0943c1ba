//! The parts that look at the task's files: in the extractor, each bounded.

use std::io::Cursor;
use std::path::Path;

use serde::Serialize;

use super::listing::{Bounds, LeftOut, Selection, parse, select};
use super::unpack::unpack;
use super::{Collector, PATIENCE, Part, most};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::extractor::{Extractor, Input, Job};
use crate::output::printable;
use crate::scan::{Planted, scan};
use crate::workspace::Workspace;

/// A line of `commits.json`.
#[derive(Debug, Serialize)]
struct Commit {
    commit: String,
    parents: Vec<String>,
    author: String,
    time: String,
    subject: String,
}

/// Why a directory as it is has no patch.
const NO_BASE: &str = "the task works on a directory as it is: nobody knows what was there before";

impl<E: Engine> Collector<'_, E> {
    fn extractor(&self) -> Result<&Extractor<'_, E>> {
        let extractor = self.extractor.as_ref();
        extractor.map_err(|e| Error::Failed(e.to_string()))
    }

    fn base(&self) -> Option<&str> {
        match &self.record.workspace {
            Workspace::Worktree { base, .. } => Some(base),
            Workspace::Directory { .. } => None,
        }
    }

    /// `changes.patch` and `modified-files/`.
    pub(super) async fn changes(&self) -> Result<Part> {
        let Some(base) = self.base() else {
            return Ok(Part::none("changes.patch, modified-files", NO_BASE));
        };
        let limit = most::LISTING.to_string();
        let job = Job::git("listing the changes", include_str!("scripts/changed.sh"));
        let job = job.arguments([base, &limit]).at_most(most::LISTING);
        let changed = self.extractor()?.capture(job.within(PATIENCE)).await?;
        let mut selection = select(parse(&changed), most::CHANGED);
        if changed.len() as u64 == most::LISTING {
            let why = "their names alone have more than 16 MiB";
            selection.left_out.push(LeftOut::new("more changes", why));
        }
        let count = selection.files.len() + selection.links.len() + selection.gone.len();
        let (patch, copies) = futures_util::join!(
            self.patch(base, &selection),
            self.copy(&selection, "modified-files", most::CHANGED, &|_| true),
        );
        let mut left_out =
            copies.unwrap_or_else(|e| vec![LeftOut::new("modified-files", e.to_string())]);
        if let Err(e) = patch {
            left_out.push(LeftOut::new("changes.patch", e.to_string()));
        }
        left_out.extend(selection.left_out);
        Ok(Part {
            count: Some(count),
            left_out,
        })
    }

    async fn patch(&self, base: &str, selection: &Selection) -> Result<()> {
        let mut names = names(&selection.files);
        names.extend(self::names(&selection.links));
        names.extend(self::names(&selection.gone));
        let script = include_str!("scripts/patch.sh");
        let job = Job::git("making the patch", script).arguments([base]);
        self.write(job.at_most(most::PATCH), Some(names), "changes.patch")
            .await
    }

    /// Runs a job whose output is a file of the results, or no file at all.
    async fn write(&self, job: Job, input: Option<Vec<u8>>, name: &str) -> Result<()> {
        let doing = format!("writing {name}");
        let input = input.map(|bytes| Box::new(Cursor::new(bytes)) as Input);
        let out = self.shelf.writer(name)?;
        let ended = self
            .extractor()?
            .run(job.within(PATIENCE), input, out)
            .await;
        let ended = ended.and_then(|ended| ended.ok(&doing));
        if ended.is_err() {
            // Half a patch looks like a whole one.
            crate::paths::remove_if_there(&self.shelf.at(name))?;
        }
        ended
    }

    /// Copies files of the task below a directory of the results.
    async fn copy(
        &self,
        selection: &Selection,
        name: &str,
        bounds: Bounds,
        wanted: &(dyn Fn(&Path) -> bool + Sync),
    ) -> Result<Vec<LeftOut>> {
        let link = |path: &String| LeftOut::new(format!("{name}/{path}"), "it is a link");
        let mut left_out: Vec<_> = selection.links.iter().map(link).collect();
        if selection.files.is_empty() {
            return Ok(left_out);
        }
        let archive = format!("{name}.tar.part");
        // Beside the bytes themselves a header and a filled-up block each.
        let limit = bounds.all + bounds.files as u64 * 4096;
        let job = Job::script(
            format!("copying {name}"),
            include_str!("scripts/archive.sh"),
        );
        let names = names(&selection.files);
        self.write(job.at_most(limit), Some(names), &archive)
            .await?;
        let path = self.shelf.at(&archive);
        let unpacked = unpack(fs_err::File::open(&path)?, &self.shelf.at(name), wanted);
        crate::paths::remove_if_there(&path)?;
        left_out.extend(unpacked?.1);
        Ok(left_out)
    }

    /// `git-status.txt`
    pub(super) async fn status(&self) -> Result<Part> {
        if self.base().is_none() {
            return Ok(Part::none("git-status.txt", NO_BASE));
        }
        let job = Job::git("asking for the status", include_str!("scripts/status.sh"));
        let job = job
            .arguments([most::STATUS.to_string()])
            .at_most(most::STATUS);
        self.write(job, None, "git-status.txt").await?;
        Ok(Part::default())
    }

    /// `commits.json` and `commits.mbox`
    pub(super) async fn commits(&self) -> Result<Part> {
        let Some(base) = self.base() else {
            return Ok(Part::none("commits.json", NO_BASE));
        };
        let limit = most::COMMITS.to_string();
        let job = Job::git("listing the commits", include_str!("scripts/commits.sh"));
        let job = job.arguments([base, &limit]).at_most(most::LISTING);
        let listed = self.extractor()?.capture(job.within(PATIENCE)).await?;
        let commits = commits(&listed);
        self.shelf.json("commits.json", &commits)?;
        let mut part = Part {
            count: Some(commits.len()),
            left_out: Vec::new(),
        };
        if commits.len() == most::COMMITS {
            let why = format!("the newest {limit} are named");
            part.left_out.push(LeftOut::new("older commits", why));
        }
        if !commits.is_empty() {
            let job = Job::git("writing the commits", include_str!("scripts/mail.sh"));
            let job = job.arguments([base]).at_most(most::PATCH);
            if let Err(e) = self.write(job, None, "commits.mbox").await {
                part.left_out
                    .push(LeftOut::new("commits.mbox", e.to_string()));
            }
            self.shelf.drop_empty("commits.mbox")?;
        }
        Ok(part)
    }

    /// What a person looks at before opening, running or merging anything of the task's.
    pub(super) async fn planted(&self) -> Result<Option<Vec<Planted>>> {
        scan(self.extractor()?, &self.record.workspace).await
    }

    /// `outputs/`
    pub(super) async fn outputs(&self) -> Result<Part> {
        let outputs = super::Outputs::new(&self.record.outputs).map_err(Error::Config)?;
        if outputs.is_empty() {
            return Ok(Part::default());
        }
        let job = Job::script("looking for outputs", include_str!("scripts/find.sh"));
        let mut arguments = vec![most::LISTING.to_string()];
        arguments.extend(outputs.broad());
        let job = job
            .arguments(arguments)
            .within(PATIENCE)
            .at_most(most::LISTING);
        let listed = self.extractor()?.capture(job).await?;
        let mut found = parse(&listed);
        found.retain(|entry| outputs.has(Path::new(entry.path())));
        let selection = select(found, most::OUTPUTS);
        let wanted = |path: &Path| outputs.has(path);
        let mut left_out = self
            .copy(&selection, "outputs", most::OUTPUTS, &wanted)
            .await?;
        left_out.extend(selection.left_out);
        Ok(Part {
            count: Some(selection.files.len()),
            left_out,
        })
    }
}

fn names(paths: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for path in paths {
        out.extend(path.as_bytes());
        out.push(0);
    }
    out
}

/// Fields that end in a NUL, five a commit, with git's line end between.
fn commits(listed: &[u8]) -> Vec<Commit> {
    let text = String::from_utf8_lossy(listed);
    let fields: Vec<_> = text.split('\0').collect();
    let commit = |fields: &[&str]| match fields {
        [commit, parents, author, time, subject] => Some(Commit {
            commit: commit.trim_start().to_owned(),
            parents: parents
                .split(' ')
                .filter(|p| !p.is_empty())
                .map(str::to_owned)
                .collect(),
            author: printable(author),
            time: (*time).to_owned(),
            subject: printable(subject),
        }),
        _ => None,
    };
    fields.chunks_exact(5).filter_map(commit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_git_lists() {
        let listed = b"aa\0bb cc\0A <a@b>\0today\0first\0\ndd\0\0B <b>\0today\0sec\x1bond\0\n";
        let commits = commits(listed);
        assert_eq!(commits.len(), 2);
        assert_eq!(commits[0].parents, ["bb", "cc"]);
        assert_eq!(commits[1].commit, "dd");
        assert_eq!(commits[1].subject, "sec\\u{1b}ond");
        assert_eq!(super::commits(b"").len(), 0);
    }
}
