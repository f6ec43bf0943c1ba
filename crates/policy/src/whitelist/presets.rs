//! The files that `@name` includes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::Source;

/// Where `@name` is looked up.
pub trait Presets {
    /// The text of a preset.
    fn get(&self, name: &str) -> Option<Cow<'_, str>>;

    /// All names, sorted; for `did you mean` and for listings.
    fn names(&self) -> Vec<&str>;

    /// The file a preset was read from, for messages and events; `None` for what is built in,
    /// which is called `@name` there.
    fn place(&self, name: &str) -> Option<&str> {
        let _ = name;
        None
    }
}

/// No presets: every include is an error.
impl Presets for () {
    fn get(&self, _name: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn names(&self) -> Vec<&str> {
        Vec::new()
    }
}

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        /// Name and text, sorted by name.
        const BUILTIN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../../whitelist/", $name, ".txt")))),*];
    };
}

builtin![
    "alpine",
    "bitbucket",
    "ca-ocsp",
    "claude",
    "claude-code",
    "claude-code-telemetry",
    "codex",
    "copilot",
    "copilot-telemetry",
    "cursor",
    "debian",
    "default",
    "devcontainer",
    "dind",
    "docker-install",
    "dockerhub",
    "dotnet",
    "fedora",
    "fullstack",
    "gemini",
    "gemini-cli",
    "github",
    "github-extra",
    "github-packages",
    "gitlab",
    "go",
    "java",
    "jetbrains",
    "jetbrains-ai",
    "minimal",
    "node",
    "node-extra",
    "nodejs-dev",
    "open-vsx",
    "opencode",
    "php",
    "playwright",
    "python",
    "python-dev",
    "python-extra",
    "python-ml",
    "registries-extra",
    "ruby",
    "rust",
    "schemas",
    "telemetry",
    "terraform",
    "ubuntu",
    "vscode",
    "vscode-telemetry",
];

/// The presets of `whitelist/`, compiled in.
#[derive(Clone, Copy, Default, Debug)]
pub struct BuiltinPresets;

impl Presets for BuiltinPresets {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let index = BUILTIN.binary_search_by_key(&name, |(name, _)| name).ok()?;
        BUILTIN.get(index).map(|(_, text)| Cow::Borrowed(*text))
    }

    fn names(&self) -> Vec<&str> {
        BUILTIN.iter().map(|(name, _)| *name).collect()
    }
}

/// Files that stand in the place of built-in presets or beside them.
#[derive(Clone, Default, Debug)]
pub struct PresetFiles(BTreeMap<String, Source>);

impl PresetFiles {
    /// Presets by name; a name of a built-in preset replaces it.
    pub fn new(files: impl IntoIterator<Item = (String, Source)>) -> Self {
        Self(files.into_iter().collect())
    }

    /// The preset that a file of this name is for: `python.txt` is `python`. `None` when `@name`
    /// could not be written for it.
    pub fn name_of(file_name: &str) -> Option<&str> {
        let name = file_name.strip_suffix(".txt")?;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (!name.is_empty() && name.bytes().all(plain)).then_some(name)
    }

    /// The names of the files alone, sorted.
    pub fn own_names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Presets for PresetFiles {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.0.get(name) {
            Some(source) => Some(Cow::Borrowed(&source.text)),
            None => BuiltinPresets
                .get(name)
                .map(|text| Cow::Owned(text.into_owned())),
        }
    }

    fn names(&self) -> Vec<&str> {
        let built_in = BUILTIN.iter().map(|(name, _)| *name);
        let names: BTreeSet<&str> = self.own_names().chain(built_in).collect();
        names.into_iter().collect()
    }

    fn place(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|source| source.name.as_str())
    }
}

/// What a preset says about itself: the first line of its header, without the name.
pub fn describe(text: &str) -> Option<&str> {
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    let words = line.trim().strip_prefix('#')?.trim();
    let words = match words.strip_prefix('@') {
        Some(rest) => rest.split_once(": ").map_or(rest, |(_, words)| words),
        None => words,
    };
    Some(words.trim()).filter(|words| !words.is_empty())
}
