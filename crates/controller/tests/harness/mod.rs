//! A task on a fake engine, with its state in a temporary directory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "test code; each test file uses a part of it"
)]

pub(crate) mod scene;
pub(crate) mod stand_in;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agentnet_controller::config::Config;
use agentnet_controller::credentials::Handover;
use agentnet_controller::engine::fake::FakeEngine;
use agentnet_controller::engine::{ImageInfo, Output};
use agentnet_controller::facts::Facts;
use agentnet_controller::output::Progress;
use agentnet_controller::passwords::Passwords;
use agentnet_controller::paths::StateDir;
use agentnet_controller::plan::{ImageSet, Inputs, Plan};
use agentnet_controller::policy::Layers;
use agentnet_controller::spec::ImageRef;
use agentnet_controller::task::TaskId;
use agentnet_controller::up::{Setup, Up, up};
use agentnet_controller::workspace::{GitEntry, Objects, PrivateGit, Workspace};
use tokio_util::sync::CancellationToken;

/// What the gate prints when everything is closed.
pub(crate) const SEALED: &str = r#"{"v":1,"sealed":true,"fence":"network","rows":[
    {"id":"routes","what":"routes","outcome":"sealed","detail":"none","ms":0.1}]}"#;
/// What it prints when something is open.
pub(crate) const LEAK: &str = r#"{"v":1,"sealed":false,"fence":"network","rows":[
    {"id":"routes","what":"every routing table","outcome":"leak","detail":"a default route","ms":0.1}]}"#;

pub(crate) struct Bed {
    pub(crate) engine: FakeEngine,
    pub(crate) state: StateDir,
    pub(crate) directory: tempfile::TempDir,
}

pub(crate) fn said(text: &str) -> Output {
    Output {
        code: 0,
        stdout: text.as_bytes().to_vec(),
        stderr: Vec::new(),
    }
}

pub(crate) fn image(command: &str) -> ImageInfo {
    ImageInfo {
        id: "sha256:0".into(),
        entrypoint: Vec::new(),
        command: vec![command.into()],
        env: BTreeMap::new(),
        user: String::new(),
        ports: Vec::new(),
        health: None,
    }
}

pub(crate) fn id(task: &str) -> TaskId {
    TaskId {
        project: "shop".parse().unwrap(),
        task: task.parse().unwrap(),
    }
}

/// An engine with the images and a gate that finds everything closed.
pub(crate) fn stocked(facts: Facts) -> FakeEngine {
    let engine = FakeEngine::new(facts);
    for name in ["proxy", "gate", "tools", "agent", "postgres"] {
        engine.add_image(name, image(name));
    }
    engine.answer("/agentnet/bin/agentnet-gate", said(SEALED));
    engine
}

impl Bed {
    pub(crate) fn new(facts: Facts) -> Bed {
        Bed::on(tempfile::tempdir().unwrap(), facts)
    }

    /// With everything in a new directory of another.
    pub(crate) fn below(parent: &Path) -> Bed {
        Bed::on(
            tempfile::tempdir_in(parent).unwrap(),
            FakeEngine::docker28(),
        )
    }

    fn on(directory: tempfile::TempDir, facts: Facts) -> Bed {
        let state = StateDir::open(Some(&directory.path().join("state"))).unwrap();
        let engine = stocked(facts);
        fs_err::create_dir(directory.path().join("files")).unwrap();
        Bed {
            engine,
            state,
            directory,
        }
    }

    pub(crate) fn docker28() -> Bed {
        Bed::new(FakeEngine::docker28())
    }

    pub(crate) fn docker20() -> Bed {
        Bed::new(FakeEngine::docker20())
    }

    pub(crate) fn setup(&self, task: &str, toml: &str) -> Setup {
        let path = self.directory.path().join("files");
        Setup {
            task: id(task),
            config: config(toml),
            root: path.clone(),
            workspace: Workspace::Directory {
                path,
                git: GitEntry::None,
            },
            layers: Layers::for_project(None, None).unwrap(),
            command: None,
            programs: None,
            rebuild: false,
            handover: Handover::default(),
            issue: None,
            seed: None,
            opens: false,
            once: false,
        }
    }

    pub(crate) async fn up(&self, setup: &Setup) -> agentnet_controller::error::Result<Up> {
        self.up_until(setup, &CancellationToken::new()).await
    }

    pub(crate) async fn up_until(
        &self,
        setup: &Setup,
        cancel: &CancellationToken,
    ) -> agentnet_controller::error::Result<Up> {
        up(
            &self.engine,
            &self.state,
            setup,
            cancel,
            &Progress::silent(),
        )
        .await
    }

    /// Nothing on the engine and no file of any task.
    pub(crate) fn assert_empty(&self, when: &str) {
        assert_eq!(self.engine.everything(), [], "{when}");
        let files = everything_below(self.state.root());
        let files: Vec<_> = files.into_iter().filter(|path| path.is_file()).collect();
        assert_eq!(files, [] as [PathBuf; 0], "{when}");
        assert_eq!(self.state.tasks().unwrap(), [], "{when}");
    }
}

pub(crate) fn everything_below(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs_err::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
        found.push(path);
    }
    found
}

/// Settings that name images which the fake engine has.
pub(crate) fn config(toml: &str) -> Config {
    let mut config = Config::parse(Path::new("agentnet.toml"), toml).unwrap();
    config.images.proxy.get_or_insert(ImageRef("proxy".into()));
    config.images.gate.get_or_insert(ImageRef("gate".into()));
    config.images.tools.get_or_insert(ImageRef("tools".into()));
    config.agent.image.get_or_insert(ImageRef("agent".into()));
    config
}

/// A plan with everything fixed, for snapshots.
pub(crate) fn plan(facts: &Facts, toml: &str) -> agentnet_controller::error::Result<Plan> {
    plan_with(facts, toml, &Handover::default())
}

/// As [`plan`], with what of the person's the task is given.
pub(crate) fn plan_with(
    facts: &Facts,
    toml: &str,
    handover: &Handover,
) -> agentnet_controller::error::Result<Plan> {
    let config = config(toml);
    let passwords = passwords(&config);
    let services = config.services.iter().map(|(name, service)| {
        let mut info = image(&service.image.as_ref().unwrap().0);
        info.ports = vec![5432];
        (name.clone(), info)
    });
    let images = ImageSet {
        proxy: Some(ImageRef("proxy".into())),
        gate: Some(ImageRef("gate".into())),
        tools: Some(ImageRef("tools".into())),
        agent: Some((ImageRef("agent".into()), image("bash"))),
        services: services.collect(),
    };
    let pool = agentnet_controller::pool::Pool::new("10.213.0.0/16".parse().unwrap()).unwrap();
    let blocks = pool.pick(2, 0, &[]).unwrap();
    Plan::new(&Inputs {
        task: &id("fix-1"),
        state: "0123456789abcdef",
        config: &config,
        facts,
        blocks: [blocks[0], blocks[1]],
        images: &images,
        workspace: &Workspace::Worktree {
            checkout: "/home/me/shop".into(),
            tree: "/state/tasks/shop/fix-1/tree".into(),
            branch: "agentnet/fix-1".into(),
            base: "0".repeat(40),
            owner: Some((1000, 1000)),
            git: Box::new(PrivateGit {
                directory: "/state/tasks/shop/fix-1/git".into(),
                objects: vec![Objects {
                    directory: "/home/me/shop/.git/objects".into(),
                    borrows: false,
                }],
                format: "sha1".into(),
                promisor: None,
                own: false,
                volume: None,
                name: None,
                modules: Vec::new(),
            }),
            source: None,
            volume: None,
        },
        directory: "/state/tasks/shop/fix-1".into(),
        files: BTreeMap::from([("gitfile".into(), String::new())]),
        command: None,
        passwords: &passwords,
        owner: (1000, 1000),
        handover,
        reader: (1000, 1000),
        seed: None,
        moved: false,
    })
}

/// Passwords for a plan that is only looked at.
pub(crate) fn passwords(config: &Config) -> Passwords {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDir::open(Some(directory.path())).unwrap();
    Passwords::of(&state.task(&id("fix-1")), config).unwrap()
}
