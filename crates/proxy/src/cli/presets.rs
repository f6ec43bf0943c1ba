//! `presets [NAME]`: what can be included.

use std::path::Path;

use agentnet_policy::event::Text;
use agentnet_policy::{Presets, describe_preset};
use clap::Args;

use super::{NO, OK, USAGE, print};
use crate::active::presets_of;
use crate::diagnostic;

/// List presets.
#[derive(Args, Debug)]
pub(super) struct List {
    /// Print the text of this preset; with or without its @
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl List {
    pub(super) fn run(&self, directory: Option<&Path>) -> u8 {
        let presets = match presets_of(directory) {
            Ok(presets) => presets,
            Err(problems) => {
                for problem in &problems {
                    diagnostic::error(problem);
                }
                return USAGE;
            }
        };
        match &self.name {
            None => {
                print(&list(&presets));
                OK
            }
            Some(name) => {
                let name = name.strip_prefix('@').unwrap_or(name);
                match presets.get(name) {
                    Some(text) => {
                        print(&text);
                        OK
                    }
                    None => {
                        diagnostic::error(format_args!(
                            "@{name} is no preset: `agentnet-proxy presets` lists them"
                        ));
                        NO
                    }
                }
            }
        }
    }
}

/// A line for each preset: its name, what it says about itself, and its file if it is not built in.
fn list(presets: &dyn Presets) -> String {
    let names = presets.names();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut lines = String::new();
    for name in names {
        let text = presets.get(name).unwrap_or_default();
        // A person's file, so its header may have anything in it.
        let words = Text::new(describe_preset(&text).unwrap_or("says nothing about itself"));
        let from = presets
            .place(name)
            .map_or_else(String::new, |place| format!(" [{place}]"));
        lines.push_str(&format!("@{name:width$}  {words}{from}\n"));
    }
    lines
}
