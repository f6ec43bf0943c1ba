//! `check FILE…`: would the running proxy take these?

use std::path::PathBuf;

use agentnet_policy::Mode;
use clap::Args;

use super::{NO, OK, print};
use crate::active::compile_files;
use crate::settings::whitelist_files;

/// Check whitelist files.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// Whitelist files in layer order; one named task.txt holds task grants
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Check {
    pub(super) fn run(&self) -> u8 {
        match compile_files(&whitelist_files(&self.files, &[]), Mode::Enforce) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
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
