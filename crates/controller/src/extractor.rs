//! Everything that looks at files which an agent wrote runs here: in a short-lived container of ours,
//! without network and capabilities, with the files mounted read-only. No program of the host is
//! started in such a tree (THREATS W38).

mod bounded;
mod job;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use self::bounded::Bounded;
use crate::engine::{Engine, EngineError, Kind, Streams};
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::labels::{Owner, Role};
use crate::paths::StateDir;
use crate::plan::tool_limits;
use crate::record::Record;
use crate::spec::{ContainerSpec, ImageRef, Mount, SystemCalls};
use crate::task::{TaskId, fnv64};
use crate::workspace::{GIT, Module, PrivateGit, Workspace};

pub use bounded::Sink;
pub use job::Job;

/// The task's files in an extractor, read-only.
pub const TREE: &str = "/agentnet/tree";
/// The one place that an extractor can write: memory, gone with it.
pub const SCRATCH: &str = "/tmp";

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit code.
    pub code: i64,
    /// What it said on its standard error, at most 16 KiB.
    pub words: String,
}

/// Our input to a job.
pub type Input = Box<dyn AsyncRead + Send + Unpin>;

/// Runs jobs on one task's files.
#[derive(Debug)]
pub struct Extractor<'a, E> {
    engine: &'a E,
    task: TaskId,
    template: ContainerSpec,
}

impl<'a, E: Engine> Extractor<'a, E> {
    /// For a task that is or was up. Its files must still be there.
    pub fn of(
        engine: &'a E,
        state: &StateDir,
        facts: &Facts,
        record: &Record,
    ) -> Result<Extractor<'a, E>> {
        let image = tools(record)?;
        let mut mounts = vec![Mount::Memory {
            target: SCRATCH.to_owned(),
            size: None,
        }];
        if record.workspace.files().exists() {
            mounts.push(record.workspace.mount(TREE, false));
        }
        let mut env = environment();
        if let Workspace::Worktree { git, branch, .. } = &record.workspace
            && git.directory.exists()
        {
            mounts.extend(git.mounts(state.task(&record.task).root(), false));
            let own = git.environment(branch).into_iter();
            env.extend(own.map(|(key, value)| (key.to_owned(), value)));
            let modules = lines_of(git, Path::new(""), git.volume.is_some());
            env.insert("AGENTNET_MODULES".to_owned(), modules);
        }
        let template = ContainerSpec {
            env,
            mounts,
            ..template(image, state.id(), &record.task, record.owner, facts)
        };
        Ok(Extractor {
            engine,
            task: record.task.clone(),
            template,
        })
    }

    /// One that sees nothing but what its jobs mount.
    pub fn bare(engine: &'a E, task: &TaskId, template: ContainerSpec) -> Extractor<'a, E> {
        Extractor {
            engine,
            task: task.clone(),
            template,
        }
    }

    /// For one of the task's submodules: the same, with its files and its git.
    #[must_use]
    pub fn in_module(&self, module: &Module, branch: &str) -> Extractor<'a, E> {
        let mut template = self.template.clone();
        let tree = format!("{TREE}/{}", module.path.display());
        let is_volume =
            |mount: &Mount| matches!(mount, Mount::Volume { target, .. } if target == TREE);
        let in_volume = template.mounts.iter().any(is_volume);
        let own = [
            ("GIT_WORK_TREE", tree.clone()),
            ("AGENTNET_TREE", tree),
            (
                "AGENTNET_MODULES",
                lines_of(&module.git, &module.path, in_volume),
            ),
        ];
        let all = own.into_iter().chain(module.git.environment(branch));
        let all = all.map(|(key, value)| (key.to_owned(), value));
        template.env.extend(all);
        Extractor {
            engine: self.engine,
            task: self.task.clone(),
            template,
        }
    }

    /// Runs a job; its output goes to `stdout`, never more than the job's limit. The container is
    /// removed in any case. An exit code that is not 0 is no error here.
    pub async fn run(
        &self,
        job: Job,
        stdin: Option<Input>,
        stdout: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Ended> {
        let doing = job.doing().to_owned();
        let (deadline, limit) = (job.deadline(), job.limit());
        let spec = job.spec(&self.template, unique_name(&self.task), stdin.is_some());
        let stdout = Bounded::new(stdout, limit);
        let spent = stdout.spent();
        let ended = attend(self.engine, &spec, &doing, deadline, stdin, stdout).await;
        if spent.is_over() {
            return Err(Error::Failed(format!(
                "{doing}: there is more than {limit} bytes of it"
            )));
        }
        ended
    }

    /// Runs a job and keeps what it says; an exit code that is not 0 is an error with its last words.
    pub async fn capture(&self, job: Job) -> Result<Vec<u8>> {
        let doing = job.doing().to_owned();
        let output = Sink::new(usize::try_from(job.limit()).unwrap_or(usize::MAX));
        let ended = Box::pin(self.run(job, None, output.clone())).await?;
        ended.ok(&doing)?;
        Ok(output.take())
    }
}

/// The submodules below a place of the tree, which is a volume's or the host's, for `open.sh`: where each is from there, a tab, and the person's
/// repository of it.
fn lines_of(git: &PrivateGit, place: &Path, in_volume: bool) -> String {
    let all = git.all_modules().into_iter();
    let line = |module: &Module| {
        let path = module.path.strip_prefix(place).unwrap_or(&module.path);
        let leads_to = match in_volume {
            // The file that was put there, to the letter.
            true => format!("={}", module.git.place()),
            false => module.repository.display().to_string(),
        };
        format!("{}\t{leads_to}\n", path.display())
    };
    all.map(line).collect()
}

/// Creates a container of ours, runs it to its end and removes it, whatever comes of it.
pub(crate) async fn attend<E: Engine>(
    engine: &E,
    spec: &ContainerSpec,
    doing: &str,
    deadline: Duration,
    stdin: Option<Input>,
    stdout: impl AsyncWrite + Send + Unpin + 'static,
) -> Result<Ended> {
    let container = engine.create_container(spec).await;
    let container = container.map_err(Error::engine(doing))?;
    let ended = run_once(engine, &container, doing, deadline, stdin, stdout).await;
    let removed = match engine.remove(Kind::Container, &container).await {
        Err(EngineError::NotFound(_)) => Ok(()),
        removed => removed,
    };
    let ended = ended?;
    removed.map_err(Error::engine(format!("removing {}", spec.name)))?;
    Ok(ended)
}

/// Runs a container that was created to its end; it stays.
pub(crate) async fn run_once<E: Engine>(
    engine: &E,
    container: &str,
    doing: &str,
    deadline: Duration,
    stdin: Option<Input>,
    stdout: impl AsyncWrite + Send + Unpin + 'static,
) -> Result<Ended> {
    let words = Sink::new(WORDS);
    let streams = Streams {
        stdin,
        stdout: Box::new(stdout),
        stderr: Box::new(words.clone()),
        size: None,
    };
    let run = Box::pin(engine.run(container, streams));
    match tokio::time::timeout(deadline, run).await {
        Err(_) => Err(Error::Failed(format!(
            "{doing}: it took longer than {} s and was stopped",
            deadline.as_secs()
        ))),
        Ok(Err(e)) => Err(Error::engine(doing)(e)),
        Ok(Ok(code)) => Ok(Ended {
            code,
            words: printable(&words.take()),
        }),
    }
}

/// The image that a task's files are looked at with.
pub fn tools(record: &Record) -> Result<&ImageRef> {
    record.tools.as_ref().ok_or_else(|| {
        Error::Failed(format!(
            "task {} was brought up by an agentnet that had no image to look at files with; bring it up again",
            record.task
        ))
    })
}

/// A container of ours without network and rights, with the owner of the task's files as its user.
#[must_use]
pub fn template(
    image: &ImageRef,
    state: &str,
    task: &TaskId,
    user: Option<(u32, u32)>,
    facts: &Facts,
) -> ContainerSpec {
    let owner = Owner {
        state: state.to_owned(),
        task: task.clone(),
        role: Role::Extractor,
    };
    ContainerSpec {
        image: image.to_string(),
        user: user.map(|(uid, gid)| format!("{uid}:{gid}")),
        hostname: Some("extractor".to_owned()),
        env: environment(),
        workdir: Some(SCRATCH.to_owned()),
        labels: owner.labels(),
        mounts: vec![Mount::Memory {
            target: SCRATCH.to_owned(),
            size: None,
        }],
        system_calls: match facts.opens_vsock {
            true => SystemCalls::Ours,
            false => SystemCalls::Engine,
        },
        read_only: true,
        limits: tool_limits(facts),
        attached: true,
        ..ContainerSpec::bare("")
    }
}

impl Ended {
    /// An error with the last words, unless the exit code is 0.
    pub fn ok(&self, doing: &str) -> Result<()> {
        if self.code == 0 {
            return Ok(());
        }
        let last = self
            .words
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty());
        let why = match (self.code, last) {
            (137, _) => "it needed more memory than it may have, or was killed".to_owned(),
            (_, Some(last)) => last.trim_start_matches("fatal: ").to_owned(),
            (code, None) => format!("it ended with {code}"),
        };
        Err(Error::Failed(format!("{doing}: {why}")))
    }
}

/// Bytes of a job's standard error that are kept.
const WORDS: usize = 16 << 10;

/// What an agent can make a program say goes to a terminal.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let plain = |c: char| c == '\n' || !c.is_control();
    text.chars().filter(|c| plain(*c)).collect()
}

/// Several may run on one task at once.
pub(crate) fn unique_name(task: &TaskId) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = jiff::Timestamp::now().as_nanosecond();
    let seed = format!("{} {count} {now}", std::process::id());
    let hash = fnv64(seed.as_bytes()) >> 32;
    format!("{}-{hash:08x}", task.resource(Role::Extractor))
}

/// What git reads instead of anybody's configuration. The scripts make a git directory of our own
/// (`open.sh`); this is a second line, for what they might be made to read after all.
const GIT_SETTINGS: [(&str, &str); 18] = [
    ("safe.directory", "*"),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.splitIndex", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.pager", "cat"),
    ("core.quotePath", "true"),
    ("core.sshCommand", "false"),
    ("credential.helper", ""),
    ("diff.ignoreSubmodules", "dirty"),
    ("submodule.recurse", "false"),
    ("status.submoduleSummary", "false"),
    ("log.showSignature", "false"),
    ("protocol.allow", "never"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
];

fn environment() -> BTreeMap<String, String> {
    let plain = [
        ("HOME", SCRATCH),
        ("LC_ALL", "C.UTF-8"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_SYSTEM", "/dev/null"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_PAGER", "cat"),
        ("GIT_AUTHOR_NAME", "agentnet"),
        ("GIT_AUTHOR_EMAIL", "agentnet@agentnet.invalid"),
        ("GIT_COMMITTER_NAME", "agentnet"),
        ("GIT_COMMITTER_EMAIL", "agentnet@agentnet.invalid"),
        ("GIT_DIR", "/tmp/git"),
        ("GIT_WORK_TREE", TREE),
        ("GIT_OBJECT_DIRECTORY", "/tmp/git/objects"),
        ("AGENTNET_TREE", TREE),
        ("AGENTNET_GIT", GIT),
        ("AGENTNET_SCRATCH", SCRATCH),
    ];
    let mut env: BTreeMap<String, String> = plain
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    env.insert(
        "GIT_CONFIG_COUNT".to_owned(),
        GIT_SETTINGS.len().to_string(),
    );
    for (n, (key, value)) in GIT_SETTINGS.iter().enumerate() {
        env.insert(format!("GIT_CONFIG_KEY_{n}"), (*key).to_owned());
        env.insert(format!("GIT_CONFIG_VALUE_{n}"), (*value).to_owned());
    }
    env
}
