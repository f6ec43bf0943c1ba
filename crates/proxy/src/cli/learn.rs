//! `learn EVENTS…`: what whitelist would have been enough.

mod lines;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use agentnet_policy::event::Text;
use agentnet_policy::learn::{Current, Learner, Options, Proposal};
use agentnet_policy::{Event, LoadOptions, PresetFiles, load};
use clap::Args;

use self::lines::Line;
use super::{NO, OK, USAGE, print};
use crate::active::sources;
use crate::diagnostic;
use crate::settings::whitelist_files;

/// Propose a whitelist from events.
#[derive(Args, Debug)]
pub(super) struct Learn {
    /// Logs of events, as JSON lines; - is stdin
    #[arg(value_name = "EVENTS", required = true)]
    logs: Vec<PathBuf>,
    /// Whitelist files in use, in layer order: print a diff against them
    #[arg(long = "whitelist", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only the events of this listener
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Propose what was refused as well, where a line would have allowed it
    #[arg(long)]
    include_refused: bool,
}

impl Learn {
    pub(super) fn run(&self, presets: Option<&Path>) -> u8 {
        let mut learner = Learner::new(Options {
            include_refused: self.include_refused,
            listener: self.listener.clone(),
        });
        for log in &self.logs {
            if let Err(error) = read(log, &mut learner) {
                diagnostic::error(format_args!("{}: cannot be read: {error}", log.display()));
                return USAGE;
            }
        }
        if learner.events() == 0 {
            diagnostic::error(
                "there is no event in what was given: events are the JSON lines that the proxy writes to stdout",
            );
            return NO;
        }
        let proposal = learner.propose();
        match self.render(&proposal, presets) {
            Ok(text) => {
                diagnostic::warn(
                    "the names were chosen by whoever made the requests: read each line before it is used",
                );
                for warning in proposal.warnings() {
                    diagnostic::warn(warning);
                }
                print(&text);
                OK
            }
            Err(problems) => {
                problems.iter().for_each(diagnostic::problem);
                USAGE
            }
        }
    }

    fn render(
        &self,
        proposal: &Proposal,
        presets: Option<&Path>,
    ) -> Result<String, Vec<agentnet_policy::Problem>> {
        let (files, presets): (_, PresetFiles) =
            sources(&whitelist_files(&self.files, &[]), presets)?;
        if self.files.is_empty() {
            return Ok(proposal.whitelist(&presets));
        }
        let loaded = load(&files, &presets, LoadOptions::default())
            .map_err(|problems| problems.iter().cloned().collect::<Vec<_>>())?;
        Ok(proposal.diff(Current {
            files: &files,
            presets: &presets,
            policy: &loaded.policy,
            now: jiff::Timestamp::now(),
        }))
    }
}

/// Lines of one log that are no event.
#[derive(Default)]
struct Others {
    count: u64,
    first: u64,
    torn: bool,
}

fn read(path: &Path, learner: &mut Learner) -> io::Result<()> {
    let others = if path == Path::new("-") {
        take(io::stdin().lock(), learner)?
    } else {
        take(
            BufReader::with_capacity(64 * 1024, File::open(path)?),
            learner,
        )?
    };
    let name = Text::new(&path.display().to_string());
    if others.count > 0 {
        diagnostic::warn(format_args!(
            "{name}: {} lines are no event of version 1 and are passed over, the first is line {}",
            others.count, others.first
        ));
    }
    if others.torn {
        diagnostic::note(format_args!(
            "{name}: the last line is not whole and is passed over"
        ));
    }
    Ok(())
}

fn take(log: impl io::BufRead, learner: &mut Learner) -> io::Result<Others> {
    let mut others = Others::default();
    let mut number = 0_u64;
    lines::each(log, |line| {
        number += 1;
        let (text, torn) = match line {
            Line::Whole(text) => (text, false),
            Line::Torn(text) => (text, true),
            Line::TooLong => (b"?".as_slice(), false),
        };
        if text.trim_ascii().is_empty() {
            return;
        }
        match serde_json::from_slice::<Event>(text) {
            Ok(event) => learner.see(&event),
            Err(_) if torn => others.torn = true,
            Err(_) => {
                others.count += 1;
                if others.first == 0 {
                    others.first = number;
                }
            }
        }
    })?;
    Ok(others)
}
