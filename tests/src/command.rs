//! A child process with a deadline, and what it said.

use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything that a test starts may take, unless it says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What a finished process said.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What was run, for messages.
    pub words: String,
    /// How it ended; `None` when the deadline came first and it was killed.
    pub status: Option<ExitStatus>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Outcome {
    /// Exit code 0 and in time.
    pub fn ok(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// The exit code, `None` after a signal or the deadline.
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    /// Both streams, for assertions about what a person saw.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// The trimmed output of a process that must have succeeded.
    #[track_caller]
    pub fn expect(self) -> String {
        assert!(self.ok(), "{self}");
        self.stdout.trim_end().to_owned()
    }

    /// The same outcome, of a process that must have failed on its own.
    #[track_caller]
    pub fn expect_failure(self) -> Self {
        assert!(
            self.code().is_some_and(|code| code != 0),
            "should have failed: {self}"
        );
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.status {
            Some(status) => writeln!(f, "`{}`: {status}", self.words)?,
            None => writeln!(f, "`{}`: killed at its deadline", self.words)?,
        }
        write!(
            f,
            "--- stdout\n{}\n--- stderr\n{}",
            self.stdout, self.stderr
        )
    }
}

/// Runs to the end or to the deadline.
pub fn run(command: &mut Command) -> Outcome {
    run_with(command, "", PATIENCE)
}

/// As [`run`], with something on standard input and another deadline.
pub fn run_with(command: &mut Command, input: &str, patience: Duration) -> Outcome {
    let words = words(command);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start `{words}`: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    // A child that ends without reading is no failure of ours.
    stdin.write_all(input.as_bytes()).ok();
    drop(stdin);
    let stdout = collect(child.stdout.take().expect("piped"));
    let stderr = collect(child.stderr.take().expect("piped"));
    let deadline = Instant::now() + patience;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            break Some(status);
        }
        if Instant::now() >= deadline {
            child.kill().ok();
            child.wait().ok();
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    Outcome {
        words,
        status,
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

/// The command as a person would type it, shortened.
pub fn words(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    let text = words.join(" ");
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).ok();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
