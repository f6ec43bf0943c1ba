//! A task that is up on a fake engine, of a real repository, with real git on both sides.

use std::path::{Path, PathBuf};
use std::process::Command;

use agentnet_controller::error::Result;
use agentnet_controller::output::Progress;
use agentnet_controller::record::Record;
use agentnet_controller::snapshot::{Excluded, Shelf, Stored, Wish, create, restore};
use agentnet_controller::sync::{LARGEST, Report, Uncommitted, sync};
use agentnet_controller::teardown::{self, Changes};
use agentnet_controller::up::Setup;
use agentnet_controller::workspace::{Repository, Workspace};
use tokio_util::sync::CancellationToken;

use super::stand_in::{self, Agent};
use super::{Bed, id};

/// What a task has of its repository.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Share {
    /// All objects, read-only.
    Objects,
    /// A copy of what its branch leads to.
    Nothing,
}

/// A repository `shop` with one commit, below a directory.
pub(crate) fn repository(directory: &Path, init: &[&str]) -> PathBuf {
    git(directory, init);
    let root = fs_err::canonicalize(directory.join("shop")).unwrap();
    fs_err::write(root.join("README"), "hello\n").unwrap();
    git(&root, &["add", "README"]);
    git(&root, &["commit", "--quiet", "-m", "first"]);
    root
}

/// How a repository is made.
pub(crate) const INIT: [&str; 4] = ["init", "--quiet", "--initial-branch=main", "shop"];
pub(crate) const BRANCH: &str = "refs/heads/agentnet/t";
pub(crate) const BROUGHT: &str = "refs/agentnet/task/t/agentnet/t";

pub(crate) fn try_git(directory: &Path, args: &[&str]) -> std::result::Result<String, String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(["-c", "user.name=a", "-c", "user.email=a@b.example"])
        // As root, trees are given to another.
        .args(["-c", "safe.directory=*"])
        .args(args)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

#[track_caller]
pub(crate) fn git(directory: &Path, args: &[&str]) -> String {
    try_git(directory, args).unwrap()
}

/// A task that is up, its agent, and the user's repository.
pub(crate) struct Scene {
    pub(crate) bed: Bed,
    pub(crate) root: PathBuf,
    pub(crate) record: Record,
    pub(crate) agent: Agent,
}

impl Scene {
    pub(crate) async fn new() -> Scene {
        Scene::with(&INIT).await
    }

    pub(crate) async fn with(init: &[&str]) -> Scene {
        let bed = Bed::docker28();
        let root = repository(bed.directory.path(), init);
        Scene::of(bed, &root, Share::Objects).await
    }

    /// A task of a repository that is there.
    pub(crate) async fn of(bed: Bed, root: &Path, share: Share) -> Scene {
        let root = fs_err::canonicalize(root).unwrap();
        let repository = Repository::find(&root, &bed.state).await.unwrap();
        let dir = bed.state.task(&id("t"));
        let workspace = match share {
            Share::Objects => Workspace::worktree(&repository, &id("t"), &dir).await,
            Share::Nothing => Workspace::clone_of(&repository, &id("t"), &dir).await,
        };
        Scene::on(bed, root, workspace.unwrap()).await
    }

    /// A task on these files; `root` is where its commits are to arrive.
    pub(crate) async fn on(bed: Bed, root: PathBuf, workspace: Workspace) -> Scene {
        bed.engine.on_run(stand_in::run);
        let setup = Setup {
            workspace,
            ..bed.setup("t", "")
        };
        let record = bed.up(&setup).await.unwrap().record;
        let agent = Agent::of(&record.workspace);
        Scene {
            bed,
            root,
            record,
            agent,
        }
    }

    pub(crate) async fn down(&self) -> teardown::Report {
        let (engine, state) = (&self.bed.engine, &self.bed.state);
        let workspace = Some(&self.record.workspace);
        let report = teardown::task(engine, state, &id("t"), workspace, Changes::Keep).await;
        assert_eq!(report.errors, [""; 0]);
        report
    }

    pub(crate) async fn sync(&self) -> Result<Report> {
        let (engine, state) = (&self.bed.engine, &self.bed.state);
        sync(engine, state, &self.record, Uncommitted::Leave, LARGEST).await
    }

    /// Stores the task as a snapshot.
    pub(crate) async fn store(&self, name: &str) -> Stored {
        let wish = Wish {
            name: name.parse().unwrap(),
            excluded: Excluded::new(Vec::new()).unwrap(),
            hold: true,
            most: 1 << 30,
        };
        let (never, silent) = (CancellationToken::new(), Progress::silent());
        let (engine, state) = (&self.bed.engine, &self.bed.state);
        create(engine, state, &self.record, &wish, &never, &silent)
            .await
            .unwrap();
        Shelf::of(state, &self.record.task).get(&wish.name).unwrap()
    }

    /// Puts one back into the task.
    pub(crate) async fn restore(&self, stored: &Stored) -> Result<()> {
        let (never, silent) = (CancellationToken::new(), Progress::silent());
        let (engine, state) = (&self.bed.engine, &self.bed.state);
        let put = restore(engine, state, &self.record, stored, &never, &silent);
        put.await.map(drop)
    }

    pub(crate) fn at(&self, name: &str) -> Option<String> {
        try_git(&self.root, &["rev-parse", "--verify", "--quiet", name]).ok()
    }

    /// Everything that could have changed by a refused sync.
    pub(crate) fn state(&self) -> (String, Vec<PathBuf>) {
        let refs = git(&self.root, &["for-each-ref"]);
        let mut objects = super::everything_below(&self.root.join(".git/objects"));
        objects.sort();
        (refs, objects)
    }

    /// A refused sync: says why in a sentence, and nothing here changed.
    pub(crate) async fn refused(&self, because: &str) {
        let before = self.state();
        let error = self.sync().await.unwrap_err().to_string();
        assert!(error.contains(because), "{because}: {error}");
        assert_eq!(self.state(), before, "{because}");
    }

    /// Writes an object that git would not make.
    pub(crate) fn plant(&self, kind: &str, content: &[u8]) -> String {
        let mut child = Command::new("git")
            .env("GIT_DIR", &self.agent.private)
            .args(["hash-object", "-t", kind, "--literally", "-w", "--stdin"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), content).unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits a tree on the task's branch.
    pub(crate) fn commit_tree(&self, tree: &str) {
        let commit = self
            .agent
            .git(&["commit-tree", tree, "-p", "HEAD", "-m", "planted"]);
        self.agent.git(&["update-ref", BRANCH, &commit]);
    }
}

/// A tree's entry, as it is stored.
pub(crate) fn entry(mode: &str, name: &str, oid: &str) -> Vec<u8> {
    let mut bytes = format!("{mode} {name}\0").into_bytes();
    let digits: Vec<_> = oid.chars().map(|c| c.to_digit(16).unwrap()).collect();
    let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).unwrap();
    bytes.extend(digits.chunks(2).map(byte));
    bytes
}
