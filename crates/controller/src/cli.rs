//! The command line: one file a command. Each prints its own data; errors come back here.

mod allow;
mod context;
mod doctor;
mod down;
mod editor;
mod exec;
mod gc;
mod init;
mod logs;
mod ls;
mod results;
mod run;
mod snapshot;
mod ssh_agent;
mod status;
mod sync;
mod targets;
mod up;
mod verify;
mod watch;
mod watch_disks;
mod whitelist;
mod withdraw;

use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};

use self::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::output::{Output, Talk, tell_error};
use crate::task::Slug;

/// A worktree, containers and a sealed network per task.
#[derive(Debug, Parser)]
#[command(name = "agentnet", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Debug, clap::Args)]
struct Global {
    /// Where agentnet keeps its state [default: $XDG_STATE_HOME/agentnet]
    #[arg(long, global = true, env = "AGENTNET_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The container engine, as unix:///path [default: DOCKER_HOST, then the usual sockets]
    #[arg(long, global = true, env = "AGENTNET_ENGINE", value_name = "URL")]
    engine: Option<String>,
    /// The project, where several have a task of one name
    #[arg(long, global = true, value_name = "NAME")]
    project: Option<Slug>,
    /// Say every step
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    verbose: bool,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    quiet: bool,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Format {
    /// Print data as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring a task up: worktree, fence, proxy, services, agent; and prove the fence
    Up(up::Args),
    /// Bring a task up, run a command in it, take it down; exits as the command does
    Run(run::Args),
    /// Run a command in a task; exits as the command does
    Exec(exec::ExecArgs),
    /// Open a shell in a task
    Shell(exec::ShellArgs),
    /// List the tasks: state, what they use, what went through their proxies
    Ls(ls::Args),
    /// Show one task: containers, what they use, traffic, budgets, last refusals, the last proof
    Status(status::Args),
    /// Show what the agent printed, or what its proxy decided
    Logs(logs::Args),
    /// Watch tasks: what they do, want and cost, live; with keys that allow and deny
    Watch(watch::Args),
    /// Allow hosts for a task, at once
    Allow(allow::AllowArgs),
    /// Refuse hosts for a task, at once
    Deny(allow::DenyArgs),
    /// Show a task's effective whitelist, each line with where it came from
    Whitelist(whitelist::Args),
    /// Bring a task's commits into your repository, as checked data
    Sync(sync::Args),
    /// Collect what a task leaves behind: changes, commits, logs, decisions, declared outputs
    Results(results::Args),
    /// Store a task as it is, and put it back: create, ls, restore, rm
    Snapshot(snapshot::Args),
    /// Take back the secrets and the SSH agent that a task was given
    Withdraw(withdraw::Args),
    /// Take tasks down; changed files are kept
    Down(down::Args),
    /// Remove what interrupted runs left behind
    Gc(gc::Args),
    /// Prove a task's fence and print every row
    Verify(verify::Args),
    /// Check the engine and this machine, or why a task's programs do not get where they want
    Doctor(doctor::Args),
    /// Print where Prometheus finds the tasks' proxies (file_sd JSON)
    Targets(targets::Args),
    /// Write agentnet.toml and .agentnet/whitelist.txt for this repository
    Init(init::Args),
    /// Between a task and the person's SSH agent: started by `up`
    #[command(hide = true)]
    SshAgent(ssh_agent::Args),
    /// What tasks write to the disk: started by `up`
    #[command(hide = true)]
    WatchDisks,
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

impl Command {
    fn json(&self) -> bool {
        let format = match self {
            Command::Up(args) => args.format,
            Command::Ls(args) => args.format,
            Command::Status(args) => args.format,
            Command::Watch(args) => args.format,
            Command::Allow(args) => args.format,
            Command::Deny(args) => args.format,
            Command::Whitelist(args) => args.format,
            Command::Results(args) => args.format,
            Command::Down(args) => args.format,
            Command::Sync(args) => args.format,
            Command::Gc(args) => args.format,
            Command::Verify(args) => args.format,
            Command::Doctor(args) => args.format,
            Command::Snapshot(args) => return args.json(),
            Command::Run(_)
            | Command::Exec(_)
            | Command::Shell(_)
            | Command::Logs(_)
            | Command::Withdraw(_)
            | Command::Targets(_)
            | Command::Init(_)
            | Command::SshAgent(_)
            | Command::WatchDisks
            | Command::Completions { .. } => return false,
        };
        format.json
    }

    /// Whose exit codes below 125 are a command's, so that ours must be 125.
    fn passes_status(&self) -> bool {
        match self {
            Command::Run(_) | Command::Exec(_) | Command::Shell(_) => true,
            Command::Up(_)
            | Command::Ls(_)
            | Command::Status(_)
            | Command::Logs(_)
            | Command::Watch(_)
            | Command::Allow(_)
            | Command::Deny(_)
            | Command::Whitelist(_)
            | Command::Results(_)
            | Command::Withdraw(_)
            | Command::Snapshot(_)
            | Command::Down(_)
            | Command::Sync(_)
            | Command::Gc(_)
            | Command::Verify(_)
            | Command::Doctor(_)
            | Command::Targets(_)
            | Command::Init(_)
            | Command::SshAgent(_)
            | Command::WatchDisks
            | Command::Completions { .. } => false,
        }
    }
}

/// Parses the command line and runs it; the exit code.
#[must_use]
pub fn main() -> u8 {
    let cli = Cli::parse();
    let passes_status = cli.command.passes_status();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            tell_error(&Error::Io(e));
            return Exit::Failed.code();
        }
    };
    let outcome = runtime.block_on(Box::pin(run(cli)));
    // A thread may still be reading our standard input; nobody waits for it.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            tell_error(&error);
            let exit = error.exit();
            let says_all = matches!(exit, Exit::Usage | Exit::Interrupted);
            if passes_status && !says_all {
                Exit::Ours.code()
            } else {
                exit.code()
            }
        }
    }
}

async fn run(cli: Cli) -> Result<u8> {
    let talk = match (cli.global.quiet, cli.global.verbose) {
        (true, _) => Talk::Quiet,
        (_, true) => Talk::Verbose,
        _ => Talk::Normal,
    };
    let output = Output::new(talk, cli.command.json());
    if let Command::Completions { shell } = cli.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "agentnet", &mut script);
        output.data(&String::from_utf8_lossy(&script))?;
        return Ok(Exit::Ok.code());
    }
    if let Command::SshAgent(args) = cli.command {
        return ssh_agent::ssh_agent(output, args).await;
    }
    let context = Context::new(cli.global, output)?;
    match cli.command {
        Command::Up(args) => Box::pin(up::up(&context, args)).await,
        Command::Run(args) => Box::pin(run::run(&context, args)).await,
        Command::Exec(args) => exec::exec(&context, args).await,
        Command::Shell(args) => exec::shell(&context, args).await,
        Command::Ls(args) => ls::ls(&context, args).await,
        Command::Status(args) => status::status(&context, args).await,
        Command::Logs(args) => logs::logs(&context, args).await,
        Command::Watch(args) => watch::watch(&context, args).await,
        Command::Allow(args) => allow::allow(&context, args).await,
        Command::Deny(args) => allow::deny(&context, args).await,
        Command::Whitelist(args) => whitelist::whitelist(&context, &args),
        Command::Sync(args) => sync::sync(&context, args).await,
        Command::Results(args) => Box::pin(results::results(&context, args)).await,
        Command::Snapshot(args) => Box::pin(snapshot::snapshot(&context, args)).await,
        Command::Withdraw(args) => withdraw::withdraw(&context, args).await,
        Command::Down(args) => down::down(&context, args).await,
        Command::Gc(args) => gc::gc(&context, args).await,
        Command::Verify(args) => verify::verify(&context, args).await,
        Command::Doctor(args) => doctor::doctor(&context, args).await,
        Command::Targets(args) => targets::targets(&context, args).await,
        Command::Init(args) => init::init(&context, &args).await,
        Command::WatchDisks => watch_disks::watch_disks(&context).await,
        Command::SshAgent(_) | Command::Completions { .. } => Ok(Exit::Ok.code()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }
}
