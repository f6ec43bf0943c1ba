//! A person's desktop without a person: a private session bus, a screen that nobody sees, and somebody who shows
//! notifications there. Nothing of the machine's own session is used or found.
//!
//! ```text
//! let mut session = Session::start(Who::Dunst)?;
//! // … something notifies on session.address() …
//! session.daemon().until_received("the alert", |shown| shown.body.contains("done"));
//! session.daemon().click("Allow once");
//! ```

mod bus;
mod dunst;
mod plain;
mod received;
mod screen;

use std::path::{Path, PathBuf};
use std::process::Child;

use tempfile::TempDir;

use crate::peers::peer;
use crate::wait::until;
use bus::Bus;
use dunst::Dunst;
use plain::Plain;
use screen::Screen;

pub use received::Received;

/// Who shows the notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// dunst as its package configures it: markup and buttons.
    Dunst,
    /// dunst with `markup = no`: buttons, and text as it is.
    DunstWithoutMarkup,
    /// One of ours that can show a title and a text, and nothing else. No package has a daemon without both: all have
    /// buttons but notify-osd, and that one reads markup.
    Plain,
}

impl Who {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dunst, Self::DunstWithoutMarkup, Self::Plain];

    /// Reads the text as markup?
    pub fn markup(self) -> bool {
        self == Self::Dunst
    }

    /// Has buttons?
    pub fn buttons(self) -> bool {
        self != Self::Plain
    }
}

/// One session. All that it started ends when it is dropped.
#[derive(Debug)]
pub struct Session {
    who: Who,
    daemon: Option<Running>,
    bus: Option<Bus>,
    screen: Screen,
    root: PathBuf,
    dir: TempDir,
}

/// A daemon that runs.
#[derive(Debug)]
pub enum Running {
    /// The packaged one.
    Dunst(Box<Dunst>),
    /// Ours.
    Plain(Plain),
}

impl Session {
    /// A session with its bus and its daemon; or one sentence that says why there is none here.
    pub fn start(who: Who) -> Result<Self, String> {
        let mut session = Self::empty(who)?;
        session.start_bus();
        session.start_daemon();
        Ok(session)
    }

    /// Only the screen: no bus, no daemon.
    pub fn empty(who: Who) -> Result<Self, String> {
        let root = peer("desktop")?;
        let dir = tempfile::tempdir().expect("a directory for the session");
        let screen = Screen::start(&root, dir.path());
        Ok(Self {
            who,
            daemon: None,
            bus: None,
            screen,
            root,
            dir,
        })
    }

    /// Where the bus is or will be: the same after a restart, as on a machine.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.dir.path().join("bus").display())
    }

    /// Starts the bus.
    pub fn start_bus(&mut self) {
        self.bus = Some(Bus::start(&self.root, self.dir.path()));
    }

    /// Kills the bus. The daemon has nobody to listen to then, and ends too.
    pub fn kill_bus(&mut self) {
        self.bus = None;
        self.daemon = None;
    }

    /// Starts the daemon.
    pub fn start_daemon(&mut self) {
        let address = self.address();
        self.daemon = Some(match self.who {
            Who::Plain => Running::Plain(Plain::start(&address)),
            Who::Dunst | Who::DunstWithoutMarkup => Running::Dunst(Box::new(Dunst::start(
                &self.root,
                self.dir.path(),
                &address,
                &self.screen.display,
                self.who.markup(),
            ))),
        });
    }

    /// Kills the daemon, and with it whatever it showed.
    pub fn kill_daemon(&mut self) {
        self.daemon = None;
    }

    /// Who shows notifications now.
    pub fn daemon(&self) -> &Running {
        self.daemon.as_ref().expect("the daemon was started")
    }

    /// What is on the screen, as a PNG.
    pub fn picture(&self) -> Vec<u8> {
        self.screen.picture(&self.root)
    }
}

impl Running {
    /// Every call that arrived, in order.
    pub fn received(&self) -> Vec<Received> {
        match self {
            Self::Dunst(dunst) => dunst.received(),
            Self::Plain(plain) => plain.received(),
        }
    }

    /// Waits for a notification; the first that is meant.
    #[track_caller]
    pub fn until_received(&self, what: &str, meant: impl Fn(&Received) -> bool) -> Received {
        until(what, PATIENCE, || {
            self.received().into_iter().find(|shown| meant(shown))
        })
    }

    /// How many are on the screen.
    pub fn displayed(&self) -> usize {
        match self {
            Self::Dunst(dunst) => dunst.displayed(),
            Self::Plain(plain) => plain.displayed(),
        }
    }

    /// Clicks the button with this label on the uppermost notification, as a person would: through the daemon's own menu.
    #[track_caller]
    pub fn click(&self, label: &str) {
        match self {
            Self::Dunst(dunst) => dunst.click(label),
            Self::Plain(_) => panic!("it has no buttons"),
        }
    }

    /// Closes all of them, as a person would.
    pub fn close_all(&self) {
        match self {
            Self::Dunst(dunst) => dunst.close_all(),
            Self::Plain(plain) => plain.close_all(),
        }
    }
}

/// How long anything here may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// A process of a session: killed when it is dropped.
#[derive(Debug)]
struct Part(Child);

impl Drop for Part {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// `name` of the unpacked desktop, with nothing of the machine's session in its environment.
fn program(root: &Path, name: &str, dir: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(root.join("bin").join(name));
    let path = format!("{}:/usr/bin:/bin", root.join("bin").display());
    command
        .env_clear()
        .env("PATH", path)
        .env("HOME", dir)
        .env("XDG_RUNTIME_DIR", dir)
        .env("FONTCONFIG_FILE", dir.join("fonts.conf"))
        .current_dir(dir)
        .stdin(std::process::Stdio::null());
    command
}
