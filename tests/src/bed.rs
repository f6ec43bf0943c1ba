//! Which engines there are to test on, and why not.
//!
//! The engine of the fence's own version is the user's, where one answers, used as it is; else ours, unpacked. The old
//! one and Podman are always ours. What cannot be had is a reason: printed, collected for the last lines of `make test`, and a
//! failure where `AGENTNET_REQUIRE_ENGINE=1`.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::command::{run, run_with};
use crate::engine::{BASE_IMAGE, Engine, IMAGES};

/// The engines that tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Docker 28 or newer, or whatever the user runs.
    Current,
    /// Docker 20.10: no isolated gateway mode.
    Old,
    /// Docker 28 with userns-remap: root of a container is nobody of the host.
    Mapping,
    /// Podman, run by root.
    Podman,
    /// Podman, run by a user without any rights.
    Rootless,
}

/// Runs a test on one engine, with the images built; or says why not.
pub fn with_engine(slot: Slot, needs_isolation: bool, test: impl FnOnce(&Engine)) {
    match engine(slot) {
        Ok(engine) if needs_isolation && !engine.isolates() => skip(&format!(
            "the network fence: Docker {} has no isolated gateway mode (28 has)",
            engine.version
        )),
        Ok(engine) => test(engine.with_images(build_images)),
        Err(reason) => skip(reason),
    }
}

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// One test function for every engine it names: `current`, `isolating` (current, and it must have the isolated gateway
/// mode), `old`, `mapping`, `podman` or `rootless`.
///
/// ```text
/// on_engines! {
///     [current, old] fn an_agent_cannot_reach_the_host(engine) { … }
/// }
/// ```
#[macro_export]
macro_rules! on_engines {
    ($( $(#[$doc:meta])* [$($slot:ident),+] fn $name:ident($engine:ident) $body:block )+) => {
        $(
            $(#[$doc])*
            mod $name {
                #[allow(unused_imports, reason = "not every test needs all of it")]
                use super::*;

                fn body($engine: &$crate::engine::Engine) $body

                $( #[test] fn $slot() { $crate::on_engines!(@ $slot) } )+
            }
        )+
    };
    (@ current) => { $crate::bed::with_engine($crate::bed::Slot::Current, false, body) };
    (@ isolating) => { $crate::bed::with_engine($crate::bed::Slot::Current, true, body) };
    (@ mapping) => { $crate::bed::with_engine($crate::bed::Slot::Mapping, true, body) };
    (@ old) => { $crate::bed::with_engine($crate::bed::Slot::Old, false, body) };
    (@ podman) => { $crate::bed::with_engine($crate::bed::Slot::Podman, false, body) };
    (@ rootless) => { $crate::bed::with_engine($crate::bed::Slot::Rootless, false, body) };
}

fn engine(slot: Slot) -> Result<&'static Engine, &'static str> {
    static CURRENT: OnceLock<Result<Engine, String>> = OnceLock::new();
    static OLD: OnceLock<Result<Engine, String>> = OnceLock::new();
    static MAPPING: OnceLock<Result<Engine, String>> = OnceLock::new();
    static PODMAN: OnceLock<Result<Engine, String>> = OnceLock::new();
    static ROOTLESS: OnceLock<Result<Engine, String>> = OnceLock::new();
    let found = match slot {
        Slot::Current => CURRENT.get_or_init(|| own().map_or_else(|| unpacked("docker28"), Ok)),
        Slot::Old => OLD.get_or_init(|| unpacked("docker20")),
        Slot::Mapping => MAPPING.get_or_init(|| unpacked("docker28-remap")),
        Slot::Podman => PODMAN.get_or_init(|| unpacked("podman")),
        Slot::Rootless => ROOTLESS.get_or_init(|| unpacked("rootless")),
    };
    found.as_ref().map_err(String::as_str)
}

/// The engine that the user's client finds: what the environment names, or the default socket.
fn own() -> Option<Engine> {
    let engine = Engine::reach("own", inherited())?;
    if !engine.docker(["image", "inspect", BASE_IMAGE]).ok() {
        let file = root().join("tests/engine/base");
        let words = ["build", "--tag", BASE_IMAGE];
        let build = run_with(
            engine.command("docker").args(words).arg(file),
            "",
            Duration::from_secs(900),
        );
        assert!(
            build.ok(),
            "the base image could not be built in the engine that runs here: {build}"
        );
    }
    Some(engine)
}

/// An engine of ours is entered with what `engines.sh env` exported, if that is what the user's shell has.
fn inherited() -> Vec<(String, String)> {
    ["AGENTNET_ENGINE_NETNS"]
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), env::var(key).ok()?)))
        .collect()
}

fn unpacked(name: &str) -> Result<Engine, String> {
    let script = root().join("tests/engine/engines.sh");
    let sh = |words: &[&str]| {
        run_with(
            Command::new(&script).args(words),
            "",
            Duration::from_secs(900),
        )
    };
    for step in [["up", name], ["base-image", name]] {
        let outcome = sh(&step);
        if !outcome.ok() {
            let last = outcome
                .stderr
                .lines()
                .last()
                .unwrap_or("no word why")
                .to_owned();
            return Err(format!("{name}: {}", last.trim_start_matches("engines: ")));
        }
    }
    let exported = sh(&["env", name]).expect();
    let environment = exported.lines().filter_map(variable).collect();
    Engine::reach(name, environment).ok_or_else(|| format!("{name}: it does not answer"))
}

/// `export KEY='VALUE'…` as engines.sh prints it; PATH is put before ours.
fn variable(line: &str) -> Option<(String, String)> {
    let (key, value) = line.strip_prefix("export ")?.split_once('=')?;
    let value = value.split('\'').nth(1)?;
    let value = match key {
        "PATH" => format!("{value}:{}", env::var("PATH").unwrap_or_default()),
        _ => value.to_owned(),
    };
    Some((key.to_owned(), value))
}

fn build_images(engine: &Engine) {
    let script = root().join("scripts/images.sh");
    let profile = env::var("AGENTNET_E2E_PROFILE").unwrap_or_else(|_| "image".to_owned());
    let mut command = engine.command(&script.to_string_lossy());
    command.args([
        "--base",
        BASE_IMAGE,
        "--prefix",
        IMAGES,
        "--profile",
        &profile,
    ]);
    run_with(&mut command, "", Duration::from_secs(1800)).expect();
}

/// A test that cannot run here says so, where the last lines of `make test` collect it.
pub fn skip(reason: &str) {
    assert!(
        env::var("AGENTNET_REQUIRE_ENGINE").as_deref() != Ok("1"),
        "AGENTNET_REQUIRE_ENGINE=1, and this test cannot run here: {reason}"
    );
    eprintln!("skipped: {reason}");
    if let Ok(path) = env::var("AGENTNET_SKIPPED") {
        let file = OpenOptions::new().append(true).create(true).open(&path);
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        file.and_then(|mut file| writeln!(file, "{test}\t{reason}"))
            .expect(&path);
    }
}

/// The `agentnet` program of this checkout.
pub fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("agentnet", "agentnet-controller"))
}

/// The `agentnet-proxy` program of this checkout.
pub fn proxy() -> &'static PathBuf {
    static PROXY: OnceLock<PathBuf> = OnceLock::new();
    PROXY.get_or_init(|| built("agentnet-proxy", "agentnet-proxy"))
}

/// The `agentnet-notify` program of this checkout.
pub fn notify() -> &'static PathBuf {
    static NOTIFY: OnceLock<PathBuf> = OnceLock::new();
    NOTIFY.get_or_init(|| built("agentnet-notify", "agentnet-notify"))
}

/// What `AGENTNET_BIN_DIR` holds, else built now.
fn built(program: &str, package: &str) -> PathBuf {
    if let Ok(directory) = env::var("AGENTNET_BIN_DIR") {
        return PathBuf::from(directory).join(program);
    }
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut build = Command::new(cargo);
    build
        .current_dir(root())
        .args(["build", "--quiet", "--package", package]);
    let outcome = run_with(&mut build, "", Duration::from_secs(1800));
    assert!(outcome.ok(), "{outcome}");
    // target/debug/deps/e2e-… stands two directories below the program.
    let here = env::current_exe().expect("a running test has a program");
    let debug = here.ancestors().nth(2).expect("target/debug").to_owned();
    debug.join(program)
}

/// Is there a compose plugin for this engine's client?
pub fn has_compose(engine: &Engine) -> bool {
    run(engine.command("docker").args(["compose", "version"])).ok()
}

/// The same, as a test that needs it wants it.
pub fn compose_or_skip(engine: &Engine) -> bool {
    let has = has_compose(engine);
    if !has {
        skip("the compose stacks: docker has no compose plugin here");
    }
    has
}
