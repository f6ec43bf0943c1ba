//! From the configuration to outlets that show.

use std::sync::Arc;

use super::command::Command;
use super::desktop::{Bus, Desktop};
use super::line::{LogFile, Terminal};
use super::webhook::Webhook;
use super::{FeedbackSender, Outlet};
use crate::config::{OutletConfig, OutletKind};
use crate::desk::Mounted;

/// An outlet, and the desktop among them once more: its connection has to be kept.
pub(crate) struct Made {
    pub(crate) mounted: Mounted,
    pub(crate) desktop: Option<Arc<Desktop>>,
}

/// Makes one outlet. `feedback` is where clicks go, `bus` where the desktop is.
///
/// # Errors
/// A sentence: what it needs and has not.
pub(crate) fn make(
    config: &OutletConfig,
    bus: Bus,
    feedback: &FeedbackSender,
) -> Result<Made, String> {
    let name = config.name.clone();
    let mut desktop = None;
    let outlet: Arc<dyn Outlet> = match &config.kind {
        OutletKind::Desktop => {
            let made = Arc::new(Desktop::new(bus, feedback.clone()));
            desktop = Some(Arc::clone(&made));
            made
        }
        OutletKind::Terminal => Arc::new(Terminal::new(name)),
        OutletKind::Log(file) => Arc::new(LogFile::new(name, file)?),
        OutletKind::Command(command) => Arc::new(Command::new(name, command)),
        OutletKind::Webhook(webhook) => Arc::new(Webhook::new(name, webhook)?),
    };
    let mounted = Mounted {
        outlet,
        rule: config.rule.clone(),
    };
    Ok(Made { mounted, desktop })
}
