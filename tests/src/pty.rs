//! A program on a terminal of its own: what it draws, and keys for it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::wait::until;

/// How long a picture or an end may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program and the other end of its terminal.
#[derive(Debug)]
pub struct Pty {
    child: Child,
    master: File,
    slave: File,
    drawn: Arc<Mutex<Vec<u8>>>,
}

impl Pty {
    /// Starts a program on a terminal of 120 columns and 30 rows.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("ours");
        unlockpt(&master).expect("ours");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = open(&name, flags, Mode::empty()).expect("its other end");
        let (master, slave) = (File::from(master), File::from(slave));
        resize(&slave, 120, 30);
        let end = || slave.try_clone().expect("a copy");
        let child = command
            .env("TERM", "xterm-256color")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("it starts");
        let drawn = Arc::new(Mutex::new(Vec::new()));
        let (mut output, into) = (master.try_clone().expect("a copy"), Arc::clone(&drawn));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The end of a terminal is an error, when nobody has its other end any more.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                into.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self {
            child,
            master,
            slave,
            drawn,
        }
    }

    /// Another size of the terminal. The kernel tells only programs that it belongs to, so the program is told.
    pub fn resize(&self, columns: u16, rows: u16) {
        resize(&self.slave, columns, rows);
        self.signal(rustix::process::Signal::WINCH);
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("it reads");
    }

    /// Everything that was drawn so far, controls and all.
    pub fn drawn(&self) -> String {
        String::from_utf8_lossy(&self.drawn.lock().unwrap()).into_owned()
    }

    /// What stands on the screen now, a line a row.
    pub fn screen(&self) -> String {
        picture(&self.drawn())
    }

    /// Waits until this stands on the screen.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.screen().contains(text) {
            let screen = self.screen();
            assert!(
                Instant::now() < deadline,
                "{text:?} is not there:\n{screen}"
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        until("its end", PATIENCE, || self.child.try_wait().unwrap())
    }

    /// Is the terminal as a shell left it: keys are echoed, lines are edited?
    pub fn is_as_before(&self) -> bool {
        let modes = tcgetattr(&self.slave).expect("a terminal").local_modes;
        let left = self.drawn().contains("\u{1b}[?1049l");
        modes.contains(LocalModes::ICANON | LocalModes::ECHO) && left
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What a terminal makes of it: texts at places, and a cleared screen. Everything else that programs say to a terminal
/// changes no text.
#[must_use]
pub fn picture(drawn: &str) -> String {
    let mut rows: Vec<Vec<char>> = Vec::new();
    let (mut row, mut column) = (0, 0);
    let mut chars = drawn.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                if chars.next() != Some('[') {
                    continue;
                }
                let mut words = String::new();
                let end = chars.by_ref().find(|c| {
                    let is_end = ('@'..='~').contains(c);
                    if !is_end {
                        words.push(*c);
                    }
                    is_end
                });
                let numbers: Vec<usize> = words.split(';').filter_map(|n| n.parse().ok()).collect();
                let at = |place: usize| numbers.get(place).copied().unwrap_or(1).max(1) - 1;
                match (end, words.as_str()) {
                    (Some('H'), _) => (row, column) = (at(0), at(1)),
                    (Some('J'), "2") => rows.clear(),
                    _ => {}
                }
            }
            '\r' => column = 0,
            '\n' => row += 1,
            c if c.is_control() => {}
            c => {
                if rows.len() <= row {
                    rows.resize(row + 1, Vec::new());
                }
                let line = &mut rows[row];
                if line.len() <= column {
                    line.resize(column + 1, ' ');
                }
                line[column] = c;
                column += 1;
            }
        }
    }
    let lines = rows.iter().map(|row| {
        let line: String = row.iter().collect();
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

fn resize(slave: &File, columns: u16, rows: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(slave, size).expect("a terminal");
}
