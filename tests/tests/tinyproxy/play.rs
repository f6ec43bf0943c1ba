//! Runs one scenario with one program.

use std::io::Write as _;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use agentnet_e2e::daemon::{Daemon, Ended, free_port};
use agentnet_e2e::recorder::Recorder;
use agentnet_e2e::wire::Wire;
use agentnet_e2e::{bed, wait};
use fs_err as fs;
use tempfile::TempDir;

use crate::observation::{self, Observation};
use crate::scenario::{BASE, Play, Scenario, Sights};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// The packaged Tinyproxy.
    Theirs,
    /// agentnet-proxy.
    Ours,
}

/// The other ends: the same for both programs, so that nothing that is said differs by a port.
#[derive(Debug)]
pub(crate) struct World {
    origin: Recorder,
    parent: Recorder,
    socks: Recorder,
    dead: u16,
    tinyproxy: PathBuf,
}

impl World {
    /// Recorders on free ports. `tinyproxy` is the unpacked package.
    pub(crate) fn new(tinyproxy: &Path) -> Self {
        let [origin, parent, socks] = [(); 3].map(|()| Recorder::start());
        Self {
            origin,
            parent,
            socks,
            dead: free_port(),
            tinyproxy: tinyproxy.to_owned(),
        }
    }

    fn seen(&self) -> Observation {
        let recorders = [
            ("origin", &self.origin),
            ("parent", &self.parent),
            ("socks", &self.socks),
        ];
        let all = recorders.map(|(who, recorder)| observation::recorded(who, &recorder.take()));
        all.into_iter().flatten().collect()
    }
}

/// A program that runs with a configuration.
#[derive(Debug)]
pub(crate) struct Stage<'w> {
    /// The process.
    pub(crate) daemon: Daemon,
    /// Where its files are.
    pub(crate) directory: TempDir,
    world: &'w World,
}

impl Stage<'_> {
    /// Text with the places of this stage put in.
    pub(crate) fn fill(&self, text: &str) -> String {
        fill(
            text,
            self.world,
            self.directory.path(),
            self.daemon.address.port(),
        )
    }

    /// Writes a file of the configuration.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), self.fill(text))
            .expect("a file of the configuration");
    }

    /// What the log file says now.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Waits until something new in the log contains one of these words.
    pub(crate) fn await_log(&self, from: usize, words: &[&str]) {
        wait::until(
            &format!("{words:?} in the log"),
            Duration::from_secs(10),
            || {
                let log = self.log();
                let new = log.get(from..).unwrap_or_default();
                words.iter().any(|word| new.contains(word)).then_some(())
            },
        );
    }

    /// A connection to the program.
    pub(crate) fn connect(&self) -> Wire {
        Wire::to(self.daemon.address)
    }

    /// One request on a connection of its own, and everything that can be seen of it.
    pub(crate) fn ask(&self, ask: &str) -> Observation {
        self.ask_on(&mut self.connect(), ask)
    }

    /// One request on this connection.
    pub(crate) fn ask_on(&self, wire: &mut Wire, ask: &str) -> Observation {
        let ask = self.fill(ask);
        let method = ask
            .trim_start_matches("RAW ")
            .split(' ')
            .next()
            .unwrap_or_default();
        wire.send(&bytes(&ask));
        let answer = wire.answer(method);
        let mut seen = observation::answer("", &answer);
        if method == "CONNECT" && answer.status / 100 == 2 {
            wire.send(b"GET /inside HTTP/1.1\r\nHost: inside.example\r\n\r\n");
            seen.extend(observation::answer("tunnel:", &wire.answer("GET")));
        }
        seen.extend(self.world.seen());
        seen
    }
}

/// Plays it, and tells what was seen, by name.
pub(crate) fn play(scenario: &Scenario, program: Program, world: &World) -> Sights {
    let sights = play_unnamed(scenario, program, world);
    let named = |observation: Observation| -> Observation {
        let pairs = observation.into_iter();
        pairs
            .map(|(key, value)| (named(&key, world), named(&value, world)))
            .collect()
    };
    sights
        .into_iter()
        .map(|(name, observation)| (name, named(observation)))
        .collect()
}

/// The inverse of [`fill`] for what is the same for both programs, so that the record of one run is that of the next; and
/// what ours calls itself, which is chosen anew at every start.
fn named(text: &str, world: &World) -> String {
    const OURS: &str = "agentnet-";
    let places = [
        (world.origin.address, "$ORIGIN"),
        (world.parent.address, "$PARENT"),
        (world.socks.address, "$SOCKS"),
        (SocketAddr::from(([127, 0, 0, 1], world.dead)), "$DEAD"),
    ];
    let text = places
        .iter()
        .fold(text.to_owned(), |text, (address, name)| {
            text.replace(&address.to_string(), name)
        });
    let port = format!("localhost:{}", world.origin.address.port());
    let text = text.replace(&port, "localhost:$ORIGINPORT");
    let is_own =
        |rest: &str| rest.len() >= 16 && rest.bytes().take(16).all(|byte| byte.is_ascii_hexdigit());
    let mut parts = text.split(OURS);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(OURS);
        match part.get(16..) {
            Some(rest) if is_own(part) => text.push_str(&format!("ID{rest}")),
            _ => text.push_str(part),
        }
    }
    text
}

/// Where the program does not start, that is all there is to see.
fn play_unnamed(scenario: &Scenario, program: Program, world: &World) -> Sights {
    if let Play::Alone(script) = &scenario.play {
        return script(program, world);
    }
    let mut stage = match start(scenario, program, world) {
        Ok(stage) => stage,
        Err(ended) => {
            let failed = if ended.status.success() {
                "success"
            } else {
                "failure"
            };
            let code = ended
                .status
                .code()
                .map_or("a signal".to_owned(), |code| code.to_string());
            let seen = [
                ("started", "no"),
                ("exit status", failed),
                ("exit code", &code),
            ];
            let seen = seen.map(|(key, value)| (key.to_owned(), value.to_owned()));
            return vec![("start".to_owned(), seen.into()), said(&ended.said)];
        }
    };
    let mut sights = match &scenario.play {
        Play::Asks(asks) => asks.iter().map(|ask| (name(ask), stage.ask(ask))).collect(),
        Play::Alone(_) => Vec::new(),
        Play::Script(script) => match catch_unwind(AssertUnwindSafe(|| script(&mut stage))) {
            Ok(sights) => sights,
            Err(_) => vec![(
                "script".to_owned(),
                Observation::from([("failed".to_owned(), "yes".to_owned())]),
            )],
        },
    };
    let running = stage.daemon.running();
    let ended = stage.daemon.end().is_some_and(|status| status.success());
    let ending = Observation::from([
        ("started".to_owned(), "yes".to_owned()),
        ("ran to the end".to_owned(), running.to_string()),
        ("ended with success".to_owned(), ended.to_string()),
    ]);
    sights.push(("start".to_owned(), ending));
    sights.push(("log".to_owned(), observation::log(&stage.log())));
    sights.push(said(&stage.daemon.said()));
    let directory = stage.directory.path().to_string_lossy().into_owned();
    let own = stage.daemon.address.to_string();
    let named = |text: &str| text.replace(&directory, "$DIR").replace(&own, "$SELF");
    let observed = |observation: Observation| -> Observation {
        let pairs = observation.into_iter();
        pairs
            .map(|(key, value)| (named(&key), named(&value)))
            .collect()
    };
    sights
        .into_iter()
        .map(|(name, observation)| (name, observed(observation)))
        .collect()
}

/// What a program says on its own streams is kept for whoever reads the record, and not compared.
fn said(text: &str) -> (String, Observation) {
    (
        "#said".to_owned(),
        Observation::from([("said".to_owned(), text.to_owned())]),
    )
}

/// An ask's first line is its name, and with fields all of it.
fn name(ask: &str) -> String {
    ask.replace("\r\n", "\\r\\n").replace('\n', " | ")
}

fn start<'w>(scenario: &Scenario, program: Program, world: &'w World) -> Result<Stage<'w>, Ended> {
    let mut again = 3;
    loop {
        let directory = TempDir::new().expect("a temporary directory");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let put = |text: &str| fill(text, world, directory.path(), address.port());
        for (name, text) in &scenario.files {
            fs::write(directory.path().join(name), put(text)).expect("a file of the configuration");
        }
        let conf = directory.path().join("tinyproxy.conf");
        let mut file = fs::File::create(&conf).expect("a configuration");
        file.write_all(put(&format!("{BASE}{}", scenario.conf)).as_bytes())
            .expect("a configuration");
        let said = directory.path().join("said");
        match Daemon::start(
            &mut command(program, scenario, world, &conf),
            address,
            &said,
        ) {
            Ok(daemon) => {
                world.seen();
                let stage = Stage {
                    daemon,
                    directory,
                    world,
                };
                if program == Program::Theirs {
                    await_handlers(&stage);
                }
                return Ok(stage);
            }
            // Another process took the port meanwhile.
            Err(ended) if again > 0 && port_was_taken(&ended.said) => again -= 1,
            Err(ended) => return Err(ended),
        }
    }
}

/// In the words of each program.
fn port_was_taken(said: &str) -> bool {
    said.contains("in use") || said.contains("listening socket")
}

/// Tinyproxy listens before it handles signals, and tells in its log when it does. Where the log is elsewhere there is
/// nothing to wait for.
fn await_handlers(stage: &Stage) {
    let deadline = Instant::now() + Duration::from_secs(1);
    while !stage.log().contains("Accepting connections") && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Both get the same words; the environment is what only ours would look at.
fn command(program: Program, scenario: &Scenario, world: &World, conf: &Path) -> Command {
    let mut command = bare(program, world);
    command.arg("-d").arg("-c").arg(conf);
    if scenario.private {
        command.env("AGENTNET_PRIVATE_DESTINATIONS", "allow");
    }
    if scenario.raw {
        command.env("AGENTNET_RAW_TUNNELS", "allow");
    }
    command
}

/// The program without a word.
pub(crate) fn bare(program: Program, world: &World) -> Command {
    let mut command = Command::new(match program {
        Program::Theirs => world.tinyproxy.join("bin/tinyproxy"),
        Program::Ours => bed::proxy().clone(),
    });
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("AGENTNET_ADMIN", "off");
    command
}

/// Puts the places in.
pub(crate) fn fill(text: &str, world: &World, directory: &Path, port: u16) -> String {
    let dead = SocketAddr::from(([127, 0, 0, 1], world.dead)).to_string();
    let places = [
        ("$PORT", port.to_string()),
        ("$DIR", directory.to_string_lossy().into_owned()),
        ("$ORIGINPORT", world.origin.address.port().to_string()),
        ("$ORIGIN", world.origin.address.to_string()),
        ("$PARENT", world.parent.address.to_string()),
        ("$SOCKS", world.socks.address.to_string()),
        ("$DEAD", dead),
        (
            "$PACKAGE",
            world
                .tinyproxy
                .join("usr/share/tinyproxy")
                .display()
                .to_string(),
        ),
    ];
    places.iter().fold(text.to_owned(), |text, (place, value)| {
        text.replace(place, value)
    })
}

/// The bytes of an ask.
pub(crate) fn bytes(ask: &str) -> Vec<u8> {
    if let Some(raw) = ask.strip_prefix("RAW ") {
        return raw.as_bytes().to_vec();
    }
    let (head, body) = ask.split_once("\n\n").unwrap_or((ask, ""));
    let mut lines = head.split('\n');
    let line = lines.next().unwrap_or_default();
    let fields: Vec<&str> = lines.collect();
    let mut text = format!("{line} HTTP/1.1\r\n");
    if !fields
        .iter()
        .any(|field| field.to_ascii_lowercase().starts_with("host:"))
    {
        text.push_str(&format!("Host: {}\r\n", authority(line)));
    }
    for field in fields {
        text.push_str(&format!("{field}\r\n"));
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// What stands between `//` and the path, without a user; all of it for CONNECT.
fn authority(line: &str) -> &str {
    let target = line.split(' ').nth(1).unwrap_or_default();
    let after = target.split_once("//").map_or(target, |(_, rest)| rest);
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}
