//! What `agentnet-notify install` puts into the person's own directories, and takes away again: a unit
//! for systemd's user manager, a desktop entry and an icon.
//!
//! A file is ours when it carries our mark. Whatever else is in its place (another file, a link, a
//! directory) is somebody else's: it is not written, not removed, and nothing is done at all.

pub(crate) mod place;
pub(crate) mod unit;

use std::path::{Path, PathBuf};

use place::{Found, PlaceError};
use unit::{Needs, Word};

/// The name of the unit, the entry and the icon.
pub(crate) const NAME: &str = "agentnet-notify";

/// What every file of ours says of itself.
const MARK: &str = "made by `agentnet-notify install`";

/// The icon: ours, drawn for this.
const ICON: &str = include_str!("../../../packaging/desktop/agentnet-notify.svg");

/// The directories of the XDG specifications.
#[derive(Clone, Debug)]
pub(crate) struct Homes {
    /// `$XDG_CONFIG_HOME`.
    pub(crate) config: PathBuf,
    /// `$XDG_DATA_HOME`.
    pub(crate) data: PathBuf,
}

/// One file with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    text: String,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was not there, or said something else.
    Written,
    /// It was there as it should be.
    Unchanged,
    /// It was ours and is gone.
    Removed,
    /// It was not there.
    Absent,
}

/// The three places.
pub(crate) fn paths(homes: &Homes) -> [PathBuf; 3] {
    [
        homes.config.join(format!("systemd/user/{NAME}.service")),
        homes.data.join(format!("applications/{NAME}.desktop")),
        homes
            .data
            .join(format!("icons/hicolor/scalable/apps/{NAME}.svg")),
    ]
}

/// The three files.
pub(crate) fn files(homes: &Homes, program: &Word, needs: &Needs) -> [File; 3] {
    let [unit, entry, icon] = paths(homes);
    [
        (unit, unit::text(program, needs)),
        (entry, entry_text(program)),
        (icon, ICON.to_owned()),
    ]
    .map(|(path, text)| File { path, text })
}

/// Puts all of them in place, or none: first everybody's ownership is looked at.
///
/// # Errors
/// [`PlaceError`]: what is in the way, or cannot be written.
pub(crate) fn put(files: &[File]) -> Result<Vec<(PathBuf, Outcome)>, PlaceError> {
    for file in files {
        place::look(&file.path, MARK)?;
    }
    let mut outcomes = Vec::new();
    for file in files {
        let outcome = match place::look(&file.path, MARK)? {
            Found::Ours(text) if text == file.text => Outcome::Unchanged,
            Found::Ours(_) | Found::Nothing => {
                place::write(&file.path, &file.text)?;
                Outcome::Written
            }
        };
        outcomes.push((file.path.clone(), outcome));
    }
    Ok(outcomes)
}

/// Removes those that are there.
///
/// # Errors
/// [`PlaceError`], with the others removed all the same.
pub(crate) fn remove(paths: &[PathBuf]) -> Result<Vec<(PathBuf, Outcome)>, PlaceError> {
    let one = |path: &Path| match place::look(path, MARK)? {
        Found::Nothing => Ok(Outcome::Absent),
        Found::Ours(_) => place::remove(path).map(|()| Outcome::Removed),
    };
    let all: Vec<_> = paths.iter().map(|path| (path.clone(), one(path))).collect();
    all.into_iter()
        .map(|(path, outcome)| outcome.map(|outcome| (path, outcome)))
        .collect()
}

/// Desktops ask it for the name and the icon of who notifies, and for whether it may.
fn entry_text(program: &Word) -> String {
    format!(
        "[Desktop Entry]\n\
         # {MARK}\n\
         Type=Application\n\
         Name=agentnet\n\
         Comment=What the agents of your tasks have to say\n\
         Exec=\"{program}\" status\n\
         Icon={NAME}\n\
         Terminal=true\n\
         NoDisplay=true\n\
         X-GNOME-UsesNotifications=true\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn homes(dir: &Path) -> Homes {
        Homes {
            config: dir.join("config"),
            data: dir.join("data"),
        }
    }

    fn ours(homes: &Homes) -> [File; 3] {
        let program = Word::of(Path::new("/opt/agentnet/agentnet-notify")).unwrap();
        files(homes, &program, &Needs::default())
    }

    fn outcomes(of: &[(PathBuf, Outcome)]) -> Vec<Outcome> {
        of.iter().map(|(_, outcome)| *outcome).collect()
    }

    #[test]
    fn a_second_time_changes_nothing_and_removal_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let homes = homes(dir.path());
        let files = ours(&homes);
        assert_eq!(outcomes(&put(&files).unwrap()), [Outcome::Written; 3]);
        assert_eq!(outcomes(&put(&files).unwrap()), [Outcome::Unchanged; 3]);
        let removed = remove(&paths(&homes)).unwrap();
        assert_eq!(outcomes(&removed), [Outcome::Removed; 3]);
        let removed = remove(&paths(&homes)).unwrap();
        assert_eq!(outcomes(&removed), [Outcome::Absent; 3]);
        for path in paths(&homes) {
            assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
        }
    }

    #[test]
    fn an_older_file_of_ours_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let files = ours(&homes(dir.path()));
        let unit = &files[0].path;
        fs::create_dir_all(unit.parent().unwrap()).unwrap();
        fs::write(unit, format!("# {MARK}\nolder\n")).unwrap();
        put(&files).unwrap();
        assert_eq!(fs::read_to_string(unit).unwrap(), files[0].text);
    }

    #[test]
    fn what_is_not_ours_stays_and_then_nothing_is_done() {
        let other = "[Desktop Entry]\nName=mine\n";
        for kind in ["file", "link", "directory"] {
            let dir = tempfile::tempdir().unwrap();
            let homes = homes(dir.path());
            let files = ours(&homes);
            let entry = &files[1].path;
            fs::create_dir_all(entry.parent().unwrap()).unwrap();
            let elsewhere = dir.path().join("elsewhere");
            match kind {
                "file" => fs::write(entry, other).unwrap(),
                "link" => {
                    // Even one that leads to a file with our mark.
                    fs::write(&elsewhere, format!("# {MARK}\n")).unwrap();
                    std::os::unix::fs::symlink(&elsewhere, entry).unwrap();
                }
                _ => fs::create_dir(entry).unwrap(),
            }
            let error = put(&files).unwrap_err().to_string();
            assert!(error.contains(&entry.display().to_string()), "{error}");
            assert!(!files[0].path.exists(), "{kind}");
            remove(&paths(&homes)).unwrap_err();
            assert!(entry.symlink_metadata().is_ok(), "{kind}");
        }
    }
}
