//! Which refs move where, from what a task has and what the repository has. Nothing is ever lost: what
//! a ref no longer leads to is kept under `refs/agentnet/old/TASK/`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::listing::Listing;
use super::{Moved, Report};
use crate::error::{Error, Result};
use crate::scan::sorted;
use crate::task::TaskId;
use crate::workspace::Repository;

/// What the repository has.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// Objects that the task was shown.
    pub(super) shown: BTreeSet<String>,
    /// Objects that need not be sent.
    pub(super) known: BTreeSet<String>,
    /// What was brought over before: ref and object.
    pub(super) brought: BTreeMap<String, String>,
    /// Where the task's branch is.
    pub(super) branch: Option<String>,
    /// Where it was when the task began.
    pub(super) began: Option<String>,
}

/// What became of the task's branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Branch {
    /// It is where the task's is.
    Same,
    /// It moved.
    Moved {
        /// From this commit.
        from: String,
        /// To this one.
        to: String,
        /// So many commits are new on it.
        commits: u64,
        /// The old commits are not among the new ones' ancestors.
        rewritten: bool,
    },
    /// Somebody committed on it here, and the task as well: it stays.
    Parted,
    /// It is ahead of the task's: it stays.
    Ahead,
    /// It was deleted here, or in the task.
    Gone,
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Decision {
    task: TaskId,
    /// Refs and where they are to be.
    pub(super) wanted: Vec<(String, String)>,
    /// Refs whose names are in the way of new ones: their branches are gone from the task.
    aside: Vec<(String, String)>,
    /// Where the task's own branch is in the task.
    own: Option<String>,
    /// What `wanted` and the task's branch were.
    brought: BTreeMap<String, String>,
    branch: Option<String>,
    began: Option<String>,
    report: Report,
}

/// Pure: from what is there on both sides.
pub(super) fn decide(
    task: &TaskId,
    branch: &str,
    listing: Listing,
    host: &Host,
) -> Result<Decision> {
    let own_name = format!("refs/heads/{branch}");
    let own = listing.refs.iter().find(|(name, _)| *name == own_name);
    let own = own.map(|(_, oid)| oid.clone());
    let mut report = Report {
        wip: listing.wip.clone(),
        unsaved: listing.unsaved.clone(),
        planted: sorted(listing.planted.iter().cloned()),
        notes: listing.notes.clone(),
        ..Report::default()
    };
    let mut wanted = Vec::new();
    let mut there = BTreeSet::new();
    for (name, oid) in &listing.refs {
        let (space, below) = match (
            name.strip_prefix("refs/heads/"),
            name.strip_prefix("refs/tags/"),
        ) {
            (Some(below), _) => ("task", below),
            (None, Some(below)) => ("tag", below),
            (None, None) => continue,
        };
        let place = format!("refs/agentnet/{space}/{task}/{below}");
        there.insert(place.clone());
        // What it was shown it need not give back.
        let news = !host.shown.contains(oid) || host.brought.contains_key(&place);
        if news && host.brought.get(&place) != Some(oid) {
            wanted.push((place, oid.clone()));
        }
    }
    let single = [("head", listing.head), ("wip", listing.wip)];
    for (space, oid) in single {
        let place = format!("refs/agentnet/{space}/{task}");
        if let Some(oid) = oid.filter(|oid| !host.shown.contains(oid))
            && host.brought.get(&place) != Some(&oid)
        {
            wanted.push((place, oid));
        }
    }
    for oid in listing.stash {
        // Named by what they are: their numbers change.
        let short: String = oid.chars().take(12).collect();
        let place = format!("refs/agentnet/stash/{task}/{short}");
        if !host.brought.contains_key(&place) {
            wanted.push((place, oid));
        }
    }
    for name in host.brought.keys() {
        let is_branch =
            name.starts_with("refs/agentnet/task/") || name.starts_with("refs/agentnet/tag/");
        if is_branch && !there.contains(name) {
            report
                .notes
                .push(format!("deleted in the task, and kept here: {name}"));
        }
    }
    let aside = make_room(&wanted, &there, host)?;
    Ok(Decision {
        task: task.clone(),
        wanted,
        aside,
        own,
        brought: host.brought.clone(),
        branch: host.branch.clone(),
        began: host.began.clone(),
        report,
    })
}

/// git cannot have both `a` and `a/b`. What was brought over before and is gone from the task gives way.
fn make_room(
    wanted: &[(String, String)],
    there: &BTreeSet<String>,
    host: &Host,
) -> Result<Vec<(String, String)>> {
    let names: BTreeSet<_> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    let above = |name: &str, among: &dyn Fn(&str) -> bool| {
        let ends = name.match_indices('/').map(|(at, _)| at);
        let parts = ends.filter_map(|at| name.get(..at).map(str::to_owned));
        parts.into_iter().find(|part| among(part))
    };
    let mut aside = BTreeMap::new();
    for name in &names {
        if let Some(part) = above(name, &|part| names.contains(part) || there.contains(part)) {
            return Err(Error::Failed(format!(
                "the task has branches or tags that cannot both be: {part} and {name}; rename one in the \
                 task"
            )));
        }
        if let Some(part) = above(name, &|part| host.brought.contains_key(part))
            && let Some(oid) = host.brought.get(&part)
        {
            aside.insert(part, oid.clone());
        }
    }
    for (name, oid) in &host.brought {
        if above(name, &|part| names.contains(part)).is_some() {
            if there.contains(name) {
                return Err(Error::Failed(format!(
                    "the task has a branch or tag whose name is a part of {name}; rename one in the task"
                )));
            }
            aside.insert(name.clone(), oid.clone());
        }
    }
    Ok(aside.into_iter().collect())
}

impl Decision {
    /// Moves the refs, all or none, if they are still where they were.
    pub(super) async fn apply(mut self, repository: &Repository, branch: &str) -> Result<Report> {
        let mut lines = String::new();
        let mut keeps = String::new();
        let mut kept = BTreeSet::new();
        for (name, oid) in &self.wanted {
            match self.brought.get(name) {
                None => lines.push_str(&format!("create {name} {oid}\n")),
                Some(old) => {
                    lines.push_str(&format!("update {name} {oid} {old}\n"));
                    if !repository.is_ancestor(old, oid).await? {
                        kept.insert(old.clone());
                    }
                }
            }
            let (name, object) = (name.clone(), oid.clone());
            self.report.refs.push(Moved { name, object });
        }
        let mut room = String::new();
        for (name, oid) in &self.aside {
            room.push_str(&format!("delete {name} {oid}\n"));
            kept.insert(oid.clone());
        }
        let own_place = format!("refs/agentnet/task/{}/{branch}", self.task);
        let last = self.brought.get(&own_place).or(self.began.as_ref());
        let fate = match (&self.branch, &self.own) {
            (Some(here), Some(there)) => part(repository, here, there, last).await?,
            (None, _) | (_, None) => Branch::Gone,
        };
        if let Branch::Moved {
            from,
            to,
            rewritten,
            ..
        } = &fate
        {
            lines.push_str(&format!("update refs/heads/{branch} {to} {from}\n"));
            if *rewritten {
                kept.insert(from.clone());
            }
        }
        for old in kept {
            let short: String = old.chars().take(12).collect();
            let name = format!("refs/agentnet/old/{}/{short}", self.task);
            keeps.push_str(&format!("update {name} {old}\n"));
            let note =
                format!("no branch leads to these commits any more; they are kept as {name}");
            self.report.notes.push(note);
        }
        self.report.notes.extend(say(&fate, branch, &own_place));
        self.report.branch = Some(fate);
        // Kept first, then out of the way, then the rest: a name and a part of it cannot change at once.
        for (lines, doing) in [
            (keeps, "keeping old commits"),
            (room, "making room for new refs"),
            (lines, "moving the task's refs"),
        ] {
            repository.update_refs(lines, doing).await?;
        }
        Ok(self.report)
    }
}

/// What becomes of the task's branch: `here` in the repository, `there` in the task, `last` where both
/// were.
async fn part(
    repository: &Repository,
    here: &str,
    there: &str,
    last: Option<&String>,
) -> Result<Branch> {
    if here == there {
        return Ok(Branch::Same);
    }
    let untouched = last.is_some_and(|last| last == here);
    let forward = repository.is_ancestor(here, there).await?;
    if forward || untouched {
        return Ok(Branch::Moved {
            from: here.to_owned(),
            to: there.to_owned(),
            commits: repository.commits_between(here, there).await?,
            rewritten: !forward,
        });
    }
    let ahead = repository.is_ancestor(there, here).await?;
    Ok(if ahead { Branch::Ahead } else { Branch::Parted })
}

fn say(fate: &Branch, branch: &str, own: &str) -> Option<String> {
    match fate {
        Branch::Same | Branch::Moved { .. } | Branch::Ahead => None,
        Branch::Parted => Some(format!(
            "somebody committed on {branch} here, and the task as well: the branch stays, and the task's \
             commits are {own}; git merge {own} brings them together"
        )),
        Branch::Gone => Some(format!(
            "there is no branch {branch} here and in the task any more, so none was moved; what the task \
             committed on it, if anything, is {own}"
        )),
    }
}
