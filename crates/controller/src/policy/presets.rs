//! A directory of presets in the user's checkout: what `@name` means in this project.

use std::path::Path;

use agentnet_policy::{Layer, PresetFiles, Source};

use crate::error::{Error, Result};
use crate::paths::read_bounded;

/// The directory's name beside the policy.
pub const PRESETS: &str = "presets";
/// All of them together, in bytes: a copy goes with every task.
const MOST: u64 = 8 << 20;

/// The presets of a directory, in the order of their names. `shown` is how messages call it.
///
/// # Errors
/// When it or a file cannot be read, when there is none, and for a `.txt` that no `@name` can mean.
pub(super) fn read(directory: &Path, shown: &Path) -> Result<Vec<Source>> {
    let wrong = |what: String| Error::Config(format!("[network] presets: {what}"));
    let entries = fs_err::read_dir(directory).map_err(|e| wrong(e.to_string()))?;
    let mut found = Vec::new();
    let mut left = MOST;
    for entry in entries {
        let name = entry.map_err(|e| wrong(e.to_string()))?.file_name();
        let bytes = name.as_encoded_bytes();
        // Hidden files and other endings are editors' business.
        if !bytes.ends_with(b".txt") || bytes.starts_with(b".") {
            continue;
        }
        let place = shown.join(&name).display().to_string();
        if name.to_str().and_then(PresetFiles::name_of).is_none() {
            return Err(wrong(format!(
                "{place} is not the file of a preset: name it with small letters, digits and \
                 hyphens before .txt"
            )));
        }
        let text = read_bounded(&directory.join(&name), left).map_err(|e| wrong(e.to_string()))?;
        left -= text.len() as u64;
        found.push(Source {
            name: place,
            layer: Layer::Preset,
            text,
        });
    }
    if found.is_empty() {
        let shown = shown.display();
        return Err(wrong(format!(
            "{shown} has no presets: write NAME.txt there, or take the line out"
        )));
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The file's name in its directory, with the ending.
pub(super) fn file_of(preset: &Source) -> &str {
    let name = Path::new(&preset.name).file_name();
    name.and_then(|name| name.to_str()).unwrap_or_default()
}

/// These over the built-in ones.
pub(super) fn named(presets: &[Source]) -> PresetFiles {
    PresetFiles::new(presets.iter().filter_map(|preset| {
        let name = PresetFiles::name_of(file_of(preset))?;
        Some((name.to_owned(), preset.clone()))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(files: &[(&str, &str)]) -> Result<Vec<Source>> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs_err::write(dir.path().join(name), text).unwrap();
        }
        read(dir.path(), Path::new(".agentnet/presets"))
    }

    #[test]
    fn reads_what_can_be_included_and_nothing_else() {
        let files = [
            ("python.txt", "pypi.corp.example\n"),
            ("corp.txt", "a.corp.example\n"),
            (".corp.txt.swp", "x"),
            ("README.md", "x"),
        ];
        let presets = read_all(&files).unwrap();
        let names: Vec<_> = presets.iter().map(|preset| preset.name.as_str()).collect();
        let expected = [".agentnet/presets/corp.txt", ".agentnet/presets/python.txt"];
        assert_eq!(names, expected);
        let named = named(&presets);
        assert_eq!(named.own_names().collect::<Vec<_>>(), ["corp", "python"]);
    }

    #[test]
    fn says_what_is_wrong_with_a_directory() {
        let wrong = |files: &[(&str, &str)]| read_all(files).unwrap_err().to_string();
        assert!(wrong(&[]).contains(".agentnet/presets has no presets: write NAME.txt"));
        let said = wrong(&[("My_Corp.txt", "")]);
        assert!(
            said.contains("presets/My_Corp.txt is not the file"),
            "{said}"
        );
        let large = "#".repeat(5 << 20);
        let said = wrong(&[("a.txt", &large), ("b.txt", &large)]);
        assert!(said.contains("is larger than"), "{said}");
        let said = read(Path::new("/nonexistent"), Path::new("x")).unwrap_err();
        assert!(said.to_string().contains("/nonexistent"), "{said}");
    }
}
