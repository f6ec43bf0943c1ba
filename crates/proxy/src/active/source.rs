//! A policy source, read and compiled.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentnet_policy::{LoadOptions, Loaded, Policy, Problem, Source};

use super::files::{compile, read};
use crate::conduct::Conduct;
use crate::manners::credentials::{Credentials, DEFAULT_REALM};
use crate::settings::{PolicySource, Understood, WhitelistFile};
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
            Self::Tinyproxy(_) => false,
        }
    }

    /// The routes, where they are settings; what is read with the policy is known once it is read.
    #[must_use]
    pub fn routes(&self) -> Routes {
        match self {
            Self::Whitelist { conduct, .. } => conduct.routes.clone(),
            Self::Tinyproxy(conf) => conf.routes(),
        }
    }

    /// The policy by itself, read and compiled as for serving; nothing is resolved or bound.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn load(&self) -> Result<Loaded, Vec<Problem>> {
        let Compiled {
            policy, warnings, ..
        } = self.compile(&self.read()?)?;
        Ok(Loaded { policy, warnings })
    }

    /// The files to watch.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Whitelist {
                files, credentials, ..
            } => {
                let whitelist = files.iter().map(|file| &file.path);
                whitelist.chain(credentials).cloned().collect()
            }
            Self::Tinyproxy(conf) => conf.files(),
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
            Self::Tinyproxy(_) => {}
        }
        directories
    }

    /// The texts as they are now; their hash says whether anything changed.
    pub(super) fn read(&self) -> Result<Vec<Source>, Vec<Problem>> {
        match self {
            Self::Whitelist {
                files,
                presets,
                credentials,
                ..
            } => {
                let mut texts = read(files, presets.as_deref())?;
                if let Some(path) = credentials {
                    texts.extend(read(&[WhitelistFile::of_project(path)], None)?);
                }
                Ok(texts)
            }
            Self::Tinyproxy(conf) => conf.read(),
        }
    }

    /// What the texts mean.
    pub(super) fn compile(&self, texts: &[Source]) -> Result<Compiled, Vec<Problem>> {
        match self {
            Self::Whitelist {
                mode,
                default_up,
                credentials,
                conduct,
                ..
            } => {
                let options = LoadOptions {
                    mode: *mode,
                    default_up: *default_up,
                };
                let (texts, credentials) = match (credentials, texts.split_last()) {
                    (Some(_), Some((last, texts))) => (texts, Some(last)),
                    (_, _) => (texts, None),
                };
                let compiled = compile(texts, options);
                let conduct = match credentials {
                    None => Ok(Arc::clone(conduct)),
                    Some(file) => asking(conduct, file),
                };
                let (Loaded { policy, warnings }, conduct) = both(compiled, conduct)?;
                Ok(Compiled {
                    policy,
                    conduct,
                    warnings,
                })
            }
            Self::Tinyproxy(conf) => {
                let Understood {
                    policy,
                    conduct,
                    warnings,
                } = conf.understand(texts)?;
                Ok(Compiled {
                    policy,
                    conduct,
                    warnings,
                })
            }
        }
    }
}

/// A conduct that asks for the credentials of `file`.
fn asking(conduct: &Conduct, file: &Source) -> Result<Arc<Conduct>, Vec<Problem>> {
    let credentials = Credentials::parse(&file.name, DEFAULT_REALM, &file.text)?;
    let mut manners = conduct.manners.as_deref().cloned().unwrap_or_default();
    manners.credentials = Some(credentials);
    Ok(Arc::new(Conduct {
        manners: Some(Box::new(manners)),
        ..conduct.clone()
    }))
}

/// Both, or the problems of both.
fn both<A, B>(
    one: Result<A, Vec<Problem>>,
    other: Result<B, Vec<Problem>>,
) -> Result<(A, B), Vec<Problem>> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => Err(problems),
        (Err(mut problems), Err(more)) => {
            problems.extend(more);
            Err(problems)
        }
    }
}
