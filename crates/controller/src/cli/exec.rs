//! `agentnet exec` and `agentnet shell`

use std::collections::BTreeMap;

use super::context::Context;
use crate::agents::Agent;
use crate::credentials::with_secrets;
use crate::engine::bollard::BollardEngine;
use crate::engine::{Engine, EngineError};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::labels::Role;
use crate::output::tell;
use crate::record::Record;
use crate::spec::ExecSpec;
use crate::task::Slug;
use crate::terminal::{RawMode, is_interactive, streams};

#[derive(Debug, clap::Args)]
pub(super) struct ExecArgs {
    /// The task
    task: Slug,
    /// In this service's container instead of the agent's
    #[arg(long, value_name = "NAME")]
    service: Option<Slug>,
    /// As this user instead of the container's
    #[arg(short, long)]
    user: Option<String>,
    /// In this directory instead of the container's
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Set a variable (repeat)
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Do not give the command a terminal
    #[arg(long)]
    no_tty: bool,
    /// What to run
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShellArgs {
    /// The task
    task: Slug,
    /// The task's agent instead of a shell, or this one
    #[arg(long, value_enum, value_name = "NAME", num_args = 0..=1, conflicts_with = "service")]
    agent: Option<Option<Agent>>,
    /// In this service's container instead of the agent's
    #[arg(long, value_name = "NAME")]
    service: Option<Slug>,
}

fn variable(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".into()),
    }
}

/// The container a command runs in, its engine and its task.
fn container(
    context: &Context,
    task: &Slug,
    service: Option<&Slug>,
) -> Result<(BollardEngine, String, Record)> {
    let (id, record) = context.find_up(task)?;
    let name = match service {
        Some(service) => id.service(service),
        None => id.resource(Role::Agent),
    };
    if record.places.iter().any(|place| place.container == name) {
        return Ok((context.engine_of(&record)?, name, record));
    }
    let service = service.map(ToString::to_string).unwrap_or_default();
    Err(Error::Usage(format!(
        "task {task} has no service {service}"
    )))
}

pub(super) async fn exec(context: &Context, args: ExecArgs) -> Result<u8> {
    let (engine, container, record) = container(context, &args.task, args.service.as_ref())?;
    // What the agent was given is its own, not a service's or another user's.
    let command = match (&args.service, &args.user) {
        (None, None) => with_secrets(&record, args.command),
        _ => args.command,
    };
    let spec = ExecSpec {
        command,
        env: args.env.into_iter().collect(),
        user: args.user,
        workdir: args.workdir,
        tty: is_interactive() && !args.no_tty,
        stdin: true,
    };
    attached(context, &engine, &container, spec).await
}

pub(super) async fn shell(context: &Context, args: ShellArgs) -> Result<u8> {
    let (engine, container, record) = container(context, &args.task, args.service.as_ref())?;
    let find = "exec \"$(command -v bash || command -v sh)\"";
    let command = match args.agent {
        None => ["/bin/sh", "-c", find].map(str::to_owned).to_vec(),
        Some(named) => {
            let agent = named.or(record.agent);
            let agent = agent.ok_or_else(|| {
                Error::Usage(format!(
                    "task {} has no agent; say which: --agent claude",
                    args.task
                ))
            })?;
            agent.interactive()
        }
    };
    let command = match &args.service {
        None => with_secrets(&record, command),
        Some(_) => command,
    };
    let spec = ExecSpec {
        env: BTreeMap::new(),
        tty: is_interactive(),
        stdin: true,
        ..ExecSpec::quiet(command)
    };
    attached(context, &engine, &container, spec).await
}

/// Runs a command with our streams; its exit code, or 126 and 127 as `docker exec` has them.
pub(super) async fn attached<E: Engine>(
    context: &Context,
    engine: &E,
    container: &str,
    spec: ExecSpec,
) -> Result<u8> {
    let streams = streams(spec.tty, spec.stdin, &context.tracker)?;
    let raw = if spec.tty {
        Some(RawMode::enter()?)
    } else {
        None
    };
    let outcome = engine.exec_attached(container, &spec, streams).await;
    drop(raw);
    match outcome {
        // The kernel's codes fit a byte.
        Ok(code) => Ok(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
        Err(error @ EngineError::CommandNotFound(_)) => {
            tell(&format!("error: {error}"));
            Ok(Exit::NotFound.code())
        }
        Err(error @ EngineError::NotExecutable(_)) => {
            tell(&format!("error: {error}"));
            Ok(Exit::NotExecutable.code())
        }
        Err(EngineError::ReaderGone) => Ok(Exit::ReaderGone.code()),
        Err(error) => Err(Error::engine(format!("running a command in {container}"))(
            error,
        )),
    }
}
