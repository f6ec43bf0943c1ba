//! A task is stored and put back, into itself and into a new one, as it was and without a secret.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::command::{PATIENCE, run};
use agentnet_e2e::engine::{BASE_IMAGE, Engine};
use agentnet_e2e::on_engines;
use agentnet_e2e::repository::git;
use agentnet_e2e::wait::until;
use fs_err as fs;
use serde_json::Value;

/// No other text has this.
const PLANTED: &str = "planted-59c2e7-secret";

/// A service with data of several owners, which knows its password only from its first start.
const STORE: &str = r#"
set -eu
if [ ! -e /data/password ]; then
    printf %s "$STORE_PASSWORD" >/data/password
    mkdir /data/own
    echo first >/data/own/row
    chown -R 70:71 /data/own
    chmod 2750 /data/own
    chmod 600 /data/password
    ln /data/own/row /data/row
fi
exec python3 -m http.server 8000 --directory /data
"#;

/// Everything a tree can hold: committed, not committed, untracked, ignored, links, modes, attributes, a hole.
const WORK: &str = r#"
set -eu
cd /workspace
git config user.name Agent
git config user.email agent@example.org
printf 'ignored/\nnode_modules/\n' >.gitignore
echo 'print("changed")' >main.py
git add --all
git commit --quiet --message 'Change the program'
git branch topic
echo staged >staged
git add staged
echo 'not committed' >>README
mkdir -p ignored/deep node_modules/left "a dir" private
echo out >ignored/deep/file
echo big >node_modules/left/pad
printf '#!/bin/sh\n' >"a dir/new file.sh"
chmod 4755 "a dir/new file.sh"
chmod 700 private
chmod 440 README
ln "a dir/new file.sh" hard
ln -s /etc/shadow leads-out
ln -s nowhere dangling
mkfifo pipe
truncate -s 1T sparse
printf end >>sparse
touch "$(printf 'line\nend')" -- "-dash"
python3 -c 'import os; os.setxattr("main.py", "user.kept", b"yes")'
mkdir many
seq 1 500 | sed 's|^|many/|' | xargs touch
echo in >/tmp/own
chmod 640 /tmp/own
ln /tmp/own /tmp/hard
ln -s /workspace /tmp/leads
mkdir -p /tmp/sub/sub
"#;

/// Prints whatever of a tree can differ, a line each.
const LOOK: &str = r#"
import hashlib, os, stat, sys
def look(path, seen):
    for entry in [path] + sorted(os.path.join(r, n) for r, ds, fs in os.walk(path) for n in ds + fs):
        if '/.git' in entry or '/node_modules' in entry:
            continue
        try:
            s = os.lstat(entry)
        except FileNotFoundError:
            continue
        what = ['%r' % entry, oct(s.st_mode), s.st_uid, s.st_gid, int(s.st_mtime)]
        if stat.S_ISLNK(s.st_mode):
            what.append(os.readlink(entry))
        else:
            try:
                what.append({k: os.getxattr(entry, k) for k in os.listxattr(entry) if k.startswith('user.')})
            except OSError:
                pass
        if stat.S_ISREG(s.st_mode):
            what += [s.st_size, s.st_blocks < 10000, 'first %r' % seen.setdefault(s.st_ino, entry)]
            if s.st_size < 1 << 30:
                try:
                    what.append(hashlib.sha256(open(entry, 'rb').read()).hexdigest())
                except PermissionError:
                    what.append('closed')
        print(*what)
for root in sys.argv[1:]:
    look(root, {})
"#;

/// What an agent, and whoever looks after it as root, does to all that afterwards.
const SPOIL: &str = r#"
cd /workspace
git switch --quiet --create other
git commit --quiet --all --message spoilt
git branch --quiet -D topic
rm -rf README main.py "a dir" ignored many sparse hard
mkdir main.py
echo new >new
rm -rf /tmp/own /tmp/sub
echo other >/tmp/hard
exec sleep 600 &
"#;

fn look(engine: &Engine, container: &str, roots: &[&str]) -> String {
    let words = [
        "exec",
        "--privileged",
        "--user",
        "0",
        container,
        "python3",
        "-c",
        LOOK,
    ];
    engine.docker(words.iter().chain(roots)).expect()
}

/// Every file below a directory that holds the secret, and bytes of all files.
fn holding(root: &Path, found: &mut Vec<PathBuf>) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            bytes += holding(&path, found);
            continue;
        }
        let text = fs::read(&path).unwrap();
        bytes += text.len() as u64;
        if text
            .windows(PLANTED.len())
            .any(|part| part == PLANTED.as_bytes())
        {
            found.push(path);
        }
    }
    bytes
}

/// The images on the engine that are this project's.
fn images(checkout: &Checkout<'_>) -> String {
    let ours = format!("label=agentnet.project={}", checkout.project);
    let words = ["image", "ls", "--all", "--quiet", "--filter", &ours];
    checkout.engine.docker(words).expect()
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn bed<'e>(engine: &'e Engine, fence: Option<&str>) -> Checkout<'e> {
    let checkout = Checkout::new(engine, fence, "");
    checkout.add_config(&format!(
        "[services.store]\nimage = \"{BASE_IMAGE}\"\nport = 8000\nuser = \"0:0\"\ngenerate = [\"STORE_PASSWORD\"]\n\
         command = [\"sh\", \"-c\", '''{STORE}''']\nvolumes = {{ data = \"/data\" }}\n\
         [credentials]\nenv = [\"PLANTED_KEY\"]\n"
    ));
    checkout
}

fn stored_and_put_back(engine: &Engine, fence: Option<&str>) {
    let checkout = bed(engine, fence);
    let with_key = |words: &[&str]| run(checkout.command(words).env("PLANTED_KEY", PLANTED));
    let agentnet = |words: &[&str]| checkout.agentnet(words);
    with_key(&["up", "t", "--grant"]).expect();
    let agent = checkout.container("t", "agent");
    let store = checkout.container("t", "service");
    engine.shell(&agent, WORK).expect();
    // What root of the container leaves in its own layer, and takes from the image.
    let root = "rm -r /etc/issue /usr/share/doc/tar && cp /bin/true /usr/local/bin/tool && chmod 4711 /usr/local/bin/tool \
                && mkdir /srv/given && chown 33:34 /srv/given && chmod 2775 /srv/given && echo x >/srv/given/file";
    engine
        .docker([
            "exec",
            "--privileged",
            "--user",
            "0",
            &agent,
            "sh",
            "-c",
            root,
        ])
        .expect();
    let layer = ["/tmp", "/srv", "/usr/local/bin", "/usr/share/doc", "/home"];
    let (files, own, data) = (
        look(engine, &agent, &["/workspace"]),
        look(engine, &agent, &layer),
        look(engine, &store, &["/data"]),
    );
    let status = engine
        .shell(
            &agent,
            "cd /workspace && git status --porcelain --branch && git log --oneline --all",
        )
        .expect();

    // What an agent wrote down of what it was given is found before it is stored.
    engine
        .shell(
            &agent,
            "tr '\\0' '\\n' </proc/1/environ | grep PLANTED >/workspace/ignored/leak",
        )
        .expect();
    let refused = agentnet(&["snapshot", "create", "t", "leaky"]);
    assert_eq!(refused.code(), Some(1), "{refused}");
    assert!(
        refused
            .stderr
            .contains("ignored/leak holds the value of PLANTED_KEY"),
        "{refused}"
    );
    assert!(!refused.text().contains(PLANTED), "{refused}");
    assert!(!checkout.state().join("snapshots").exists());
    engine
        .shell(
            &agent,
            "rm /workspace/ignored/leak; touch -d @1700000000 /workspace/ignored",
        )
        .expect();
    let files = files.replace(
        &line_of(&files, "/workspace/ignored'"),
        &line_of(
            &look(engine, &agent, &["/workspace"]),
            "/workspace/ignored'",
        ),
    );

    let cost = document(&agentnet(&["snapshot", "create", "t", "--dry-run", "--json"]).expect());
    assert!(
        cost["estimate"]["bytes"].as_u64().unwrap() > 500_000,
        "{cost}"
    );
    let made = agentnet(&[
        "snapshot",
        "create",
        "t",
        "one",
        "--exclude",
        "node_modules",
        "--json",
    ]);
    assert!(made.stderr.contains("to store (files"), "{made}");
    let made = document(&made.expect());
    assert_eq!(made["snapshot"]["left_out"], Value::Array(vec![]), "{made}");
    // A hole of a TiB is no TiB.
    assert!(made["bytes"].as_u64().unwrap() < 64 << 20, "{made}");
    let twice = agentnet(&["snapshot", "create", "t", "one"]);
    assert_eq!(twice.code(), Some(8), "{twice}");

    // Nothing of it is on the engine, and no byte of it has the secret.
    let mut found = Vec::new();
    let bytes = holding(&checkout.state().join("snapshots"), &mut found);
    assert_eq!(found, [] as [PathBuf; 0]);
    assert!(bytes >= made["bytes"].as_u64().unwrap());
    assert_eq!(images(&checkout), "");
    let listed = agentnet(&["snapshot", "ls", "t"]).expect();
    assert!(
        listed.contains("files, git, volume store.data, container, without node_modules"),
        "{listed}"
    );

    // Put back into the task that it was taken of.
    engine.shell(&agent, SPOIL).expect();
    engine
        .docker([
            "exec",
            "--privileged",
            "--user",
            "0",
            &agent,
            "sh",
            "-c",
            "rm -r /srv/given; echo y >/etc/issue",
        ])
        .expect();
    engine
        .docker([
            "exec",
            &store,
            "sh",
            "-c",
            "rm -r /data/own /data/row; echo spoilt >/data/new",
        ])
        .expect();
    let back = document(&agentnet(&["snapshot", "restore", "t", "one", "--json"]).expect());
    assert_eq!(back["proof"]["sealed"], true, "{back}");
    let again = |task: &str| -> String {
        let agent = checkout.container(task, "agent");
        let store = checkout.container(task, "service");
        assert_eq!(look(engine, &agent, &["/workspace"]), files, "{task}");
        assert_eq!(look(engine, &agent, &layer), own, "{task}");
        assert_eq!(look(engine, &store, &["/data"]), data, "{task}");
        engine
            .shell(
                &agent,
                "test ! -e /etc/issue && test ! -e /workspace/node_modules",
            )
            .expect();
        // The service's data know the password that the agent is told.
        let told = agentnet(&[
            "exec",
            task,
            "--",
            "sh",
            "-c",
            "printf %s \"$STORE_PASSWORD\"",
        ])
        .expect();
        let known = engine
            .docker(["exec", &store, "cat", "/data/password"])
            .expect();
        assert_eq!((told.len(), told), (32, known));
        agent
    };
    let agent = again("t");
    let status_of = |agent: &str| {
        engine
            .shell(
                agent,
                "cd /workspace && git status --porcelain --branch && git log --oneline --all",
            )
            .expect()
    };
    assert_eq!(status_of(&agent), status);
    let processes = engine.docker(["top", &agent]).expect();
    assert!(!processes.contains("sleep 600"), "{processes}");
    agentnet(&["verify", "t"]).expect();
    let key = agentnet(&["exec", "t", "--", "sh", "-c", "printf %s \"$PLANTED_KEY\""]).expect();
    assert_eq!(key, PLANTED, "a restored task has what it was given");

    // And into a new one, which has its own name, and no secret that it was not given.
    let up = run(checkout
        .command(&["up", "two", "--snapshot", "t/one"])
        .env("PLANTED_KEY", "another-secret"))
    .expect();
    assert!(up.contains("sealed"), "{up}");
    let two = again("two");
    assert_eq!(
        status_of(&two),
        status.replace("agentnet/t", "agentnet/two")
    );
    agentnet(&["sync", "two"]).expect();
    let tip = git(
        &checkout.directory(),
        &["log", "-1", "--format=%s", "agentnet/two"],
    );
    assert_eq!(tip, "Change the program");
    agentnet(&["verify", "two"]).expect();

    // Snapshots stay when their task goes, and gc leaves them alone.
    let down = agentnet(&["down", "t", "two", "--discard"]);
    assert!(down.stderr.contains("1 snapshot stays"), "{down}");
    agentnet(&["gc"]).expect();
    assert_eq!(checkout.leftovers(), []);
    let listed = document(&agentnet(&["snapshot", "ls", "--json"]).expect());
    assert_eq!(
        listed["snapshots"].as_array().map(Vec::len),
        Some(1),
        "{listed}"
    );
    let pins = || {
        git(
            &checkout.directory(),
            &[
                "for-each-ref",
                "refs/agentnet/snapshot",
                "refs/agentnet/pin",
            ],
        )
    };
    assert!(
        pins().contains("refs/agentnet/snapshot/t/one/"),
        "{}",
        pins()
    );
    agentnet(&["snapshot", "rm", "t", "one"]).expect();
    assert_eq!(pins(), "");
    assert!(!checkout.state().join("snapshots").exists());
    let gone = agentnet(&["snapshot", "restore", "t", "one"]);
    assert_eq!(gone.code(), Some(7), "{gone}");
    assert_eq!(images(&checkout), "");
}

/// The line of one path.
fn line_of(text: &str, path: &str) -> String {
    text.lines()
        .find(|line| line.starts_with(&format!("'{path} ")))
        .unwrap_or_else(|| panic!("{path} is not in {text}"))
        .to_owned()
}

on_engines! {
    [isolating] fn a_task_is_stored_and_put_back_as_it_was(engine) {
        stored_and_put_back(engine, Some("network"));
    }

    [current] fn a_task_behind_a_relay_is_stored_and_put_back(engine) {
        stored_and_put_back(engine, Some("socket"));
    }

    [current] fn a_snapshot_that_is_killed_leaves_nothing_half_and_a_task_that_works(engine) {
        let checkout = Checkout::new(engine, None, "");
        checkout.agentnet(&["up", "t"]).expect();
        let agent = checkout.container("t", "agent");
        engine.shell(&agent, "head -c 100000000 /dev/urandom >/workspace/big").expect();
        let state = || engine.docker(["inspect", "--format", "{{.State.Status}}", &agent]).expect();
        let mut making = checkout.start(&["snapshot", "create", "t", "half"]);
        until("the task to stand still", PATIENCE, || (state() == "paused").then_some(()));
        // Two at once are one.
        let second = checkout.agentnet(&["snapshot", "create", "t", "other"]);
        let locked = second.code() == Some(8);
        making.kill().expect("a process");
        making.wait().expect("its end");
        assert!(locked || state() != "paused", "{second}");
        let listed = document(&checkout.agentnet(&["snapshot", "ls", "--json"]).expect());
        let names = listed["snapshots"].as_array().unwrap().iter().map(|s| s["snapshot"]["name"].to_string());
        assert!(names.collect::<Vec<_>>().iter().all(|name| name != "half"), "{listed}");
        until("what it left to end", Duration::from_secs(60), || {
            checkout.agentnet(&["gc"]).expect();
            checkout.containers("t", "extractor").is_empty().then_some(())
        });
        assert_eq!(state(), "running");
        let drafts = fs::read_dir(checkout.state().join("snapshots")).map_or(0, Iterator::count);
        assert!(drafts == 0 || second.ok(), "{drafts}");
        checkout.agentnet(&["exec", "t", "--", "true"]).expect();
        checkout.agentnet(&["down", "t", "--discard"]).expect();
        assert_eq!(checkout.leftovers(), []);
    }
}
