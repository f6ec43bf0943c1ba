//! The files that `@name` includes.

use std::borrow::Cow;

/// Where `@name` is looked up.
pub trait Presets {
    /// The text of a preset.
    fn get(&self, name: &str) -> Option<Cow<'_, str>>;

    /// All names, sorted; for `did you mean` and for listings.
    fn names(&self) -> Vec<&str>;
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
