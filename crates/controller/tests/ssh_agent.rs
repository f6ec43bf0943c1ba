//! The process between a task and the person's SSH agent, as `up` starts it: it serves its socket, and ends with it,
//! whoever removed that.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod harness;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentnet_controller::engine::EngineError;
use agentnet_controller::engine::fake::Fault;
use agentnet_controller::gc::collect;
use agentnet_controller::ssh_agent::{Fingerprint, Keys, SshAgent};
use agentnet_controller::teardown::{self, Changes};
use agentnet_controller::up::Setup;
use harness::{Bed, id};

/// `SSH_AGENT_IDENTITIES_ANSWER` with the keys `one` and `two`, without comments.
const TWO: &[u8] = b"\x0c\0\0\0\x02\0\0\0\x03one\0\0\0\0\0\0\0\x03two\0\0\0\0";

/// A person's agent with two keys, which says the same to everything.
fn person(directory: &Path, keys: Keys) -> SshAgent {
    let socket = directory.join("person.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let mut question = [0; 5];
            client.read_exact(&mut question).unwrap();
            let length = u32::try_from(TWO.len()).unwrap().to_be_bytes();
            client.write_all(&[&length, TWO].concat()).unwrap();
        }
    });
    SshAgent {
        program: env!("CARGO_BIN_EXE_agentnet").into(),
        socket,
        keys,
    }
}

fn broken() -> Fault {
    Fault::Refuse(EngineError::Refused {
        status: 500,
        message: "no".into(),
    })
}

fn setup(bed: &Bed) -> Setup {
    let mut setup = bed.setup("t", "");
    setup.handover.ssh_agent = Some(person(bed.directory.path(), Keys::All));
    setup
}

/// Asks for the keys. `None`: nobody answers, or not with a list.
fn keys(socket: &Path) -> Option<Vec<u8>> {
    let mut client = UnixStream::connect(socket).ok()?;
    client.write_all(&[0, 0, 0, 1, 11]).ok()?;
    let mut length = [0; 4];
    client.read_exact(&mut length).ok()?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    client.read_exact(&mut answer).ok()?;
    Some(answer).filter(|answer| answer[0] == 12)
}

/// The processes that were started in a directory, and still are.
fn processes(directory: &Path) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let started = all.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok());
    // The kernel says ` (deleted)` behind what is gone.
    let here = |cwd: &PathBuf| {
        cwd.to_string_lossy()
            .starts_with(&*directory.to_string_lossy())
    };
    started.filter(here).count()
}

async fn ended(directory: &Path, when: &str) {
    let gone = async {
        while processes(directory) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
    assert!(gone.is_ok(), "still running: {when}");
}

#[tokio::test]
async fn it_serves_named_keys_until_its_socket_is_gone() {
    let home = tempfile::tempdir().unwrap();
    // Deeper than a path of a socket may be.
    let directory = home.path().join("d/".repeat(60)).join("ssh");
    let named = Keys::Named([Fingerprint::of(b"two")].into());
    let agent = person(home.path(), named);
    let me = rustix::process::geteuid().as_raw();
    let owner = (me, rustix::process::getegid().as_raw());
    agent.start(&directory, owner).await.unwrap();
    let short = home.path().join("ssh");
    std::os::unix::fs::symlink(&directory, &short).unwrap();
    let socket = short.join("agent.sock");
    assert_eq!(processes(&directory), 1);
    assert_eq!(
        keys(&socket).unwrap(),
        b"\x0c\0\0\0\x01\0\0\0\x03two\0\0\0\0"
    );
    std::fs::remove_file(&socket).unwrap();
    assert_eq!(keys(&socket), None);
    ended(&directory, "the socket is gone").await;

    // Of no key at all it serves nothing, rather than all.
    let nothing = SshAgent {
        keys: Keys::Named([].into()),
        ..agent
    };
    let error = nothing.start(&directory, owner).await.unwrap_err();
    assert!(error.to_string().contains("--key"), "{error}");
    ended(&directory, "it did not start").await;
}

#[tokio::test]
async fn a_task_has_it_until_it_goes_however_it_ended() {
    let bed = Bed::docker28();
    let up = bed.up(&setup(&bed)).await.unwrap();
    assert!(up.record.ssh_agent);
    let directory = bed.state.task(&id("t")).ssh();
    assert_eq!(keys(&directory.join("agent.sock")).unwrap(), TWO);
    // An engine that removes nothing keeps nobody signing.
    bed.engine.fault_at(bed.engine.calls(), broken());
    let workspace = Some(&up.record.workspace);
    let down = async |bed: &Bed| {
        teardown::task(&bed.engine, &bed.state, &id("t"), workspace, Changes::Keep).await
    };
    down(&bed).await;
    assert_eq!(keys(&directory.join("agent.sock")), None);
    ended(&directory, "down").await;
    bed.engine.heal();
    down(&bed).await;
    bed.assert_empty("down");

    // An up that fails, and one that is killed where it stands.
    let calls = bed.engine.calls();
    let bed = Bed::docker28();
    bed.engine.fault_at(calls / 3, Fault::Hang);
    let setup = setup(&bed);
    let killed = tokio::time::timeout(Duration::from_secs(2), bed.up(&setup)).await;
    assert!(killed.is_err(), "it did not hang");
    let directory = bed.state.task(&id("t")).ssh();
    assert_eq!(keys(&directory.join("agent.sock")).unwrap(), TWO);
    bed.engine.heal();
    collect(&bed.engine, &bed.state, true).await.unwrap();
    ended(&directory, "gc").await;
    bed.assert_empty("gc");
}
