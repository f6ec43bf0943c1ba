//! `lint tinyproxy.conf`: what its patterns let through, and the whitelist that says what they mean.

use std::path::PathBuf;

use agentnet_policy::Severity;
use agentnet_policy::tinyproxy::{self, Conf, Lint as Found};
use clap::Args;

use super::{NO, OK, USAGE, print};
use crate::active::is_whitelist;
use crate::diagnostic;
use crate::text_file;

/// The largest file in bytes, as when it is served.
const MAX_BYTES: u64 = 64 << 20;

/// Examine a tinyproxy.conf and its filter file.
#[derive(Args, Debug)]
pub(super) struct Lint {
    /// The tinyproxy.conf; a Filter that is not where it says is looked for beside it
    #[arg(value_name = "FILE")]
    conf: PathBuf,
}

impl Lint {
    /// Findings go to stderr, the whitelist to stdout. 1 with findings, 2 if a file cannot be read.
    pub(super) fn run(&self) -> u8 {
        match self.examine() {
            Err(problems) => {
                for problem in problems {
                    diagnostic::error(problem);
                }
                USAGE
            }
            Ok(found) => {
                for finding in &found.findings {
                    diagnostic::warn(finding);
                }
                print(&found.whitelist);
                if found.findings.is_empty() { OK } else { NO }
            }
        }
    }

    fn examine(&self) -> Result<Found, Vec<String>> {
        let name = self.conf.display().to_string();
        let text = self.read(&self.conf).map_err(|what| vec![what])?;
        let told = |problems: &[agentnet_policy::Problem]| -> Vec<String> {
            let errors = problems.iter().filter(|p| p.severity == Severity::Error);
            errors.map(ToString::to_string).collect()
        };
        let (conf, warnings) = Conf::parse(&name, &text).map_err(|problems| {
            if is_whitelist(&name, &text) {
                let what = "is a whitelist and no tinyproxy.conf";
                return vec![format!(
                    "{name}: {what}; write: agentnet-proxy check {name}"
                )];
            }
            told(&problems)
        })?;
        warnings.iter().for_each(diagnostic::problem);
        let filter = match conf.filter_path() {
            None => None,
            Some(path) => {
                // On the host, what will be mounted at that path is beside the configuration.
                let names = [Some(path.as_os_str()), path.file_name()]
                    .into_iter()
                    .flatten();
                let beside = self.conf.parent().filter(|_| !path.exists());
                let beside = beside.and_then(|parent| {
                    names
                        .map(|name| parent.join(name))
                        .find(|beside| beside.exists())
                });
                let path = beside.unwrap_or_else(|| path.to_owned());
                let text = self.read(&path).map_err(|what| vec![what])?;
                Some((path.display().to_string(), text))
            }
        };
        let filter = filter
            .as_ref()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let found = tinyproxy::lint(&conf, filter)
            .map_err(|problems| told(&problems.iter().cloned().collect::<Vec<_>>()))?;
        found.warnings.iter().for_each(diagnostic::problem);
        Ok(found)
    }

    fn read(&self, path: &std::path::Path) -> Result<String, String> {
        // Tinyproxy reads bytes; what is not UTF-8 matches no host.
        text_file::lossy(path, MAX_BYTES)
            .map_err(|error| format!("{}: cannot be read: {error}", path.display()))
    }
}
