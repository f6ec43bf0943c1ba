//! Snapshots on the fake engine, with the scripts run here on real trees: whatever fails, and wherever, a task goes on
//! and nothing is half.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod harness;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use agentnet_controller::engine::fake::Fault;
use agentnet_controller::engine::{Change, EngineError, Kind, Output, Running};
use agentnet_controller::error::Result;
use agentnet_controller::exit::Exit;
use agentnet_controller::gc::collect;
use agentnet_controller::output::Progress;
use agentnet_controller::record::Record;
use agentnet_controller::snapshot::{
    Excluded, Manifest, Shelf, Stored, What, Which, Wish, create, estimate, restore, unfinished,
};
use agentnet_controller::spec::{ContainerSpec, Mount};
use agentnet_controller::task::Slug;
use agentnet_controller::teardown::{self, Changes};
use agentnet_controller::up::Setup;
use agentnet_controller::workspace::{Repository, Workspace};
use harness::{Bed, id, stand_in};
use tokio_util::sync::CancellationToken;

const SERVICE: &str = "[services.db]\nimage = \"postgres\"\ngenerate = [\"DB_PASSWORD\"]\nvolumes = { data = \"/data\" }\n";

fn git(directory: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(["-c", "user.name=a", "-c", "user.email=a@b.example"])
        .args(args)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {words}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A task that is up, in a repository, with a service whose volume is a directory here.
struct Scene {
    bed: Bed,
    root: PathBuf,
    record: Record,
}

/// The engine's archive of `/tmp`.
fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind, text: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(text.len() as u64);
        builder.append_data(&mut header, name, text).unwrap();
    };
    add("tmp/", tar::EntryType::Directory, b"");
    add("tmp/own", tar::EntryType::Regular, b"the agent's");
    add("tmp/image", tar::EntryType::Regular, b"the image's");
    builder.into_inner().unwrap()
}

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

impl Scene {
    async fn new() -> Scene {
        let bed = Bed::docker28();
        let volumes = bed.directory.path().join("volumes");
        bed.engine
            .on_run(move |spec, input| run(spec, input, &volumes));
        let changes = [
            ("/tmp", Change::Modified),
            ("/tmp/own", Change::Added),
            ("/etc/motd", Change::Deleted),
            ("/workspace", Change::Added),
        ];
        let changes = changes.map(|(path, change)| (path.to_owned(), change));
        bed.engine.set_layer(changes.to_vec(), archive());
        git(
            bed.directory.path(),
            &["init", "--quiet", "--initial-branch=main", "shop"],
        );
        let root = fs_err::canonicalize(bed.directory.path().join("shop")).unwrap();
        fs_err::write(root.join("README"), "hello\n").unwrap();
        git(&root, &["add", "README"]);
        git(&root, &["commit", "--quiet", "-m", "first"]);
        let mut scene = Scene {
            record: bed.up(&bed.setup("none", "")).await.unwrap().record,
            bed,
            root,
        };
        scene.down("none", &scene.record.clone()).await;
        scene.record = scene.up("t", None).await.unwrap();
        let tree = scene.tree();
        fs_err::write(tree.join("work"), "not committed\n").unwrap();
        fs_err::create_dir(tree.join("skip")).unwrap();
        fs_err::write(tree.join("skip/big"), "x").unwrap();
        fs_err::write(scene.data().join("row"), "first").unwrap();
        scene
    }

    async fn setup(&self, task: &str, seed: Option<&str>) -> Result<Setup> {
        let repository = Repository::find(&self.root, &self.bed.state).await.unwrap();
        let dir = self.bed.state.task(&id(task));
        let mut workspace = Workspace::worktree(&repository, &id(task), &dir)
            .await
            .unwrap();
        let seed = match seed.map(|text| text.parse::<Which>().unwrap()) {
            Some(which) => Some(
                which
                    .seed(&self.bed.state, &id(task), &mut workspace)
                    .await?,
            ),
            None => None,
        };
        let setup = self.bed.setup(task, SERVICE);
        Ok(Setup {
            seed,
            workspace,
            ..setup
        })
    }

    async fn up(&self, task: &str, seed: Option<&str>) -> Result<Record> {
        let setup = self.setup(task, seed).await?;
        Ok(self.bed.up(&setup).await?.record)
    }

    async fn down(&self, task: &str, record: &Record) {
        let workspace = Some(&record.workspace);
        let (engine, state) = (&self.bed.engine, &self.bed.state);
        let report = teardown::task(engine, state, &id(task), workspace, Changes::Discard).await;
        assert_eq!(report.errors, [""; 0]);
    }

    fn tree(&self) -> PathBuf {
        self.record.workspace.files().to_owned()
    }

    /// The service's volume.
    fn data(&self) -> PathBuf {
        let place = self.bed.directory.path().join("volumes/db.data");
        fs_err::create_dir_all(&place).unwrap();
        place
    }

    fn wish(&self, name: &str) -> Wish {
        Wish {
            name: slug(name),
            excluded: Excluded::new(vec!["skip".to_owned()]).unwrap(),
            hold: true,
            most: 1 << 30,
        }
    }

    async fn create(&self, name: &str) -> Result<Manifest> {
        let never = CancellationToken::new();
        let (engine, state) = (&self.bed.engine, &self.bed.state);
        create(
            engine,
            state,
            &self.record,
            &self.wish(name),
            &never,
            &Progress::silent(),
        )
        .await
    }

    fn stored(&self, name: &str) -> Stored {
        Shelf::of(&self.bed.state, &id("t"))
            .get(&slug(name))
            .unwrap()
    }

    async fn restore(&self, name: &str) -> Result<()> {
        let (never, silent) = (CancellationToken::new(), Progress::silent());
        let (engine, state) = (&self.bed.engine, &self.bed.state);
        let stored = self.stored(name);
        let put = restore(engine, state, &self.record, &stored, &never, &silent).await;
        put.map(drop)
    }

    /// What the task is now: its files' text, its service's, and who runs.
    fn now(&self) -> (String, String, Vec<String>) {
        let read = |path: PathBuf| fs_err::read_to_string(path).unwrap_or_default();
        let states = self.bed.engine.states();
        let idle = states
            .iter()
            .filter(|(_, state)| **state != Running::Running);
        (
            read(self.tree().join("work")),
            read(self.data().join("row")),
            idle.map(|(name, state)| format!("{name} {state:?}"))
                .collect(),
        )
    }

    fn half(&self) -> Vec<PathBuf> {
        let mut all = harness::everything_below(&self.bed.state.root().join("snapshots"));
        let hidden = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."))
        };
        all.retain(hidden);
        all
    }
}

/// The scripts on trees that are here. Nothing of a container's layer is run.
fn run(spec: &ContainerSpec, input: &[u8], volumes: &Path) -> Output {
    if spec.mounts.is_empty() {
        return harness::said("");
    }
    let mut spec = spec.clone();
    for mount in &mut spec.mounts {
        if let Mount::Volume { target, .. } = mount {
            let source = volumes.join(target.rsplit('/').next().unwrap());
            *mount = Mount::Bind {
                source,
                target: target.clone(),
                writable: true,
            };
        }
    }
    stand_in::run(&spec, input)
}

fn broken() -> Fault {
    Fault::Refuse(EngineError::Refused {
        status: 500,
        message: "no".into(),
    })
}

#[tokio::test]
async fn a_snapshot_has_everything_but_what_is_left_out_and_says_so() {
    let scene = Scene::new().await;
    let excluded = scene.wish("x").excluded;
    let (engine, state) = (&scene.bed.engine, &scene.bed.state);
    let cost = estimate(engine, state, &scene.record, &excluded)
        .await
        .unwrap();
    let parts: Vec<_> = cost.parts.iter().map(|line| line.part.as_str()).collect();
    assert_eq!(parts, ["files", "git", "volume db.data", "container"]);
    let made = scene.create("one").await.unwrap();
    assert_eq!(made, scene.stored("one").manifest);
    assert_eq!((made.removed, made.left_out.as_slice()), (1, &[][..]));
    assert_eq!(made.image, "sha256:0");
    let files = made.part(&What::Files).unwrap();
    // The directory itself, README, work; neither `skip` nor the host's `.git`.
    assert_eq!(files.entries, 3);
    let layer = made
        .part(&What::Container {
            directory: "/".into(),
        })
        .unwrap();
    assert_eq!(layer.entries, 2);
    let mode = |path: PathBuf| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
    let place = scene.stored("one").at("");
    assert_eq!(
        (mode(place.clone()), mode(place.join("passwords.json"))),
        (0o700, 0o600)
    );
    // Again is refused, and a name that is not there is told.
    assert_eq!(scene.create("one").await.unwrap_err().exit(), Exit::Busy);
    let shelf = Shelf::of(&scene.bed.state, &id("t"));
    assert_eq!(shelf.get(&slug("two")).unwrap_err().exit(), Exit::NoTask);
    shelf.remove(&slug("one")).await.unwrap();
    assert!(!scene.bed.state.root().join("snapshots").exists());
    assert_eq!(
        git(&scene.root, &["for-each-ref", "refs/agentnet/snapshot"]),
        ""
    );
}

#[tokio::test]
async fn links_modes_owners_and_holes_come_back_as_they_were() {
    let scene = Scene::new().await;
    let tree = scene.tree();
    let path = |name: &str| tree.join(name);
    fs_err::set_permissions(path("work"), std::fs::Permissions::from_mode(0o4640)).unwrap();
    fs_err::hard_link(path("work"), path("hard")).unwrap();
    std::os::unix::fs::symlink("/etc/shadow", path("out")).unwrap();
    fs_err::write(path("line\nend"), "").unwrap();
    fs_err::File::create(path("hole"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    fs_err::create_dir_all(path("closed/below")).unwrap();
    fs_err::set_permissions(path("closed"), std::fs::Permissions::from_mode(0o2750)).unwrap();
    // Older than now, so that nobody has it by chance.
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for name in ["", "closed", "work"] {
        fs_err::File::open(path(name))
            .unwrap()
            .file()
            .set_modified(old)
            .unwrap();
    }
    let look = || {
        let mut all = harness::everything_below(&tree);
        all.retain(|path| !path.to_string_lossy().contains("/skip") && !path.ends_with(".git"));
        all.sort();
        let one = |path: PathBuf| {
            let meta = fs_err::symlink_metadata(&path).unwrap();
            (
                path,
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.len(),
                meta.mtime(),
                if meta.is_dir() { 0 } else { meta.nlink() },
            )
        };
        all.into_iter().map(one).collect::<Vec<_>>()
    };
    let before = look();
    scene.create("one").await.unwrap();
    for name in ["work", "hard", "out", "hole"] {
        fs_err::remove_file(path(name)).unwrap();
    }
    fs_err::create_dir(path("work")).unwrap();
    fs_err::write(path("new"), "").unwrap();
    scene.restore("one").await.unwrap();
    assert_eq!(look(), before);
    assert_eq!(
        fs_err::read_link(path("out")).unwrap(),
        Path::new("/etc/shadow")
    );
    assert!(fs_err::metadata(path("hole")).unwrap().blocks() < 100);
    assert!(
        !path("skip").exists(),
        "what was left out is not there any more"
    );
}

#[tokio::test]
async fn a_failure_at_any_call_leaves_no_snapshot_and_a_task_that_works() {
    let scene = Scene::new().await;
    let before = scene.bed.engine.calls();
    scene.create("whole").await.unwrap();
    let calls = scene.bed.engine.calls() - before;
    let there = scene.bed.engine.everything();
    for call in 0..calls {
        scene
            .bed
            .engine
            .fault_at(scene.bed.engine.calls() + call, broken());
        let outcome = scene.create("half").await;
        scene.bed.engine.heal();
        let error = outcome.unwrap_err();
        assert!(!error.to_string().contains("id00"), "{error}");
        assert_eq!(scene.half(), [] as [PathBuf; 0], "call {call}");
        assert!(
            !scene
                .bed
                .state
                .root()
                .join("snapshots/shop/t/half")
                .exists(),
            "call {call}"
        );
        assert_eq!(
            scene.now().2,
            [""; 0],
            "call {call}: {:?}",
            scene.bed.engine.log()
        );
        assert_eq!(scene.bed.engine.everything(), there, "call {call}");
        assert!(
            !git(&scene.root, &["for-each-ref"]).contains("/half/"),
            "call {call}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_kill_at_any_call_leaves_gc_removes_and_the_task_goes_on() {
    let scene = Scene::new().await;
    let before = scene.bed.engine.calls();
    scene.create("whole").await.unwrap();
    let calls = scene.bed.engine.calls() - before;
    let there = scene.bed.engine.everything();
    for call in 0..calls {
        scene
            .bed
            .engine
            .fault_at(scene.bed.engine.calls() + call, Fault::Hang);
        let killed = tokio::time::timeout(Duration::from_secs(1), scene.create("half")).await;
        assert!(killed.is_err(), "call {call}");
        scene.bed.engine.heal();
        // An extractor of a process that was killed ends by itself.
        scene.bed.engine.end_attached();
        let (_, errors) = collect(&scene.bed.engine, &scene.bed.state, true)
            .await
            .unwrap();
        assert_eq!(errors, [""; 0], "call {call}");
        assert_eq!(scene.half(), [] as [PathBuf; 0], "call {call}");
        assert_eq!(
            scene.now().2,
            [""; 0],
            "call {call}: {:?}",
            scene.bed.engine.log()
        );
        assert_eq!(scene.bed.engine.everything(), there, "call {call}");
        scene.stored("whole").check().unwrap();
    }
}

#[tokio::test]
async fn an_interrupt_at_any_call_leaves_nothing() {
    let scene = Scene::new().await;
    let before = scene.bed.engine.calls();
    scene.create("whole").await.unwrap();
    let calls = scene.bed.engine.calls() - before;
    let there = scene.bed.engine.everything();
    for call in 0..calls.saturating_sub(2) {
        let token = CancellationToken::new();
        let at = scene.bed.engine.calls() + call;
        scene
            .bed
            .engine
            .fault_at(at, Fault::Interrupt(token.clone()));
        let (engine, state) = (&scene.bed.engine, &scene.bed.state);
        let wish = scene.wish("half");
        let made = create(
            engine,
            state,
            &scene.record,
            &wish,
            &token,
            &Progress::silent(),
        )
        .await;
        scene.bed.engine.heal();
        assert_eq!(made.unwrap_err().exit(), Exit::Interrupted, "call {call}");
        assert_eq!(
            scene.now().2,
            [""; 0],
            "call {call}: {:?}",
            scene.bed.engine.log()
        );
        assert_eq!(scene.bed.engine.everything(), there, "call {call}");
    }
}

/// Spoils the task as an agent would.
fn spoil(scene: &Scene) {
    fs_err::write(scene.tree().join("work"), "spoilt\n").unwrap();
    fs_err::write(scene.data().join("row"), "spoilt").unwrap();
}

const WHOLE: (&str, &str) = ("not committed\n", "first");
const SPOILT: (&str, &str) = ("spoilt\n", "spoilt");

#[tokio::test]
async fn a_restore_gives_the_old_state_and_a_container_of_the_snapshots_image() {
    let scene = Scene::new().await;
    scene.create("one").await.unwrap();
    let agent = "agentnet-shop-t-agent";
    assert_eq!(scene.bed.engine.image_of(agent).as_deref(), Some("agent"));
    for _ in 0..2 {
        spoil(&scene);
        scene.restore("one").await.unwrap();
        let (work, row, idle) = scene.now();
        assert_eq!(
            (work.as_str(), row.as_str(), idle),
            (WHOLE.0, WHOLE.1, vec![])
        );
        let everything = scene.bed.engine.everything();
        let images: Vec<_> = everything
            .iter()
            .filter(|(kind, _)| *kind == Kind::Image)
            .collect();
        assert_eq!(images.len(), 1, "an earlier restore's goes");
        assert_eq!(
            scene.bed.engine.image_of(agent).as_ref(),
            Some(&images[0].1)
        );
        assert!(!everything.iter().any(|(_, name)| name.ends_with("-next")));
    }
    // A snapshot of a restored task belongs to the image that it all began with.
    assert_eq!(scene.create("two").await.unwrap().image, "sha256:0");
    scene.down("t", &scene.record).await;
    assert_eq!(scene.bed.engine.everything(), []);
    assert_eq!(scene.bed.state.tasks().unwrap(), []);
    assert_eq!(Shelf::of(&scene.bed.state, &id("t")).count(), 2);
    let (found, errors) = collect(&scene.bed.engine, &scene.bed.state, true)
        .await
        .unwrap();
    assert_eq!((found.len(), errors.len()), (0, 0), "gc leaves them alone");
    assert_eq!(Shelf::of(&scene.bed.state, &id("t")).count(), 2);
}

/// A restored task with a snapshot, and how many calls a restore makes.
async fn restored() -> (Scene, usize) {
    let scene = Scene::new().await;
    scene.create("one").await.unwrap();
    scene.restore("one").await.unwrap();
    let before = scene.bed.engine.calls();
    scene.restore("one").await.unwrap();
    let calls = scene.bed.engine.calls() - before;
    (scene, calls)
}

#[tokio::test]
async fn a_failed_restore_leaves_the_old_state_or_one_that_a_second_ends() {
    let (scene, calls) = restored().await;
    let dir = scene.bed.state.task(&id("t"));
    let there = scene.bed.engine.everything().len();
    let (mut old, mut half) = (0, 0);
    for call in 0..calls {
        spoil(&scene);
        scene
            .bed
            .engine
            .fault_at(scene.bed.engine.calls() + call, broken());
        let outcome = scene.restore("one").await;
        scene.bed.engine.heal();
        outcome.unwrap_err();
        let left = match unfinished(&dir) {
            None => {
                old += 1;
                SPOILT
            }
            Some(name) => {
                half += 1;
                assert_eq!(name, "one", "call {call}");
                scene.restore("one").await.unwrap();
                WHOLE
            }
        };
        let (work, row, idle) = scene.now();
        assert_eq!((work.as_str(), row.as_str()), left, "call {call}");
        assert_eq!(idle, [""; 0], "call {call}: {:?}", scene.bed.engine.log());
        assert_eq!(unfinished(&dir), None, "call {call}");
        assert_eq!(scene.bed.engine.everything().len(), there, "call {call}");
    }
    assert!(old > 5 && half > 0, "{old} and {half} of {calls}");
    scene.down("t", &scene.record).await;
    assert_eq!(scene.bed.engine.everything(), []);
    assert_eq!(scene.bed.state.tasks().unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_is_killed_at_any_call_is_ended_by_the_next() {
    let (scene, calls) = restored().await;
    let there = scene.bed.engine.everything().len();
    for call in 0..calls {
        spoil(&scene);
        scene
            .bed
            .engine
            .fault_at(scene.bed.engine.calls() + call, Fault::Hang);
        let killed = tokio::time::timeout(Duration::from_secs(1), scene.restore("one")).await;
        assert!(killed.is_err(), "call {call}");
        scene.bed.engine.heal();
        scene.bed.engine.end_attached();
        collect(&scene.bed.engine, &scene.bed.state, true)
            .await
            .unwrap();
        scene
            .restore("one")
            .await
            .unwrap_or_else(|e| panic!("call {call}: {e}"));
        let (work, row, idle) = scene.now();
        assert_eq!(
            (work.as_str(), row.as_str(), idle),
            (WHOLE.0, WHOLE.1, vec![]),
            "call {call}"
        );
        assert_eq!(scene.bed.engine.everything().len(), there, "call {call}");
    }
    scene.down("t", &scene.record).await;
    assert_eq!(scene.bed.engine.everything(), []);
}

#[tokio::test]
async fn a_new_task_begins_with_a_snapshot_on_a_branch_of_its_own_name() {
    let scene = Scene::new().await;
    let Workspace::Worktree { git: private, .. } = &scene.record.workspace else {
        panic!("no worktree");
    };
    let agent = stand_in::Agent::of(&scene.record.workspace);
    let commit = agent.commit("done", "done\n");
    scene.create("one").await.unwrap();
    assert!(private.directory.exists());
    scene.down("t", &scene.record).await;
    // The checkout moves on; the new task begins where the old one did.
    git(
        &scene.root,
        &["commit", "--quiet", "--allow-empty", "-m", "second"],
    );
    let record = scene.up("two", Some("t/one")).await.unwrap();
    let agent = stand_in::Agent::of(&record.workspace);
    let read = |name: &str| fs_err::read_to_string(record.workspace.files().join(name)).unwrap();
    assert_eq!(
        (read("work").as_str(), read("done").as_str()),
        (WHOLE.0, "done\n")
    );
    assert_eq!(agent.git(&["branch", "--show-current"]), "agentnet/two");
    assert_eq!(agent.git(&["rev-parse", "HEAD"]), commit);
    // It committed what the snapshot leaves out.
    assert_eq!(agent.git(&["status", "--porcelain"]), "D skip/big");
    let image = scene
        .bed
        .engine
        .image_of("agentnet-shop-two-agent")
        .unwrap();
    assert!(
        scene
            .bed
            .engine
            .everything()
            .contains(&(Kind::Image, image))
    );
    // Its own pins keep what it stands on, whatever becomes of the snapshot.
    Shelf::of(&scene.bed.state, &id("t"))
        .remove(&slug("one"))
        .await
        .unwrap();
    assert!(git(&scene.root, &["for-each-ref"]).contains("refs/agentnet/pin/two/"));
    scene.down("two", &record).await;
    assert_eq!(scene.bed.engine.everything(), []);
    assert_eq!(
        git(&scene.root, &["for-each-ref", "--format=%(refname)"]),
        "refs/heads/main"
    );
}

#[tokio::test]
async fn a_failure_at_any_call_of_an_up_with_a_snapshot_leaves_the_snapshot_and_nothing_else() {
    let scene = Scene::new().await;
    scene.create("one").await.unwrap();
    scene.down("t", &scene.record).await;
    let before = scene.bed.engine.calls();
    let record = scene.up("two", Some("t")).await.unwrap();
    let calls = scene.bed.engine.calls() - before;
    scene.down("two", &record).await;
    for call in 0..calls {
        scene
            .bed
            .engine
            .fault_at(scene.bed.engine.calls() + call, broken());
        let outcome = scene.up("two", Some("t")).await;
        scene.bed.engine.heal();
        outcome.unwrap_err();
        // What was unpacked is a change that nobody threw away.
        if let Some(record) = Record::read(&scene.bed.state.task(&id("two"))).unwrap() {
            scene.down("two", &record).await;
        }
        assert_eq!(scene.bed.engine.everything(), [], "call {call}");
        assert_eq!(scene.bed.state.tasks().unwrap(), [], "call {call}");
        scene.stored("one").check().unwrap();
    }
}

#[tokio::test]
async fn what_does_not_fit_is_said_before_anything_stops() {
    let scene = Scene::new().await;
    scene.create("one").await.unwrap();
    let calls = scene.bed.engine.calls();
    // Another image.
    let mut record = scene.record.clone();
    record.agent_image = Some("sha256:other".into());
    let never = CancellationToken::new();
    let (engine, state) = (&scene.bed.engine, &scene.bed.state);
    let stored = scene.stored("one");
    let put = restore(engine, state, &record, &stored, &never, &Progress::silent()).await;
    assert!(put.unwrap_err().to_string().contains("--image sha256:0"));
    // Other passwords.
    let passwords = state.task(&id("t")).passwords();
    let text = fs_err::read_to_string(&passwords).unwrap();
    fs_err::write(
        &passwords,
        r#"{"v":1,"services":{"db":{"DB_PASSWORD":"other"}}}"#,
    )
    .unwrap();
    let error = scene.restore("one").await.unwrap_err().to_string();
    assert!(
        error.contains("--snapshot t/one") && !error.contains("other\""),
        "{error}"
    );
    fs_err::write(&passwords, text).unwrap();
    // An archive that is not whole.
    let file = stored.at("files.tar");
    fs_err::OpenOptions::new()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(1000)
        .unwrap();
    let error = scene.restore("one").await.unwrap_err().to_string();
    assert!(error.contains("is damaged"), "{error}");
    assert_eq!(
        scene.bed.engine.calls(),
        calls,
        "nothing was asked of the engine"
    );
    assert_eq!(unfinished(&state.task(&id("t"))), None);
}

#[tokio::test]
async fn more_than_may_be_is_refused_and_nothing_is_left() {
    let scene = Scene::new().await;
    let wish = Wish {
        most: 2000,
        ..scene.wish("big")
    };
    let never = CancellationToken::new();
    let (engine, state) = (&scene.bed.engine, &scene.bed.state);
    let made = create(
        engine,
        state,
        &scene.record,
        &wish,
        &never,
        &Progress::silent(),
    )
    .await;
    let error = made.unwrap_err().to_string();
    assert!(
        error.starts_with("files of task t are more than 2 KiB"),
        "{error}"
    );
    assert_eq!(scene.now().2, [""; 0]);
    assert!(!state.root().join("snapshots").exists());
}
