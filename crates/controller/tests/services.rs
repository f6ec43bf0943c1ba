//! Services: what a plan makes of their settings, and what is left of them when something fails.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use agentnet_controller::agents::Agent;
use agentnet_controller::config::Config;
use agentnet_controller::engine::fake::{FakeEngine, Fault};
use agentnet_controller::engine::{Engine, EngineError, Kind};
use agentnet_controller::facts::Facts;
use agentnet_controller::gc;
use agentnet_controller::plan::{Plan, Step};
use agentnet_controller::record::{Phase, Record};
use agentnet_controller::spec::{ContainerSpec, Gpus, Mount, SystemCalls};
use agentnet_controller::teardown::{self, Changes};
use agentnet_controller::workspace::Fate;
use harness::{Bed, id, plan};

/// A database with everything that a task makes for it, and a cache that waits for it.
const DB: &str = r#"
    [services.db]
    image = "postgres"
    generate = ["POSTGRES_PASSWORD"]
    agent_env = { DATABASE_URL = "postgres://postgres:${POSTGRES_PASSWORD}@db:5432/postgres" }
    volumes = { data = "/var/lib/postgresql/data" }
    [services.a-cache]
    image = "postgres"
    port = 6379
    after = ["db"]
"#;

fn spec<'a>(plan: &'a Plan, end: &str) -> &'a ContainerSpec {
    let mut specs = plan.steps.iter().filter_map(|planned| {
        let Step::Container(spec) = &planned.step else {
            return None;
        };
        spec.name.ends_with(end).then_some(spec)
    });
    specs.next().unwrap()
}

fn place_of(plan: &Plan, wanted: impl Fn(&Step) -> bool) -> usize {
    plan.steps
        .iter()
        .position(|planned| wanted(&planned.step))
        .unwrap()
}

#[test]
fn a_password_is_the_services_and_the_agents_and_nobodys_else() {
    let plan = plan(&FakeEngine::docker28(), DB).unwrap();
    let (db, agent) = (spec(&plan, "-service-db"), spec(&plan, "-agent"));
    let password = db.secret_env["POSTGRES_PASSWORD"].expose();
    assert_eq!(password.len(), 32);
    assert_eq!(agent.secret_env["DB_POSTGRES_PASSWORD"].expose(), password);
    assert_eq!(
        agent.secret_env["DATABASE_URL"].expose(),
        format!("postgres://postgres:{password}@db:5432/postgres")
    );
    for other in ["-proxy", "-service-a-cache", "-gate"] {
        assert!(spec(&plan, other).secret_env.is_empty(), "{other}");
    }
    // What dry-run prints, for people and for programs, and what a panic would.
    for text in [
        plan.describe(),
        serde_json::to_string(&plan).unwrap(),
        format!("{plan:?}"),
    ] {
        assert!(!text.contains(password), "{text}");
    }
}

#[test]
fn what_the_agents_own_environment_says_stays() {
    let toml = format!("[agent]\nenv = {{ DATABASE_URL = \"mine\", GOMAXPROCS = \"7\" }}\n{DB}");
    let plan = plan(&FakeEngine::docker28(), &toml).unwrap();
    let agent = spec(&plan, "-agent");
    assert_eq!(agent.env["DATABASE_URL"], "mine");
    assert_eq!(agent.env["GOMAXPROCS"], "7");
    assert!(!agent.secret_env.contains_key("DATABASE_URL"));
    assert!(agent.secret_env.contains_key("DB_POSTGRES_PASSWORD"));
}

#[test]
fn a_volume_is_the_tasks_own_and_made_before_the_container_that_mounts_it() {
    let plan = plan(&FakeEngine::docker28(), DB).unwrap();
    let name = "agentnet-shop-fix-1-volume-db.data";
    let made = place_of(
        &plan,
        |step| matches!(step, Step::Volume(v) if v.name == name),
    );
    let mounted = place_of(
        &plan,
        |step| matches!(step, Step::Container(c) if c.name.ends_with("-service-db")),
    );
    assert!(plan.steps[mounted].after.contains(&made));
    let Step::Volume(volume) = &plan.steps[made].step else {
        panic!()
    };
    let labels: Vec<_> = [
        "agentnet.role",
        "agentnet.task",
        "agentnet.service",
        "agentnet.volume",
    ]
    .iter()
    .map(|key| volume.labels[*key].as_str())
    .collect();
    assert_eq!(labels, ["volume", "fix-1", "db", "data"]);
    let mount = Mount::Volume {
        volume: volume.clone(),
        target: "/var/lib/postgresql/data".into(),
        writable: true,
        fill: true,
    };
    assert!(spec(&plan, "-service-db").mounts.contains(&mount));
}

#[test]
fn a_service_starts_after_those_it_waits_for_are_ready() {
    let plan = plan(&FakeEngine::docker28(), DB).unwrap();
    let ready = place_of(
        &plan,
        |step| matches!(step, Step::AwaitHealthy { container, .. } if container.ends_with("-service-db")),
    );
    let start = place_of(
        &plan,
        |step| matches!(step, Step::Start { container, .. } if container.ends_with("-service-a-cache")),
    );
    assert!(plan.steps[start].after.contains(&ready));
    for (number, planned) in plan.steps.iter().enumerate() {
        assert!(planned.after.iter().all(|before| *before < number));
    }
}

#[test]
fn a_service_is_asked_what_its_settings_say_else_its_image_else_its_only_port() {
    let health = |facts: &Facts, service: &str| {
        let plan = plan(
            facts,
            &format!("[services.db]\nimage = \"postgres\"\n{service}"),
        )
        .unwrap();
        let test = spec(&plan, "-service-db").health.clone();
        let waits = plan
            .steps
            .iter()
            .any(|p| matches!(p.step, Step::AwaitHealthy { .. }));
        (test.map(|health| health.test), waits)
    };
    let words = |words: &[&str]| Some(words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
    let gate = "/agentnet/bin/agentnet-gate";
    // The image of the plan exposes 5432.
    let cases = [
        ("", words(&["CMD", gate, "listening", "5432"]), true),
        ("port = 99", words(&["CMD", gate, "listening", "99"]), true),
        (
            "healthcheck = \"@port\"",
            words(&["CMD", gate, "listening", "5432"]),
            true,
        ),
        ("healthcheck = false", words(&["NONE"]), false),
        (
            "healthcheck = \"ready\"",
            words(&["CMD-SHELL", "ready"]),
            true,
        ),
        (
            "healthcheck = [\"a\", \"b c\"]",
            words(&["CMD", "a", "b c"]),
            true,
        ),
        (
            "healthcheck = \"@postgres\"",
            words(&[
                "CMD-SHELL",
                "pg_isready -q -h 127.0.0.1 -U \"${POSTGRES_USER:-postgres}\"",
            ]),
            true,
        ),
    ];
    for (service, test, waits) in cases {
        assert_eq!(
            health(&FakeEngine::docker28(), service),
            (test, waits),
            "{service}"
        );
    }
}

#[test]
fn gpus_are_given_where_the_engine_has_them_and_refused_before_anything_is_made_elsewhere() {
    let toml = "[agent]\ngpus = 2\n[services.llm]\nimage = \"postgres\"\ngpus = \"all\"\n";
    let error = plan(&FakeEngine::docker28(), toml).unwrap_err();
    assert_eq!(error.exit().code(), 3);
    let error = error.to_string();
    assert!(
        error.starts_with("[agent] gpus: Docker 28.5.2 on unix:///fake.sock hands out no GPUs"),
        "{error}"
    );
    let facts = Facts {
        gpus: true,
        ..FakeEngine::docker28()
    };
    let plan = plan(&facts, toml).unwrap();
    assert_eq!(spec(&plan, "-agent").gpus, Some(Gpus::Count(2)));
    assert_eq!(spec(&plan, "-service-llm").gpus, Some(Gpus::All));
    assert_eq!(spec(&plan, "-proxy").gpus, None);
    assert!(
        plan.describe()
            .contains("!  service llm has GPUs of this machine"),
        "{}",
        plan.describe()
    );
}

#[test]
fn a_layer_is_bounded_where_the_engine_can() {
    let can = Facts {
        disk_quota: true,
        ..FakeEngine::docker28()
    };
    assert_eq!(
        spec(&plan(&can, "").unwrap(), "-agent").limits.disk,
        Some(20 << 30)
    );
    assert_eq!(
        spec(&plan(&FakeEngine::docker28(), "").unwrap(), "-agent")
            .limits
            .disk,
        None
    );
}

#[test]
fn an_engine_is_not_asked_for_more_files_than_it_can_give() {
    let rootless = Facts {
        nofile: None,
        ..FakeEngine::docker28()
    };
    let poor = Facts {
        nofile: Some(20_000),
        ..FakeEngine::docker28()
    };
    assert_eq!(
        spec(&plan(&poor, "").unwrap(), "-agent").limits.nofile,
        Some(20_000)
    );
    let agent = |toml: &str| {
        spec(&plan(&rootless, toml).unwrap(), "-agent")
            .limits
            .nofile
    };
    assert_eq!(agent(""), None);
    assert_eq!(agent("[agent]\nnofile = 1024\n"), Some(1024));
}

#[test]
fn memory_that_is_a_directory_is_bounded_by_the_containers_own() {
    let toml = "[services.db]\nimage = \"postgres\"\nmemory = \"100MiB\"\nread_only = true\n\
                tmpfs = [\"/data:64MiB\", \"/other\"]\n";
    let plan = plan(&FakeEngine::docker28(), toml).unwrap();
    let sizes: Vec<_> = spec(&plan, "-service-db")
        .mounts
        .iter()
        .filter_map(|mount| match mount {
            Mount::Memory { target, size } => Some((target.as_str(), *size)),
            Mount::Bind { .. } | Mount::Volume { .. } | Mount::Frame { .. } => None,
        })
        .collect();
    let half = Some(50 << 20);
    assert_eq!(
        sizes,
        [("/tmp", half), ("/data", Some(64 << 20)), ("/other", half)]
    );
}

/// Settings with a system call filter, read as `up` reads them.
fn filtered(root: &Path) -> Config {
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}"#;
    fs_err::write(root.join("uring.json"), text).unwrap();
    let toml = "[services.tb]\nimage = \"postgres\"\nseccomp = \"uring.json\"\n";
    let mut config = harness::config(toml);
    config.read_files(Some(root), None).unwrap();
    config
}

#[tokio::test]
async fn a_filter_of_the_users_is_given_to_that_service_alone_said_aloud_and_compared() {
    let bed = Bed::docker28();
    let mut setup = bed.setup("t", "");
    setup.config = filtered(bed.directory.path());
    let up = bed.up(&setup).await.unwrap();
    let place = |end: &str| {
        let mut places = up.record.places.iter();
        places.find(|place| place.container.ends_with(end)).unwrap()
    };
    assert_eq!(
        place("-service-tb").widened(),
        [
            "service tb runs with the system call filter uring.json instead of the engine's: what that lets through, \
          the host's kernel takes"
        ]
    );
    assert!(place("-agent").widened().is_empty());
    let row = up
        .proof
        .rows
        .iter()
        .find(|row| row.id == "container_privileges")
        .unwrap();
    assert!(
        row.detail.contains("service tb runs with"),
        "{}",
        row.detail
    );
    let state = bed
        .engine
        .inspect_container("agentnet-shop-t-service-tb")
        .await
        .unwrap();
    assert_eq!(
        state.filter.as_ref(),
        place("-service-tb").filter.as_ref().map(|f| &f.digest)
    );

    // Another one than planned is a leak.
    let mut record = up.record.clone();
    for place in &mut record.places {
        place.filter = None;
    }
    let proof = agentnet_controller::verify::prove(
        &bed.engine,
        &bed.state,
        &record,
        None,
        agentnet_controller::verify::Before::JustStarted,
    );
    let proof = proof.await.unwrap();
    assert!(!proof.sealed);
    assert!(
        proof
            .sentence()
            .contains("its system call filter is not the planned one"),
        "{}",
        proof.sentence()
    );
}

#[test]
fn a_filter_of_the_users_is_in_the_plan_by_name_and_not_by_text() {
    let directory = tempfile::tempdir().unwrap();
    let config = filtered(directory.path());
    let profile = config
        .services
        .values()
        .next()
        .unwrap()
        .profile
        .clone()
        .unwrap();
    let calls = SystemCalls::Profile(profile);
    assert!(calls.text().unwrap().contains("SCMP_ACT_ERRNO"));
    let shown = serde_json::to_string(&calls).unwrap();
    assert!(
        shown.contains("uring.json") && !shown.contains("SCMP_ACT_ERRNO"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_failure_at_any_step_leaves_neither_volume_nor_password() {
    let bed = Bed::docker28();
    let setup = bed.setup("t", DB);
    bed.up(&setup).await.unwrap();
    let calls = bed.engine.calls();
    assert!(
        bed.engine
            .everything()
            .contains(&(Kind::Volume, "agentnet-shop-t-volume-db.data".into()))
    );
    let mode = fs_err::metadata(bed.state.task(&id("t")).passwords())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    for call in 0..calls {
        for fault in [
            Fault::Refuse(EngineError::Broken("no".into())),
            Fault::LoseAnswer,
        ] {
            let bed = Bed::docker28();
            bed.engine.fault_at(call, fault);
            let setup = bed.setup("t", DB);
            if bed.up(&setup).await.is_ok() {
                // The removal of the gate's container may have been lost and done.
                continue;
            }
            bed.engine.heal();
            gc::collect(&bed.engine, &bed.state, true).await.unwrap();
            bed.assert_empty(&format!("after a fault at call {call}"));
        }
    }
}

#[tokio::test]
async fn a_container_that_ran_out_of_memory_is_named_with_its_ceiling_and_the_key() {
    let bed = Bed::docker28();
    bed.engine.answer(
        "/agentnet/bin/agentnet-gate",
        harness::said(harness::SEALED),
    );
    let record = bed.up(&bed.setup("t", DB)).await.unwrap().record;
    assert_eq!(
        agentnet_controller::ceiling::strains(&bed.engine, &record).await,
        []
    );
    bed.engine.run_out_of_memory("agentnet-shop-t-service-db");
    let gate = harness::said(r#"{"v":1,"oom_kills":2,"pids_refused":3}"#);
    bed.engine.answer("/agentnet/bin/agentnet-gate", gate);
    let strains = agentnet_controller::ceiling::strains(&bed.engine, &record).await;
    let said: Vec<_> = strains
        .iter()
        .flat_map(|strain| &strain.sentences)
        .collect();
    let begins = [
        "service a-cache could not start",
        "the kernel ended processes of service a-cache (2 in all)",
        "service db ended because it ran out of memory: its ceiling is 2 GiB; memory = in [services.db]",
        "the kernel ended processes of the agent (2 in all) because it ran out of memory: its ceiling is 4 GiB",
        "the agent could not start a process or thread (3 times): its ceiling is 512; pids = in [agent]",
    ];
    for begin in begins {
        assert!(
            said.iter().any(|sentence| sentence.starts_with(begin)),
            "{begin}: {said:?}"
        );
    }
}

#[tokio::test]
async fn a_container_in_which_nothing_can_be_started_is_named() {
    let bed = Bed::docker28();
    let record = bed.up(&bed.setup("t", "")).await.unwrap().record;
    let mut failed = harness::said("OCI runtime exec failed");
    failed.code = 128;
    bed.engine.answer("/agentnet/bin/agentnet-gate", failed);
    let strains = agentnet_controller::ceiling::strains(&bed.engine, &record).await;
    assert_eq!(
        strains[0].sentences,
        [
            "no process can be started in the agent any more, as when it is at its ceiling of 512; pids = in [agent] of \
          agentnet.toml raises it"
        ]
    );
    // A gate that does not know the question.
    let mut old = harness::said("");
    old.code = 2;
    bed.engine.answer("/agentnet/bin/agentnet-gate", old);
    assert_eq!(
        agentnet_controller::ceiling::strains(&bed.engine, &record).await,
        []
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_writes_more_than_it_may_is_told_to_stop() {
    let bed = Bed::docker28();
    let setup = bed.setup("t", "[agent]\ndisk = \"10MiB\"\n");
    let record = bed.up(&setup).await.unwrap().record;
    assert_eq!(record.disk, Some(10 << 20));
    let dir = bed.state.task(&id("t"));
    let watched = agentnet_controller::disk::exceeded(&bed.engine, &record, &dir);
    let quiet = tokio::time::timeout(std::time::Duration::from_secs(600), watched).await;
    assert!(quiet.is_err(), "nothing was written");
    bed.engine.write(11 << 20);
    let exceeded = async || {
        agentnet_controller::disk::exceeded(&bed.engine, &record, &dir)
            .await
            .to_string()
    };
    let error = exceeded().await;
    assert!(
        error.starts_with("task t was stopped: it wrote 11 MiB to the disk"),
        "{error}"
    );
    // Alerts that nobody reads are no way around it.
    bed.engine.write(0);
    fs_err::write(dir.spool().join("out/a.tmp"), vec![1; 12 << 20]).unwrap();
    let error = exceeded().await;
    assert!(error.contains("it wrote 12 MiB to the disk"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_a_task_shares_is_no_way_around_its_ceiling() {
    let bed = Bed::docker28();
    let mut setup = bed.setup("t", "[agent]\ndisk = \"10MiB\"\n");
    let login = bed.state.root().join("logins/claude");
    setup.handover.login = Some((Agent::Claude, login.clone()));
    let record = bed.up(&setup).await.unwrap().record;
    fs_err::write(login.join("old"), vec![1; 12 << 20]).unwrap();
    let dir = bed.state.task(&id("t"));
    agentnet_controller::disk::begin(&bed.engine, &record, &dir).await;
    let watched = agentnet_controller::disk::exceeded(&bed.engine, &record, &dir);
    let quiet = tokio::time::timeout(std::time::Duration::from_secs(600), watched).await;
    assert!(quiet.is_err(), "it was there before");
    fs_err::write(login.join("flood"), vec![1; 12 << 20]).unwrap();
    let error = agentnet_controller::disk::exceeded(&bed.engine, &record, &dir).await;
    let error = error.to_string();
    assert!(error.contains("it wrote 12 MiB to the disk"), "{error}");
}

async fn down(bed: &Bed, keep: bool) -> teardown::Report {
    let dir = bed.state.task(&id("t"));
    let mut record = Record::read(&dir).unwrap().unwrap();
    record.phase = Phase::Partial;
    record.kept_volumes.clear();
    if keep {
        record
            .kept_volumes
            .push("agentnet-shop-t-volume-db.data".into());
    }
    record.write(&dir).unwrap();
    let workspace = Some(&record.workspace);
    teardown::task(&bed.engine, &bed.state, &id("t"), workspace, Changes::Keep).await
}

#[tokio::test]
async fn kept_volumes_outlive_down_gc_and_a_failed_up_with_the_password_that_belongs_to_them() {
    let bed = Bed::docker28();
    let setup = bed.setup("t", DB);
    bed.up(&setup).await.unwrap();
    let passwords = bed.state.task(&id("t")).passwords();
    let made = fs_err::read_to_string(&passwords).unwrap();

    let report = down(&bed, true).await;
    assert_eq!(report.errors, [""; 0]);
    assert_eq!(report.kept_volumes, ["agentnet-shop-t-volume-db.data"]);
    let kept = [(Kind::Volume, "agentnet-shop-t-volume-db.data".to_owned())];
    assert_eq!(bed.engine.everything(), kept);
    let (found, _) = gc::collect(&bed.engine, &bed.state, true).await.unwrap();
    assert_eq!(found, []);
    assert_eq!(bed.engine.everything(), kept);

    // An up that fails undoes what it did, and no more.
    bed.engine.fault_at(
        bed.engine.calls() + 6,
        Fault::Refuse(EngineError::Broken("no".into())),
    );
    bed.up(&setup).await.unwrap_err();
    bed.engine.heal();
    assert_eq!(bed.engine.everything(), kept);
    assert_eq!(fs_err::read_to_string(&passwords).unwrap(), made);

    bed.up(&setup).await.unwrap();
    assert_eq!(fs_err::read_to_string(&passwords).unwrap(), made);
    let report = down(&bed, false).await;
    assert_eq!(report.errors, [""; 0]);
    assert!(matches!(report.fate, Some(Fate::Untouched)));
    bed.assert_empty("after the last down");
}
