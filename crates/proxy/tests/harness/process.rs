//! The program as a process.

use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::eventually;

/// A running program; it is killed when this is dropped.
pub struct Program {
    child: Child,
    errors: Arc<Mutex<String>>,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    #[expect(dead_code, reason = "open for as long as the program runs")]
    unread: Option<PipeReader>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Exited {
    pub id: u32,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentnet-proxy"));
    // The tests' own environment is nobody's business.
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn collect(from: impl Read + Send + 'static) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            let mut text = into.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
        }
    });
    (text, reader)
}

impl Program {
    /// Runs to the end.
    pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Exited {
        Self::run_command(command().args(arguments).envs(environment.iter().copied()))
    }

    /// Runs a command to its end.
    pub fn run_command(command: &mut Command) -> Exited {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let id = child.id();
        let output = child.wait_with_output().unwrap();
        Exited {
            id,
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts.
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::spawn(command().args(arguments).envs(environment.iter().copied()))
    }

    /// Starts with a stdout and a stderr that are full and that nobody reads.
    pub fn start_unread(arguments: &[&str]) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        while (&writer).write(&[b'x'; 512]).is_ok() {}
        while (&writer).write(b"x").is_ok() {}
        rustix::io::ioctl_fionbio(&writer, false).unwrap();
        let mut command = command();
        command
            .args(arguments)
            .stdout(writer.try_clone().unwrap())
            .stderr(writer);
        Self {
            child: command.spawn().unwrap(),
            errors: Arc::default(),
            output: Arc::default(),
            readers: Vec::new(),
            unread: Some(reader),
        }
    }

    /// Starts with at most `descriptors` open files.
    pub fn start_with_descriptors(descriptors: u32, arguments: &[&str]) -> Self {
        Self::start_after(
            &format!("ulimit -n {descriptors}"),
            Stdio::null(),
            arguments,
        )
    }

    /// Starts where a shell has run `script` before it, with `input` as its standard input.
    pub fn start_after(script: &str, input: impl Into<Stdio>, arguments: &[&str]) -> Self {
        let mut shell = Command::new("/bin/sh");
        let script = format!("{script}; exec \"$0\" \"$@\"");
        shell
            .env_clear()
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        shell
            .args(["-c", &script, env!("CARGO_BIN_EXE_agentnet-proxy")])
            .args(arguments);
        Self::spawn(&mut shell)
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (errors, first) = collect(child.stderr.take().unwrap());
        let (output, second) = collect(child.stdout.take().unwrap());
        Self {
            child,
            errors,
            output,
            readers: vec![first, second],
            unread: None,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes it has read so far, from whatever: a program at rest reads none.
    pub fn bytes_read(&self) -> u64 {
        let path = format!("/proc/{}/io", self.id());
        let text = std::fs::read_to_string(path).unwrap();
        let read = text.lines().find_map(|line| line.strip_prefix("rchar: "));
        read.unwrap().parse().unwrap()
    }

    pub fn stderr(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    pub fn stdout(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Waits for a line on stderr that has `part`; returns what follows it.
    pub async fn says(&self, part: &str) -> String {
        eventually(&format!("`{part}` on stderr"), || {
            let text = self.stderr();
            let line = text.lines().find_map(|line| line.split_once(part))?;
            Some(line.1.to_owned())
        })
        .await
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap()
    }

    /// Waits for the end.
    pub async fn ended(mut self) -> Exited {
        let status = eventually("the end of the program", || self.child.try_wait().unwrap()).await;
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Exited {
            id: self.id(),
            code: status.code(),
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
