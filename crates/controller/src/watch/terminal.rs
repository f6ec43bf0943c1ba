//! The terminal while the screen has it.

use std::io;

use ratatui::DefaultTerminal;

use crate::error::Result;

/// The whole terminal, in raw mode; the old one returns when this is dropped, and when anything panics.
#[derive(Debug)]
pub struct Screen {
    /// What is drawn on.
    pub terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When standard output is none, or gone.
    pub fn enter() -> Result<Screen> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Screen { terminal }),
            Err(error) => {
                restore();
                Err(error.into())
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    // A terminal that is gone needs nothing.
    let restored: io::Result<()> = ratatui::try_restore();
    restored.ok();
}
