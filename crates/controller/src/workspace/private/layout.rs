//! The files of a fresh git directory.

use std::path::Path;

use super::ShownRef;
use crate::error::Result;

/// Everything but the index.
pub(super) fn write(place: &Path, branch: &str, config: &str, shown: &[ShownRef]) -> Result<()> {
    for directory in [
        "objects/info",
        "objects/pack",
        "refs/heads",
        "refs/tags",
        "info",
    ] {
        fs_err::create_dir_all(place.join(directory))?;
    }
    fs_err::write(place.join("HEAD"), format!("ref: refs/heads/{branch}\n"))?;
    fs_err::write(place.join("config"), config)?;
    // Covered in containers.
    fs_err::write(place.join("objects/info/alternates"), "")?;
    fs_err::write(place.join("packed-refs"), packed_refs(shown))?;
    for r in shown {
        if let Some(target) = &r.leads_to {
            let path = place.join(&r.name);
            if let Some(parent) = path.parent() {
                fs_err::create_dir_all(parent)?;
            }
            fs_err::write(path, format!("ref: {target}\n"))?;
        }
    }
    Ok(())
}

/// git's own format, sorted as it demands.
fn packed_refs(shown: &[ShownRef]) -> String {
    let mut plain: Vec<_> = shown.iter().filter(|r| r.leads_to.is_none()).collect();
    plain.sort_by(|a, b| a.name.cmp(&b.name));
    let mut text = "# pack-refs with: peeled fully-peeled sorted \n".to_owned();
    for r in plain {
        text.push_str(&format!("{} {}\n", r.oid, r.name));
        if let Some(peeled) = &r.peeled {
            text.push_str(&format!("^{peeled}\n"));
        }
    }
    text
}

/// What the worktree's and the repository's git directories have besides: index, sparse patterns,
/// where a shallow history ends, the user's own excludes.
pub(super) fn copy(place: &Path, admin: &Path, common: &Path) -> Result<()> {
    let files = [
        (admin.join("index"), "index"),
        (admin.join("info/sparse-checkout"), "info/sparse-checkout"),
        (common.join("shallow"), "shallow"),
        (common.join("info/exclude"), "info/exclude"),
    ];
    for (from, name) in files {
        match fs_err::copy(&from, place.join(name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_are_sorted_peeled_and_without_symbolic_ones() {
        let plain = |name: &str, peeled: Option<&str>| ShownRef {
            oid: "aa".into(),
            peeled: peeled.map(str::to_owned),
            name: name.into(),
            leads_to: None,
        };
        let symbolic = ShownRef {
            leads_to: Some("refs/remotes/origin/main".into()),
            ..plain("refs/remotes/origin/HEAD", None)
        };
        let shown = [
            plain("refs/tags/v1", Some("bb")),
            symbolic,
            plain("refs/heads/main", None),
        ];
        assert_eq!(
            packed_refs(&shown),
            "# pack-refs with: peeled fully-peeled sorted \n\
             aa refs/heads/main\naa refs/tags/v1\n^bb\n"
        );
    }
}
