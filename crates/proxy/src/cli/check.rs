//! `check FILE…`: would the running proxy take these?

use std::path::{Path, PathBuf};

use agentnet_policy::{Layer, LoadOptions, Mode, Problem, Severity, Source, load};
use clap::Args;

use super::{NO, OK, print};
use crate::active::{compile_files, presets_of};
use crate::settings::whitelist_files;

/// Check whitelist files.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// Whitelist files in layer order; one named task.txt holds task grants
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Check {
    pub(super) fn run(&self, presets: Option<&Path>) -> u8 {
        let loaded = check_presets(presets).and_then(|()| {
            compile_files(&whitelist_files(&self.files, &[]), presets, Mode::Enforce)
        });
        match loaded {
            Ok(loaded) => {
                for warning in loaded.warnings.iter().chain(&loaded.advice()) {
                    print(&format!("{warning}\n"));
                }
                print(&format!("ok: {} rules\n", loaded.policy.rules().len()));
                OK
            }
            Err(problems) => {
                for problem in &problems {
                    print(&format!("{problem}\n"));
                }
                NO
            }
        }
    }
}

/// Reads every file of the directory of presets, whether it is included or not: an error is to be
/// seen before the line that includes it is written.
fn check_presets(directory: Option<&Path>) -> Result<(), Vec<Problem>> {
    let presets = presets_of(directory)?;
    let mut problems: Vec<Problem> = Vec::new();
    for name in presets.own_names() {
        let include = Source {
            name: format!("@{name}"),
            layer: Layer::Project,
            text: format!("@{name}"),
        };
        if let Err(found) = load(&[include], &presets, LoadOptions::default()) {
            let errors = found
                .iter()
                .filter(|problem| problem.severity == Severity::Error);
            for error in errors {
                // One that includes another has the other's errors as well.
                if !problems.contains(error) {
                    problems.push(error.clone());
                }
            }
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}
