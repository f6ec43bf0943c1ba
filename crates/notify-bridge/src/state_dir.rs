//! Where the state directory is: the controller's rule.

use std::path::PathBuf;

use etcetera::BaseStrategy;

/// The argument that every subcommand on the host has.
#[derive(clap::Args, Debug)]
pub(crate) struct StateDir {
    /// The state directory of `agentnet` [default: $XDG_STATE_HOME/agentnet]
    #[arg(long, env = "AGENTNET_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl StateDir {
    /// Whether somebody said where it is.
    pub(crate) fn is_named(&self) -> bool {
        self.state_dir.is_some()
    }

    /// The directory, there or not.
    ///
    /// # Errors
    /// A sentence, where no home directory is known.
    pub(crate) fn path(&self) -> Result<PathBuf, String> {
        if let Some(path) = &self.state_dir {
            return Ok(path.clone());
        }
        let base = etcetera::choose_base_strategy()
            .map_err(|_| "no home directory is known; give --state-dir".to_owned())?;
        let state = base.state_dir().unwrap_or_else(|| base.data_dir());
        Ok(state.join("agentnet"))
    }
}
