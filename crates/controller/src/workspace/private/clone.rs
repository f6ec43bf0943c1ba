//! What a task has that shares nothing: the objects that its branch leads to, copied, and of the
//! repository's refs those that lead into that history (THREATS W39). Other branches, stashes, reflogs
//! and what was amended away are not there to be read.

use std::collections::BTreeSet;
use std::path::Path;

use super::{PrivateGit, Start};
use crate::error::Result;
use crate::workspace::command::Git;
use crate::workspace::git::{Repository, ShownRef};

/// The task's branch, the one it began at, and the tags that lead into their history, as
/// `git clone --single-branch` has it.
pub(super) async fn shown(repository: &Repository, start: Start<'_>) -> Result<Vec<ShownRef>> {
    let own = format!("refs/heads/{}", start.branch);
    let mut found: Vec<ShownRef> = Vec::new();
    for tip in [&own, start.base] {
        for shown in repository.refs(Some(tip)).await? {
            let wanted = shown.name == own
                || Some(shown.name.as_str()) == start.from
                || shown.name.starts_with("refs/tags/");
            if wanted && !found.contains(&shown) {
                found.push(shown);
            }
        }
    }
    Ok(found)
}

/// Copies the objects, and says where a shallow history ends.
pub(super) async fn fill(
    private: &PrivateGit,
    repository: &Repository,
    place: &Path,
    tips: &[String],
) -> Result<()> {
    let input: String = tips.iter().map(|tip| format!("{tip}\n")).collect();
    // Nothing is fetched for it: what the user's repository has not, the task has not.
    let git = || {
        Git::at(repository.root())
            .env("GIT_NO_LAZY_FETCH", "1")
            .input(input.clone())
    };
    let mut args = vec!["pack-objects", "--revs", "--quiet", "--delta-base-offset"];
    if private.promisor.is_some() {
        args.push("--missing=allow-promisor");
    }
    let pack = place.join("objects/pack/pack");
    let packs = git().args(args).args([&pack]);
    let packs = packs
        .text("copying what the task's branch leads to")
        .await?;
    if private.promisor.is_some() {
        // Only of what stands in such a pack git believes that others have the rest.
        for name in packs.lines() {
            fs_err::write(pack.with_file_name(format!("pack-{name}.promisor")), "")?;
        }
    }
    let shallow = place.join("shallow");
    if let Ok(all) = fs_err::read_to_string(&shallow) {
        let args = ["rev-list", "--max-parents=0", "--stdin"];
        let ends = git().args(args).text("rev-list").await?;
        let ends: BTreeSet<_> = ends.lines().collect();
        let ours = all.lines().filter(|end| ends.contains(end));
        let ours: String = ours.map(|end| format!("{end}\n")).collect();
        match ours.is_empty() {
            true => fs_err::remove_file(&shallow)?,
            false => fs_err::write(&shallow, ours)?,
        }
    }
    Ok(())
}
