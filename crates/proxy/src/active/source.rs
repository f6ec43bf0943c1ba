//! A policy source, read and compiled.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentnet_policy::{LoadOptions, Loaded, Policy, Problem, Source};

use super::files::{compile, read};
use crate::conduct::Conduct;
use crate::settings::PolicySource;
use crate::upstream::Routes;

/// What a source said, understood.
pub(super) struct Compiled {
    pub(super) policy: Policy,
    pub(super) conduct: Arc<Conduct>,
    pub(super) warnings: Vec<Problem>,
}

impl PolicySource {
    /// True where nothing was given to read: everything is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Whitelist { files, .. } => files.is_empty(),
        }
    }

    /// The routes, where they are settings; what is read with the policy is known once it is read.
    #[must_use]
    pub fn routes(&self) -> Routes {
        match self {
            Self::Whitelist { conduct, .. } => conduct.routes.clone(),
        }
    }

    /// The files to watch.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Whitelist { files, .. } => files.iter().map(|file| file.path.clone()).collect(),
        }
    }

    /// The directories to watch: of each file, because an editor's rename replaces the file, and
    /// that of the presets.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        let files = self.files();
        let parents = files.iter().filter_map(|file| file.parent());
        let mut directories: Vec<PathBuf> = parents.map(Path::to_owned).collect();
        match self {
            Self::Whitelist { presets, .. } => directories.extend(presets.clone()),
        }
        directories
    }

    /// The texts as they are now; their hash says whether anything changed.
    pub(super) fn read(&self) -> Result<Vec<Source>, Vec<Problem>> {
        match self {
            Self::Whitelist { files, presets, .. } => read(files, presets.as_deref()),
        }
    }

    /// What the texts mean.
    pub(super) fn compile(&self, texts: &[Source]) -> Result<Compiled, Vec<Problem>> {
        match self {
            Self::Whitelist {
                mode,
                default_up,
                conduct,
                ..
            } => {
                let options = LoadOptions {
                    mode: *mode,
                    default_up: *default_up,
                };
                let Loaded { policy, warnings } = compile(texts, options)?;
                Ok(Compiled {
                    policy,
                    conduct: Arc::clone(conduct),
                    warnings,
                })
            }
        }
    }
}
