//! From text to policy: files in layer order, presets included, every line checked.

mod advice;
mod aim;
mod check;
mod habits;
mod line;
mod loader;
mod place;
mod presets;
mod problem;
mod said;
mod shadow;
pub(crate) mod wrong;

use std::num::NonZeroU64;

pub use self::aim::TargetPattern;
use self::line::Says;
use self::loader::Loader;
pub use self::presets::{BuiltinPresets, PresetFiles, Presets, describe};
pub(crate) use self::problem::AsTyped;
pub use self::problem::{Problem, Problems, Severity};
use crate::policy::{Mode, Policy};
use crate::rule::Layer;

/// One whitelist file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// The name for messages and events, as the person knows the file.
    pub name: String,
    /// Where it stands in the load order.
    pub layer: Layer,
    /// What it says.
    pub text: String,
}

/// How to load.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct LoadOptions {
    /// The mode of the policy.
    pub mode: Mode,
    /// The `up=` of allowing lines that say none.
    pub default_up: Option<NonZeroU64>,
}

/// A policy, and what is odd about the text it came from.
#[derive(Debug)]
pub struct Loaded {
    /// Ready to judge.
    pub policy: Policy,
    /// None of severity [`Severity::Error`]; at most a hundred.
    pub warnings: Vec<Problem>,
}

/// The most problems that one load tells of.
pub(crate) const MAX_PROBLEMS: usize = 100;

/// Reads whitelists, in the order of their layers whatever the order given. No sources, or empty
/// ones, give a policy that allows nothing.
///
/// A file may have 64 MiB and a line 4096 bytes; all files together may have 250,000 rules.
///
/// # Errors
/// The problems of all files at once, at most a hundred.
pub fn load(
    sources: &[Source],
    presets: &dyn Presets,
    options: LoadOptions,
) -> Result<Loaded, Problems> {
    let mut ordered: Vec<&Source> = sources.iter().collect();
    ordered.sort_by_key(|source| source.layer);
    let mut loader = Loader::new(presets);
    for source in ordered {
        loader.read(source);
    }
    let (mut rules, mut problems) = loader.finish();
    if problems
        .iter()
        .any(|problem| problem.severity == Severity::Error)
    {
        return Err(Problems::new(problems));
    }
    if let Some(default) = options.default_up {
        rules.iter_mut().for_each(|rule| rule.limit(default));
    }
    let policy = Policy::new(rules, options.mode);
    let room = MAX_PROBLEMS.saturating_sub(problems.len());
    problems.extend(shadow::warnings(&policy, room));
    Ok(Loaded {
        policy,
        warnings: problems,
    })
}

/// What one line of a file is, for those who print files and change them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LineKind {
    /// A comment, nothing, or something that does not load.
    Other,
    /// `@name`.
    Include,
    /// A permission.
    Rule,
}

/// What a line is, read as the loader reads it.
pub(crate) fn line_kind(line: &str) -> LineKind {
    match line::parse(line).map(|line| line.says) {
        Ok(Says::Rule { .. }) => LineKind::Rule,
        Ok(Says::Include { .. }) => LineKind::Include,
        Ok(Says::Nothing) | Err(_) => LineKind::Other,
    }
}
