//! One configuration, and what is asked of a program that runs with it.

use crate::observation::Observation;
use crate::play::{Program, Stage, World};

/// What every configuration begins with. `$NAMES` are put in by [`Stage`].
pub(crate) const BASE: &str = "Port $PORT\nListen 127.0.0.1\nLogFile \"$DIR/log\"\nLogLevel Info\n";

/// What a script saw: a name for each thing it tried.
pub(crate) type Sights = Vec<(String, Observation)>;

/// What happens once the program runs.
#[derive(Debug, Clone)]
pub(crate) enum Play {
    /// Requests, each on a connection of its own.
    ///
    /// `METHOD TARGET`, then fields, then after an empty line a body, all with plain line ends. `Host` is the target's
    /// where none is given. `RAW …` is sent as it is.
    Asks(&'static [&'static str]),
    /// Anything else with the running program.
    Script(fn(&mut Stage) -> Sights),
    /// Starts the program itself, in its own way.
    Alone(fn(Program, &World) -> Sights),
}

/// One configuration and what is done with it.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// What it is about.
    pub(crate) name: &'static str,
    /// The lines after [`BASE`].
    pub(crate) conf: String,
    /// Files in `$DIR`.
    pub(crate) files: Vec<(&'static str, String)>,
    /// What happens.
    pub(crate) play: Play,
    /// Are private destinations, which all of loopback is, switched on in our program?
    pub(crate) private: bool,
    /// May tunnels to listed hosts carry anything in our program?
    pub(crate) raw: bool,
}

impl Scenario {
    /// One with requests.
    pub(crate) fn asks(name: &'static str, conf: &str, asks: &'static [&'static str]) -> Self {
        Self {
            name,
            conf: conf.to_owned(),
            files: Vec::new(),
            play: Play::Asks(asks),
            private: true,
            raw: true,
        }
    }

    /// One with a script.
    pub(crate) fn script(name: &'static str, conf: &str, script: fn(&mut Stage) -> Sights) -> Self {
        Self {
            play: Play::Script(script),
            ..Self::asks(name, conf, &[])
        }
    }

    /// One that starts the program itself.
    pub(crate) fn alone(name: &'static str, script: fn(Program, &World) -> Sights) -> Self {
        Self {
            play: Play::Alone(script),
            ..Self::asks(name, "", &[])
        }
    }

    /// With a file in `$DIR`.
    pub(crate) fn file(mut self, name: &'static str, text: &str) -> Self {
        self.files.push((name, text.to_owned()));
        self
    }

    /// Without the switch that restores tunnels for anything.
    pub(crate) fn checked(mut self) -> Self {
        self.raw = false;
        self
    }

    /// Without the switch that restores private destinations.
    pub(crate) fn guarded(mut self) -> Self {
        self.private = false;
        self
    }
}
