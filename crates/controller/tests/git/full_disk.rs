//! A disk that is full: what is refused is said as that, nothing is half, and with room again everything goes on. On
//! a small disk of memory, in a mount namespace of its own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::scene::{BRANCH, INIT, Scene, Share, git, repository};
use crate::harness::{Bed, id};
use agentnet_controller::exit::Exit;
use agentnet_controller::gc::collect;
use agentnet_controller::teardown::{self, Changes};
use agentnet_controller::workspace::{Repository, Workspace};

/// Says where the small disk is, to this program in its namespace.
const PLACE: &str = "AGENTNET_TEST_SMALL_DISK";

/// Runs a test of this file again where `PLACE` is a disk of 24 MiB; there it is `Some`.
fn small_disk(test: &str) -> Option<PathBuf> {
    if let Some(place) = std::env::var_os(PLACE) {
        return Some(place.into());
    }
    let place = tempfile::tempdir().unwrap();
    let unshare = |script: &str, words: &[&str]| {
        Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-euc", script])
            .arg(place.path())
            .args(words)
            .env(PLACE, place.path())
            .output()
    };
    const MOUNT: &str = "mount -t tmpfs -o size=24m none \"$0\"";
    if !unshare(MOUNT, &[]).is_ok_and(|output| output.status.success()) {
        println!("skipped: a small disk needs root and mount namespaces");
        return None;
    }
    let program = std::env::current_exe().unwrap().display().to_string();
    let script = format!("{MOUNT}; exec \"$@\"");
    let test = format!("full_disk::{test}");
    let words = [&program, &test, "--exact", "--nocapture"];
    let output = unshare(&script, &words).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, words) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{words}"
    );
    None
}

/// Fills a disk but for so many bytes; dropping it makes room again.
struct Full(PathBuf);

impl Full {
    fn but(place: &Path, bytes: u64) -> Full {
        let path = place.join("filler");
        let mut file = fs_err::File::create(&path).unwrap();
        let block = vec![0; 64 << 10];
        while file.write_all(&block).is_ok() {}
        let size = file.metadata().unwrap().len();
        file.set_len(size - bytes).unwrap();
        Full(path)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        drop(fs_err::remove_file(&self.0));
    }
}

/// Bytes that nothing makes smaller.
fn noise(bytes: usize) -> String {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + u8::try_from(state % 90).unwrap())
    };
    (0..bytes).map(|_| next()).collect()
}

#[tokio::test]
async fn a_sync_onto_a_full_disk_changes_nothing_and_goes_on_later() {
    let Some(disk) = small_disk("a_sync_onto_a_full_disk_changes_nothing_and_goes_on_later") else {
        return;
    };
    let bed = Bed::docker28();
    let root = repository(&disk, &INIT);
    let scene = Scene::of(bed, &root, Share::Objects).await;
    let one = scene.agent.commit("large", &noise(4 << 20));
    let before = scene.state();
    for room in [0, 64 << 10, 2 << 20] {
        let full = Full::but(&disk, room);
        let error = scene.sync().await.unwrap_err();
        assert_eq!(error.exit(), Exit::Exhausted, "{room}: {error}");
        assert_eq!(scene.state(), before, "{room}");
        drop(full);
    }
    scene.sync().await.unwrap();
    assert_eq!(scene.at(BRANCH), Some(one));
    git(&root, &["fsck", "--strict", "--no-progress"]);
}

#[tokio::test]
async fn a_task_that_has_no_room_to_come_up_leaves_nothing() {
    let Some(disk) = small_disk("a_task_that_has_no_room_to_come_up_leaves_nothing") else {
        return;
    };
    let bed = Bed::below(&disk);
    let root = repository(bed.directory.path(), &INIT);
    fs_err::write(root.join("large"), noise(2 << 20)).unwrap();
    git(&root, &["add", "--all"]);
    git(&root, &["commit", "--quiet", "-m", "large"]);
    let refs = git(&root, &["for-each-ref"]);
    for room in [0, 16 << 10, 1 << 20] {
        let repository = Repository::at(root.clone());
        let dir = bed.state.task(&id("t"));
        let workspace = Workspace::worktree(&repository, &id("t"), &dir).await;
        let setup = agentnet_controller::up::Setup {
            workspace: workspace.unwrap(),
            ..bed.setup("t", "")
        };
        let full = Full::but(&disk, room);
        let error = bed.up(&setup).await.unwrap_err();
        drop(full);
        assert_eq!(error.exit(), Exit::Exhausted, "{room}: {error}");
        // What could not even be written down on a full disk is a leftover, and no more than that.
        let (_, errors) = collect(&bed.engine, &bed.state, true).await.unwrap();
        assert_eq!(errors, [""; 0], "{room}");
        bed.assert_empty("after gc");
        assert_eq!(git(&root, &["for-each-ref"]), refs, "{room}");
        assert_eq!(git(&root, &["worktree", "list"]).lines().count(), 1);
    }
}

#[tokio::test]
async fn a_task_goes_down_on_a_full_disk_with_everything_kept() {
    let Some(disk) = small_disk("a_task_goes_down_on_a_full_disk_with_everything_kept") else {
        return;
    };
    let bed = Bed::below(&disk);
    let root = repository(bed.directory.path(), &INIT);
    let scene = Scene::of(bed, &root, Share::Objects).await;
    let one = scene.agent.commit("large", &noise(4 << 20));
    scene.agent.write("loose", "not committed");
    let (engine, state) = (&scene.bed.engine, &scene.bed.state);
    let full = Full::but(&disk, 0);
    let workspace = Some(&scene.record.workspace);
    let report = teardown::task(engine, state, &id("t"), workspace, Changes::Keep).await;
    assert!(scene.agent.tree.join("loose").exists(), "{report:?}");
    assert!(scene.agent.private.exists(), "{report:?}");
    assert!(report.saved.is_none(), "{report:?}");
    drop(full);
    let (_, errors) = collect(engine, state, true).await.unwrap();
    assert_eq!(errors, [""; 0]);
    let next = Scene::of(scene.bed, &root, Share::Objects).await;
    assert_eq!(next.agent.git(&["rev-parse", "HEAD"]), one);
    assert_eq!(next.agent.git(&["status", "--porcelain"]), "?? loose");
}
