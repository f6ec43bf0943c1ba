//! The person's SSH agent in a task: a real `ssh-agent` outside, real clients inside, and what it must not do for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::bed::skip;
use agentnet_e2e::command::{Outcome, run};
use agentnet_e2e::origin::{ALLOWED, Origin, whitelist};
use agentnet_e2e::{on_engines, wait};

/// An `ssh-agent` with two keys, `one` and `two`.
pub(crate) struct Person {
    home: tempfile::TempDir,
    agent: Child,
}

impl Person {
    /// Where there is no `ssh-agent`, there is none.
    pub(crate) fn new(comment: &str) -> Option<Person> {
        let home = tempfile::tempdir().unwrap();
        let agent = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(home.path().join("agent.sock"))
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        let person = Person { home, agent };
        wait::until("ssh-agent", Duration::from_secs(20), || {
            person.socket().exists().then_some(())
        });
        for name in ["one", "two"] {
            let file = person.home.path().join(name);
            let words = ["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"];
            run(Command::new("ssh-keygen").args(words).arg(&file)).expect();
            person.ssh_add(&["-q", &file.to_string_lossy()]).expect();
        }
        Some(person)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home.path().join("agent.sock")
    }

    fn ssh_add(&self, words: &[&str]) -> Outcome {
        let mut command = Command::new("ssh-add");
        run(command.env("SSH_AUTH_SOCK", self.socket()).args(words))
    }

    fn public(&self, name: &str) -> String {
        fs::read_to_string(self.home.path().join(format!("{name}.pub"))).unwrap()
    }

    fn fingerprint(&self, name: &str) -> String {
        let mut command = Command::new("ssh-keygen");
        let file = self.home.path().join(name);
        let said = run(command.arg("-lf").arg(file)).expect();
        said.split(' ').nth(1).unwrap().to_owned()
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.agent.kill().ok();
        self.agent.wait().ok();
    }
}

/// The processes that were started in a directory, and still are.
fn started_in(directory: &Path) -> usize {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let started = all.filter_map(|entry| fs::read_link(entry.path().join("cwd")).ok());
    // The kernel says ` (deleted)` behind what is gone.
    let here = |cwd: &PathBuf| {
        cwd.to_string_lossy()
            .starts_with(&*directory.to_string_lossy())
    };
    started.filter(here).count()
}

/// Everything but a list and a signature: each answered with a failure (5), a length that nothing has with the end too.
const HOSTILE: &str = r#"
import socket, struct
def ask(frame):
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect("/agentnet/ssh/agent.sock"); s.sendall(frame)
    got = s.recv(100)
    assert got == b"\0\0\0\1\5", (frame[:20], got)
    return s
string = lambda b: struct.pack(">I", len(b)) + b
for kind in [1, 9, 17, 18, 19, 20, 21, 22, 23, 25, 26, 27, 255]:
    body = bytes([kind]) + string(b"session-bind@openssh.com") + string(b"x")
    ask(string(body))
ask(string(b"\x0d" + string(b"no such key") + string(b"data") + b"\0\0\0\0"))
for length in [0, 1 << 20, (1 << 32) - 1]:
    s = ask(struct.pack(">I", length))
    assert s.recv(1) == b"", "it goes on after a length of %d" % length
print("refused")
"#;

on_engines! {
    [current] fn a_persons_ssh_agent_signs_for_a_task_until_it_is_withdrawn(engine) {
        let Some(person) = Person::new("me@home") else {
            return skip("the SSH agent in a task: there is no ssh-agent here");
        };
        let [one, two] = ["one", "two"].map(|name| person.fingerprint(name));
        let checkout = Checkout::new(engine, None, &format!("{}{ALLOWED}:22 raw private\n", whitelist())).with_service();
        checkout.add_config(&format!("\n[credentials]\nssh_agent = [\"{one}\"]\n"));
        let with_agent = |words: &[&str]| run(checkout.command(words).env("SSH_AUTH_SOCK", person.socket()));
        let refused = with_agent(&["up", "t"]);
        assert_eq!(refused.code(), Some(4), "{refused}");
        assert!(refused.stderr.contains(&format!("ssh-agent:{one}, which you have not granted")), "{refused}");
        let absent = run(checkout.command(&["up", "t", "--grant"]).env_remove("SSH_AUTH_SOCK"));
        assert!(absent.stderr.contains("SSH_AUTH_SOCK is not set"), "{absent}");
        let up = with_agent(&["up", "t"]);
        assert!(up.ok() && !up.stderr.contains("does not get to your SSH agent"), "{up}");

        let directory = checkout.state().join(format!("tasks/{}/t/ssh", checkout.project));
        assert_eq!(started_in(&directory), 1);
        let exec = |script: &str| checkout.agentnet(&["exec", "t", "--", "sh", "-c", script]);
        let agent = checkout.container("t", "agent");

        // The key that was named, without what its comment says of the person; and no other.
        let listed = exec("ssh-add -l").expect();
        assert!(listed.contains(&one) && listed.lines().count() == 1, "{listed}");
        assert!(!listed.contains("me@home"), "{listed}");
        for name in ["one", "two"] {
            engine.write(&agent, &format!("/tmp/{name}.pub"), &person.public(name));
        }
        let sign = |name: &str| exec(&format!("echo data >/tmp/data; rm -f /tmp/data.sig; ssh-keygen -q -Y sign -f /tmp/{name}.pub -n test /tmp/data"));
        sign("one").expect();
        exec("echo \"me $(cat /tmp/one.pub)\" >/tmp/allowed; ssh-keygen -Y verify -f /tmp/allowed -I me -n test -s /tmp/data.sig </tmp/data").expect();
        sign("two").expect_failure();

        // What it is for: git over SSH, through the task's proxy.
        let origin = Origin::start(engine, &checkout.network("t", "egress"));
        origin.serve_ssh();
        origin.authorize(&person.public("one"));
        exec("mkdir -p ~/.ssh && echo 'StrictHostKeyChecking accept-new' >~/.ssh/config").expect();
        let clone = format!("rm -rf /tmp/sample && git clone --quiet ssh://root@{ALLOWED}/tmp/origin/www/sample.git /tmp/sample");
        exec(&clone).expect();

        // What it is not for: the person's agent is as it was.
        exec("ssh-add -D").expect_failure();
        exec("ssh-keygen -q -t ed25519 -N '' -f /tmp/own && ssh-add /tmp/own").expect_failure();
        exec("printf 'x\\nx\\n' | SSH_ASKPASS_REQUIRE=force SSH_ASKPASS=/bin/true ssh-add -x").expect_failure();
        engine.write(&agent, "/tmp/hostile.py", HOSTILE);
        assert_eq!(exec("python3 /tmp/hostile.py").expect(), "refused");
        let keys = person.ssh_add(&["-l"]).expect();
        assert!(keys.contains(&one) && keys.contains(&two) && keys.lines().count() == 2, "{keys}");
        sign("one").expect();

        // Nobody else in the task has it, and nothing tells of the person's socket.
        let web = checkout.container("t", "service");
        for (container, has) in [(&agent, true), (&web, false)] {
            let inspected = engine.docker(["inspect", container]).expect();
            assert_eq!(inspected.contains("/agentnet/ssh"), has, "{inspected}");
            assert!(!inspected.contains(&*person.socket().to_string_lossy()), "{inspected}");
        }

        // Taken back at once, also from who is connected; then nothing of it is left.
        let connected = "import socket,sys,time\ns=socket.socket(socket.AF_UNIX); s.connect('/agentnet/ssh/agent.sock')\n\
            s.sendall(b'\\0\\0\\0\\1\\x0b'); assert s.recv(999)[4]==12\nopen('/tmp/connected','w').close()\n\
            while not __import__('os').path.exists('/tmp/withdrawn'): time.sleep(.05)\n\
            try: s.sendall(b'\\0\\0\\0\\1\\x0b'); got=s.recv(999)\n\
            except OSError: got=b''\n\
            print('nothing' if got in (b'', b'\\0\\0\\0\\1\\5') else got)";
        engine.write(&agent, "/tmp/connected.py", connected);
        let said = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| exec("python3 /tmp/connected.py"));
            wait::until("the connection", Duration::from_secs(30), || exec("test -e /tmp/connected").ok().then_some(()));
            let withdrew = checkout.agentnet(&["withdraw", "t"]);
            assert!(withdrew.ok() && withdrew.stderr.contains("withdrew the SSH agent"), "{withdrew}");
            exec("touch /tmp/withdrawn").expect();
            waiting.join().unwrap()
        });
        assert_eq!(said.expect(), "nothing");
        exec("ssh-add -l").expect_failure();
        sign("one").expect_failure();
        exec(&clone).expect_failure();
        wait::until("the process between to end", Duration::from_secs(20), || (started_in(&directory) == 0).then_some(()));
        drop(origin);
        checkout.agentnet(&["down", "t", "--discard"]).expect();
        assert_eq!(checkout.leftovers(), []);
        assert!(!directory.exists());
    }
}
