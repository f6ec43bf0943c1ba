//! What an extractor would do, on this machine: its script, with its places where they are here. Only for
//! trees that a test wrote.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use agentnet_controller::engine::Output;
use agentnet_controller::spec::{ContainerSpec, Mount};
use agentnet_controller::workspace::Workspace;

/// Runs the script of a spec.
pub(crate) fn run(spec: &ContainerSpec, input: &[u8]) -> Output {
    run_on(None, spec, input)
}

/// The same; `volumes` holds a directory for each volume.
pub(crate) fn run_on(volumes: Option<&Path>, spec: &ContainerSpec, input: &[u8]) -> Output {
    let scratch = tempfile::tempdir().unwrap();
    let mut places = vec![("/tmp".to_owned(), scratch.path().to_owned())];
    for mount in &spec.mounts {
        if let Mount::Bind { source, target, .. } = mount {
            places.push((target.clone(), source.clone()));
        }
        if let (Mount::Volume { volume, target, .. }, Some(volumes)) = (mount, volumes) {
            let place = volumes.join(&volume.name);
            fs_err::create_dir_all(&place).unwrap();
            places.push((target.clone(), place));
        }
    }
    // Longer ones first: one place can lie below another.
    places.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
    let here = |text: &str| {
        let mut text = text.to_owned();
        for (n, (target, _)) in places.iter().enumerate() {
            text = text.replace(target.as_str(), &format!("\u{1}{n}\u{1}"));
        }
        for (n, (_, source)) in places.iter().enumerate() {
            text = text.replace(&format!("\u{1}{n}\u{1}"), &source.display().to_string());
        }
        text
    };
    let mut child = Command::new("sh")
        .args(["-eu", "-c"])
        .args(spec.command.iter().map(|word| here(word)))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(spec.env.iter().map(|(key, value)| match key.as_str() {
            // Places of the host that are only compared.
            "AGENTNET_MODULES" | "AGENTNET_LINKS" => (key, value.clone()),
            _ => (key, here(value)),
        }))
        .current_dir(scratch.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feed = std::thread::spawn(move || drop(std::io::Write::write_all(&mut stdin, &input)));
    let output = child.wait_with_output().unwrap();
    feed.join().unwrap();
    Output {
        code: output.status.code().unwrap_or(-1).into(),
        stdout: output.stdout,
        stderr: output.stderr,
    }
}

/// The agent of a task: git as it works in the container.
pub(crate) struct Agent {
    pub(crate) tree: PathBuf,
    pub(crate) private: PathBuf,
    alternates: String,
}

impl Agent {
    pub(crate) fn of(workspace: &Workspace) -> Agent {
        let Workspace::Worktree { tree, git, .. } = workspace else {
            panic!("no worktree");
        };
        let alternates: Vec<_> = git
            .objects
            .iter()
            .map(|o| o.directory.display().to_string())
            .collect();
        Agent {
            tree: tree.clone(),
            private: git.directory.clone(),
            alternates: alternates.join(":"),
        }
    }

    #[track_caller]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(&self.tree)
            .env("GIT_DIR", &self.private)
            .env("GIT_WORK_TREE", &self.tree)
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &self.alternates)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .args(args)
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {words}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Writes a file and commits it; the commit.
    #[track_caller]
    pub(crate) fn commit(&self, name: &str, text: &str) -> String {
        self.write(name, text);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", name]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path: &Path = &self.tree.join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        let time = |path: &Path| {
            use std::os::unix::fs::MetadataExt;
            let meta = fs_err::metadata(path).unwrap();
            (meta.ctime(), meta.ctime_nsec())
        };
        // Change times tick with a coarse clock: later than the tree was made.
        let made = time(&self.tree.with_extension("made"));
        loop {
            fs_err::write(path, text).unwrap();
            if time(path) > made {
                return;
            }
        }
    }
}
