//! What `agentnet-notify watch` is told about blocked hosts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::grant::Grants;
use super::program::Controller;
use super::source::{self, Source, Trouble};
use super::stream::Events;
use crate::incoming::{Answerer, IncomingSender};

/// In the bridge's own directory: up to when decisions were told of.
const NOTED: &str = "blocked";

/// The arguments.
#[derive(clap::Args, Debug, Clone)]
// `watch` has a group of this type's name already.
#[group(skip)]
pub(crate) struct Arguments {
    /// The controller, which knows what tasks are refused [default: `agentnet` beside this program, else on PATH]
    #[arg(long, value_name = "PATH")]
    agentnet: Option<PathBuf>,
    /// Tell of what this proxy refuses, as http://127.0.0.1:9100/events, for a proxy without the controller (repeat)
    #[arg(long, value_name = "URL")]
    events: Vec<Events>,
    /// Do not tell of blocked hosts of tasks
    #[arg(long)]
    no_blocked: bool,
}

impl Arguments {
    fn controller(&self, state_dir: &Path) -> Controller {
        Controller::find(self.agentnet.as_deref(), state_dir)
    }

    /// Who acts on a click.
    pub(crate) fn answerer(&self, state_dir: &Path) -> Arc<dyn Answerer> {
        Arc::new(Grants::new(self.controller(state_dir)))
    }

    /// Tells of blocked hosts, until nobody listens. `own`: the bridge's own directory.
    pub(crate) async fn run(
        &self,
        state_dir: &Path,
        own: &Path,
        sender: IncomingSender,
        trouble: Trouble<'_>,
    ) {
        let mut sources: Vec<Source> = self.events.iter().cloned().map(Source::Events).collect();
        if !self.no_blocked {
            sources.push(Source::Controller(self.controller(state_dir)));
        }
        if !sources.is_empty() {
            source::run(sources, own.join(NOTED), sender, trouble).await;
        }
    }
}
