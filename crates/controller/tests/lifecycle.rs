//! `up`, `down` and `gc` on the fake engine: whatever fails, and wherever, nothing is left.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod harness;

use std::time::Duration;

use agentnet_controller::engine::fake::{FakeEngine, Fault};
use agentnet_controller::engine::{Engine, EngineError, Kind};
use agentnet_controller::exit::Exit;
use agentnet_controller::gc::collect;
use agentnet_controller::labels::{Owner, Role};
use agentnet_controller::lock::TaskLock;
use agentnet_controller::record::{Phase, Record};
use agentnet_controller::secret::Secret;
use agentnet_controller::spec::{Exposure, NetworkSpec};
use agentnet_controller::teardown::{self, Changes};
use agentnet_controller::up::Setup;
use harness::{Bed, LEAK, id, said, stocked};
use tokio_util::sync::CancellationToken;

/// Both fences, with a service that is waited for.
const NETWORK: &str = "[services.db]\nimage = \"postgres\"\nhealthcheck = \"true\"\n";
const SOCKET: &str = "[network]\nfence = \"socket\"\n[services.db]\nimage = \"postgres\"\n";

/// How many changing calls an undisturbed `up` makes.
async fn calls(toml: &str) -> usize {
    let bed = Bed::docker28();
    bed.up(&bed.setup("t", toml)).await.unwrap();
    bed.engine.calls()
}

fn broken() -> Fault {
    Fault::Refuse(EngineError::Refused {
        status: 500,
        message: "no".into(),
    })
}

/// An `up` that is dropped where it stands at a call: nothing is undone, as after kill -9.
async fn killed_up(bed: &Bed, call: usize, toml: &str) -> Setup {
    bed.engine.fault_at(call, Fault::Hang);
    let setup = bed.setup("t", toml);
    let killed = tokio::time::timeout(Duration::from_secs(1), bed.up(&setup)).await;
    assert!(killed.is_err(), "call {call} did not hang");
    bed.engine.heal();
    setup
}

#[tokio::test]
async fn a_task_comes_up_and_goes_down_without_a_trace() {
    for toml in [NETWORK, SOCKET] {
        let bed = Bed::docker28();
        let up = bed.up(&bed.setup("t", toml)).await.unwrap();
        assert!(up.proof.sealed);
        assert_eq!(up.record.phase, Phase::Up);
        let workspace = Some(&up.record.workspace);
        for _ in 0..2 {
            let report =
                teardown::task(&bed.engine, &bed.state, &id("t"), workspace, Changes::Keep).await;
            assert_eq!(report.errors, [""; 0]);
        }
        bed.assert_empty(toml);
    }
}

#[tokio::test]
async fn a_failure_at_any_call_leaves_nothing() {
    for toml in [NETWORK, SOCKET] {
        for call in 0..calls(toml).await {
            let bed = Bed::docker28();
            bed.engine.fault_at(call, broken());
            let error = bed.up(&bed.setup("t", toml)).await.unwrap_err();
            assert_eq!(error.exit(), Exit::Failed, "call {call}: {error}");
            // Said with our names, not with the engine's ids.
            assert!(!error.to_string().contains("id00"), "{error}");
            bed.assert_empty(&format!("failed at call {call}: {:?}", bed.engine.log()));
        }
    }
}

#[tokio::test]
async fn a_lost_answer_at_any_call_leaves_nothing() {
    for toml in [NETWORK, SOCKET] {
        for call in 0..calls(toml).await {
            let bed = Bed::docker28();
            bed.engine.fault_at(call, Fault::LoseAnswer);
            bed.up(&bed.setup("t", toml)).await.unwrap_err();
            bed.assert_empty(&format!(
                "answer lost at call {call}: {:?}",
                bed.engine.log()
            ));
        }
    }
}

#[tokio::test]
async fn an_interrupt_at_any_call_leaves_nothing() {
    for toml in [NETWORK, SOCKET] {
        for call in 0..calls(toml).await {
            let bed = Bed::docker28();
            let token = CancellationToken::new();
            bed.engine.fault_at(call, Fault::Interrupt(token.clone()));
            let error = bed
                .up_until(&bed.setup("t", toml), &token)
                .await
                .unwrap_err();
            assert_eq!(error.exit(), Exit::Interrupted, "call {call}: {error}");
            bed.assert_empty(&format!(
                "interrupted at call {call}: {:?}",
                bed.engine.log()
            ));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_kill_at_any_call_leaves_gc_removes() {
    for toml in [NETWORK, SOCKET] {
        for call in 0..calls(toml).await {
            let bed = Bed::docker28();
            killed_up(&bed, call, toml).await;
            let (found, errors) = collect(&bed.engine, &bed.state, true).await.unwrap();
            assert_eq!(found.len(), 1, "call {call}");
            assert_eq!(errors, [""; 0], "call {call}");
            bed.assert_empty(&format!("killed at call {call}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_up_removes_what_a_kill_left_by_itself() {
    let bed = Bed::docker28();
    let setup = killed_up(&bed, 5, NETWORK).await;
    assert!(bed.up(&setup).await.unwrap().cleaned);
}

#[tokio::test]
async fn a_dry_gc_removes_nothing() {
    let bed = Bed::docker28();
    bed.up(&bed.setup("t", NETWORK)).await.unwrap();
    let dir = bed.state.task(&id("t"));
    let mut record = Record::read(&dir).unwrap().unwrap();
    record.phase = Phase::Partial;
    record.write(&dir).unwrap();
    let before = bed.engine.everything();
    let (found, _) = collect(&bed.engine, &bed.state, false).await.unwrap();
    assert_eq!(found[0].objects.len(), before.len());
    assert_eq!(bed.engine.everything(), before);
}

#[tokio::test]
async fn gc_leaves_living_tasks_and_other_installations_alone() {
    let bed = Bed::docker28();
    bed.up(&bed.setup("living", NETWORK)).await.unwrap();
    let other = Owner {
        state: "ffff".into(),
        task: id("living"),
        role: Role::Fence,
    };
    let foreign = |name: &str, block: &str, labels| NetworkSpec {
        name: name.into(),
        exposure: Exposure::Open,
        mtu: None,
        subnets: vec![agentnet_controller::spec::Subnet {
            block: block.parse().unwrap(),
            range: None,
        }],
        labels,
    };
    bed.engine
        .add_network(foreign("theirs", "172.20.0.0/16", other.labels()));
    bed.engine
        .add_network(foreign("plain", "172.21.0.0/16", Default::default()));
    let before = bed.engine.everything();
    let (found, errors) = collect(&bed.engine, &bed.state, true).await.unwrap();
    assert_eq!((found.len(), errors.len()), (0, 0));
    assert_eq!(bed.engine.everything(), before);
}

#[tokio::test]
async fn a_task_of_a_run_lives_as_long_as_the_run() {
    let bed = Bed::docker28();
    let setup = Setup {
        once: true,
        ..bed.setup("t", NETWORK)
    };
    let running = TaskLock::take_run(&bed.state, &id("t")).unwrap();
    let up = bed.up(&setup).await.unwrap();
    assert_eq!(up.record.phase, Phase::Run);
    let (found, _) = collect(&bed.engine, &bed.state, true).await.unwrap();
    assert_eq!(found, []);
    // Killed: the kernel frees its lock.
    drop(running);
    let (found, errors) = collect(&bed.engine, &bed.state, true).await.unwrap();
    assert_eq!((found.len(), errors), (1, vec![]));
    bed.assert_empty("after gc");
}

#[tokio::test]
async fn what_a_killed_run_left_is_in_no_next_ups_way() {
    let bed = Bed::docker28();
    let setup = Setup {
        once: true,
        ..bed.setup("t", NETWORK)
    };
    let running = TaskLock::take_run(&bed.state, &id("t")).unwrap();
    bed.up(&setup).await.unwrap();
    let error = bed.up(&bed.setup("t", NETWORK)).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Busy);
    drop(running);
    assert!(bed.up(&bed.setup("t", NETWORK)).await.unwrap().cleaned);
}

#[tokio::test(start_paused = true)]
async fn gc_waits_for_what_was_asked_for_when_its_asker_was_killed() {
    let bed = Bed::docker28();
    killed_up(&bed, 0, NETWORK).await;
    // As if the engine had not carried it out yet.
    let made = bed.engine.owned(bed.state.id()).await.unwrap();
    let (containers, rest): (Vec<_>, Vec<_>) =
        made.into_iter().partition(|r| r.kind == Kind::Container);
    for made in containers.iter().chain(&rest) {
        bed.engine.remove(made.kind, &made.id).await.unwrap();
    }
    let owner = Owner {
        state: bed.state.id().to_owned(),
        task: id("t"),
        role: Role::Fence,
    };
    let late = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bed.engine.add_network(NetworkSpec {
            name: id("t").resource(Role::Fence),
            exposure: Exposure::Isolated,
            mtu: None,
            subnets: Vec::new(),
            labels: owner.labels(),
        });
    };
    let (collected, ()) = tokio::join!(collect(&bed.engine, &bed.state, true), late);
    let (found, errors) = collected.unwrap();
    assert_eq!(errors, [""; 0]);
    assert_eq!(
        found[0].objects,
        [(Kind::Network, id("t").resource(Role::Fence))]
    );
    bed.assert_empty("after gc");
}

#[tokio::test]
async fn gc_removes_objects_whose_task_has_no_files_any_more() {
    let bed = Bed::docker28();
    bed.up(&bed.setup("t", NETWORK)).await.unwrap();
    fs_err::remove_dir_all(bed.state.task(&id("t")).root()).unwrap();
    collect(&bed.engine, &bed.state, true).await.unwrap();
    bed.assert_empty("after gc");
}

#[tokio::test(start_paused = true)]
async fn gc_removes_files_that_were_half_written() {
    for name in [
        "record.new",
        "verify.new",
        "policy/project.new",
        "policy/task.new",
        "gitfile.new",
        "ssh.new",
    ] {
        let bed = Bed::docker28();
        killed_up(&bed, 5, NETWORK).await;
        fs_err::write(bed.state.task(&id("t")).root().join(name), "half").unwrap();
        collect(&bed.engine, &bed.state, true).await.unwrap();
        bed.assert_empty(name);
    }
}

#[tokio::test(start_paused = true)]
async fn gc_does_not_say_removed_of_what_stays() {
    let bed = Bed::docker28();
    killed_up(&bed, 5, NETWORK).await;
    // The first removal fails.
    bed.engine.fault_at(bed.engine.calls(), broken());
    let (found, errors) = collect(&bed.engine, &bed.state, true).await.unwrap();
    assert!(!errors.is_empty());
    assert!(!found[0].files);
    assert!(bed.state.task(&id("t")).record().exists());
    bed.engine.heal();
    collect(&bed.engine, &bed.state, true).await.unwrap();
    bed.assert_empty("after the second gc");
}

#[tokio::test]
async fn a_leak_takes_everything_down_and_says_which_way_is_open() {
    let bed = Bed::docker28();
    bed.engine.answer("/agentnet/bin/agentnet-gate", said(LEAK));
    let error = bed.up(&bed.setup("t", NETWORK)).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Leak);
    assert!(
        error
            .to_string()
            .contains("every routing table: a default route"),
        "{error}"
    );
    bed.assert_empty("after a leak");
}

#[tokio::test]
async fn a_gate_that_says_nothing_is_not_a_proof() {
    let bed = Bed::docker28();
    bed.engine.answer("/agentnet/bin/agentnet-gate", said(""));
    let error = bed.up(&bed.setup("t", NETWORK)).await.unwrap_err();
    assert!(error.to_string().contains("gave no proof"), "{error}");
    bed.assert_empty("without a proof");
}

#[tokio::test]
async fn a_taken_block_is_left_out_and_the_next_one_tried() {
    let undisturbed = Bed::docker28();
    let first = undisturbed
        .up(&undisturbed.setup("t", ""))
        .await
        .unwrap()
        .record
        .proxy;
    let network = undisturbed
        .engine
        .log()
        .iter()
        .position(|l| l.ends_with("-fence"))
        .unwrap();
    let bed = Bed::docker28();
    bed.engine
        .fault_at(network, Fault::Refuse(EngineError::Overlap("taken".into())));
    let second = bed.up(&bed.setup("t", "")).await.unwrap().record.proxy;
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_full_pool_is_one_sentence_before_anything_starts() {
    let bed = Bed::docker28();
    let pool = "[network]\npool = \"10.213.0.0/27\"\n";
    bed.up(&bed.setup("one", pool)).await.unwrap();
    let before = (bed.engine.calls(), bed.engine.everything());
    let error = bed.up(&bed.setup("two", pool)).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Exhausted);
    assert!(
        error
            .to_string()
            .starts_with("no free block is left in the address pool"),
        "{error}"
    );
    assert_eq!((bed.engine.calls(), bed.engine.everything()), before);
}

#[tokio::test]
async fn tasks_that_start_together_get_blocks_of_their_own() {
    let bed = Bed::docker28();
    let (a, b, c) = (bed.setup("a", ""), bed.setup("b", ""), bed.setup("c", ""));
    let (a, b, c) = tokio::join!(bed.up(&a), bed.up(&b), bed.up(&c));
    let mut proxies: Vec<_> = [a, b, c]
        .into_iter()
        .map(|up| up.unwrap().record.proxy)
        .collect();
    proxies.sort();
    proxies.dedup();
    assert_eq!(proxies.len(), 3);
}

#[tokio::test]
async fn two_ups_of_one_task_are_one_task() {
    let bed = Bed::docker28();
    let setup = bed.setup("t", NETWORK);
    let (a, b) = tokio::join!(bed.up(&setup), bed.up(&setup));
    let error = match (a, b) {
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => error,
        other => panic!("{other:?}"),
    };
    // The second waits a moment for the first, and then finds it up.
    assert!(
        error.to_string().starts_with("task t is up already"),
        "{error}"
    );
    assert_eq!(error.exit(), Exit::Busy);
}

#[tokio::test]
async fn a_name_that_somebody_else_has_is_said_and_left_alone() {
    let bed = Bed::docker28();
    let theirs = NetworkSpec {
        name: id("t").resource(Role::Fence),
        exposure: Exposure::Open,
        mtu: None,
        subnets: Vec::new(),
        labels: Default::default(),
    };
    bed.engine.add_network(theirs.clone());
    let error = bed.up(&bed.setup("t", "")).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Busy);
    assert_eq!(bed.engine.everything(), [(Kind::Network, theirs.name)]);
}

#[tokio::test]
async fn an_image_nobody_has_is_one_sentence() {
    let bed = Bed::docker28();
    let error = bed
        .up(&bed.setup("t", "[agent]\nimage = \"nope\"\n"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "image nope is not on the engine and cannot be fetched: no registry has nope"
    );
    bed.assert_empty("without an image");
}

#[tokio::test]
async fn a_build_directory_that_is_a_link_out_of_the_checkout_is_refused() {
    let bed = Bed::docker28();
    let elsewhere = bed.directory.path().join("elsewhere");
    fs_err::create_dir(&elsewhere).unwrap();
    fs_err::write(elsewhere.join("Dockerfile"), "FROM scratch\n").unwrap();
    let mut setup = bed.setup("t", "");
    setup.config.agent.image = None;
    setup.config.agent.build = Some("image".into());
    std::os::unix::fs::symlink(&elsewhere, setup.root.join("image")).unwrap();
    let error = bed.up(&setup).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Config, "{error}");
    assert!(error.to_string().contains("leaves the checkout"), "{error}");
    bed.assert_empty("after the refusal");
}

#[tokio::test]
async fn a_full_disk_on_the_engine_has_its_own_exit_code() {
    let bed = Bed::docker28();
    bed.engine.fault_at(
        0,
        Fault::Refuse(EngineError::DiskFull("no space left".into())),
    );
    let error = bed.up(&bed.setup("t", "")).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Exhausted);
    bed.assert_empty("with a full disk");
}

#[tokio::test]
async fn an_engine_elsewhere_is_refused_before_anything_is_made() {
    let facts = agentnet_controller::facts::Facts {
        local: false,
        ..FakeEngine::docker28()
    };
    let bed = Bed::new(facts);
    let error = bed.up(&bed.setup("t", "")).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Engine);
    assert_eq!(bed.engine.calls(), 0);
    bed.assert_empty("with a remote engine");
}

/// Another engine on the same machine.
fn other_engine() -> FakeEngine {
    stocked(agentnet_controller::facts::Facts {
        endpoint: "unix:///other.sock".into(),
        ..FakeEngine::docker20()
    })
}

#[tokio::test]
async fn a_task_on_one_engine_is_not_brought_up_on_another() {
    let mut bed = Bed::docker28();
    let setup = bed.setup("t", NETWORK);
    bed.up(&setup).await.unwrap();
    let first = std::mem::replace(&mut bed.engine, other_engine());
    let error = bed.up(&setup).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Busy);
    assert!(error.to_string().contains("unix:///fake.sock"), "{error}");
    assert_eq!(bed.engine.everything(), []);
    let record = Record::read(&bed.state.task(&id("t"))).unwrap().unwrap();
    assert_eq!(record.phase, Phase::Up);
    assert!(!first.everything().is_empty());
}

#[tokio::test(start_paused = true)]
async fn gc_of_one_engine_leaves_the_files_of_a_task_on_another() {
    let bed = Bed::docker28();
    killed_up(&bed, 9, NETWORK).await;
    let (found, errors) = collect(&other_engine(), &bed.state, true).await.unwrap();
    assert_eq!((found, errors), (vec![], vec![]));
    let (found, _) = collect(&bed.engine, &bed.state, true).await.unwrap();
    assert_eq!(found.len(), 1);
    bed.assert_empty("after gc of both");
}

#[tokio::test]
async fn an_old_engine_gets_the_socket_fence_and_cannot_be_forced() {
    let bed = Bed::docker20();
    let up = bed.up(&bed.setup("t", NETWORK)).await.unwrap();
    assert_eq!(
        up.record.fence,
        Some(agentnet_controller::config::Fence::Socket)
    );
    let forced = bed.setup("u", "[network]\nfence = \"network\"\n");
    let error = bed.up(&forced).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Engine);
}

/// A Dockerfile of the project's, built behind the fence.
const FENCED: &str = "[agent]\nfenced_build = true\ndockerfile = \"FROM x\"\n";

fn fenced(bed: &Bed, toml: &str) -> Setup {
    let mut setup = bed.setup("t", toml);
    setup.config.agent.image = None;
    setup
}

#[tokio::test]
async fn a_fenced_build_runs_behind_the_tasks_own_fence() {
    for (toml, network) in [
        (FENCED.to_owned(), "agentnet-shop-t-fence"),
        (
            format!("{FENCED}[network]\nfence = \"socket\"\n"),
            "container:agentnet-shop-t-relay",
        ),
        (format!("{FENCED}[network]\nmode = \"none\"\n"), "none"),
    ] {
        let bed = Bed::docker28();
        let setup = fenced(&bed, &toml);
        let up = bed.up(&setup).await.unwrap();
        assert_eq!(up.record.phase, Phase::Up);
        let log = bed.engine.log();
        let build = log
            .iter()
            .position(|line| line.starts_with("build "))
            .unwrap();
        assert!(log[build].contains("-fenced on "), "{log:?}");
        assert!(log[build].ends_with(&format!(" on {network}")), "{log:?}");
        // The second time the image is there.
        teardown::task(&bed.engine, &bed.state, &id("t"), None, Changes::Keep).await;
        bed.up(&setup).await.unwrap();
        let builds = bed.engine.log();
        let builds = builds.iter().filter(|line| line.starts_with("build "));
        assert_eq!(builds.count(), 1);
    }
    let bed = Bed::docker28();
    let setup = fenced(&bed, &format!("{FENCED}[network]\nmode = \"full\"\n"));
    let error = bed.up(&setup).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Config, "{error}");
    bed.assert_empty("full");
}

#[tokio::test]
async fn a_fenced_build_that_fails_anywhere_leaves_nothing() {
    let calls = {
        let bed = Bed::docker28();
        bed.up(&fenced(&bed, FENCED)).await.unwrap();
        bed.engine.calls()
    };
    for call in 0..calls {
        let bed = Bed::docker28();
        bed.engine.fault_at(call, broken());
        let error = bed.up(&fenced(&bed, FENCED)).await.unwrap_err();
        bed.engine.heal();
        if error.exit() == Exit::LeftBehind {
            collect(&bed.engine, &bed.state, true).await.unwrap();
        }
        bed.assert_empty(&format!("failed at call {call}: {:?}", bed.engine.log()));
    }
}

#[tokio::test]
async fn secrets_are_gone_when_the_task_is_however_it_ended() {
    let secret = ("KEY".to_owned(), Secret::new("hunter2".into()));
    let with_secret = |bed: &Bed| {
        let mut setup = bed.setup("t", NETWORK);
        setup.handover.secrets = [secret.clone()].into();
        setup
    };
    let bed = Bed::docker28();
    let setup = with_secret(&bed);
    let up = bed.up(&setup).await.unwrap();
    let dir = bed.state.task(&id("t"));
    let path = dir.secrets().join("env");
    assert_eq!(fs_err::read_to_string(&path).unwrap(), "KEY=hunter2\0");
    // Everything else that we wrote holds the name at most.
    for path in harness::everything_below(bed.state.root()) {
        if path.is_file() && path != dir.secrets().join("env") {
            let text = fs_err::read_to_string(&path).unwrap_or_default();
            assert!(!text.contains("hunter2"), "{}", path.display());
        }
    }
    assert_eq!(up.record.secrets, ["KEY"]);
    // The journal alone does not say what to remove.
    fs_err::remove_file(dir.journal()).unwrap();
    let workspace = Some(&up.record.workspace);
    teardown::task(&bed.engine, &bed.state, &id("t"), workspace, Changes::Keep).await;
    assert!(!dir.secrets().exists());
    assert_eq!(bed.engine.everything(), []);

    let calls = bed.engine.calls();
    for call in [2, calls / 2] {
        let bed = Bed::docker28();
        bed.engine.fault_at(call, Fault::Hang);
        let setup = with_secret(&bed);
        let killed = tokio::time::timeout(Duration::from_secs(1), bed.up(&setup)).await;
        assert!(killed.is_err(), "call {call} did not hang");
        bed.engine.heal();
        collect(&bed.engine, &bed.state, true).await.unwrap();
        bed.assert_empty(&format!("killed at call {call}"));
    }
}

#[tokio::test]
async fn the_rootless_engine_of_somebody_else_is_refused_before_anything_starts() {
    let me = rustix::process::geteuid().as_raw();
    let facts = |user| agentnet_controller::facts::Facts {
        rootless: true,
        user: Some(user),
        ..FakeEngine::docker28()
    };
    let bed = Bed::new(facts(me + 1));
    let error = bed.up(&bed.setup("t", NETWORK)).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Engine);
    assert!(
        error.to_string().contains("run agentnet as that user"),
        "{error}"
    );
    bed.assert_empty("refused");
    let bed = Bed::new(facts(me));
    bed.up(&bed.setup("t", NETWORK)).await.unwrap();
}
