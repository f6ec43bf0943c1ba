//! `check [FILE…]`: would the running proxy take these?

use std::path::{Path, PathBuf};

use agentnet_policy::{Layer, LoadOptions, Loaded, Mode, Problem, Severity, Source, load};
use clap::Args;

use super::{NO, OK, USAGE, print};
use crate::active::{compile_files, presets_of};
use crate::diagnostic;
use crate::settings::{Settings, whitelist_files};

/// Check whitelist files.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// Whitelist files in layer order; one named task.txt holds task grants. Without any, what -c
    /// and the variables would serve
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Check {
    /// True if whitelists are named, and the settings are not what is asked about.
    pub(super) fn names_files(&self) -> bool {
        !self.files.is_empty()
    }

    pub(super) fn run(&self, presets: Option<&Path>) -> u8 {
        tell(
            "",
            check_presets(presets).and_then(|()| {
                compile_files(&whitelist_files(&self.files, &[]), presets, Mode::Enforce)
            }),
        )
    }
}

/// Checks what every listener of the settings would serve.
pub(super) fn listeners(settings: &Settings) -> u8 {
    let mut code = OK;
    for listener in &settings.listeners {
        if listener.source.is_empty() {
            let name = &listener.name;
            diagnostic::error(format_args!(
                "listener {name} has nothing to check: name whitelist files, or a configuration with -c FILE"
            ));
            code = USAGE;
            continue;
        }
        let name = match settings.listeners.len() {
            1 => String::new(),
            _ => format!("listener {}: ", listener.name),
        };
        code = code.max(tell(&name, listener.source.load()));
    }
    code
}

fn tell(listener: &str, loaded: Result<Loaded, Vec<Problem>>) -> u8 {
    match loaded {
        Ok(loaded) => {
            for warning in loaded.warnings.iter().chain(&loaded.advice()) {
                print(&format!("{warning}\n"));
            }
            let rules = loaded.policy.rules().len();
            let plural = if rules == 1 { "" } else { "s" };
            print(&format!("{listener}ok: {rules} rule{plural}\n"));
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
