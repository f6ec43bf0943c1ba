//! The agent's container and the task's files in it.

use super::containers::{bare, fenced, memory, networks_of, real_command};
use super::disk;
use super::door::Door;
use super::fence::{Layout, Networks};
use super::gate::GateSteps;
use super::handover;
use super::limits::{Wanted, limits, told};
use super::spool;
use super::{Draft, ISSUE, Inputs, Place, Step, missing};
use crate::agents::ISSUE_FILE;
use crate::environment::SSH_CONFIG;
use crate::error::Result;
use crate::labels::Role;
use crate::spec::Mount;
use crate::workspace::{GIT, GitEntry, Workspace};

#[expect(
    clippy::too_many_arguments,
    reason = "what must come before the agent, one by one"
)]
pub(super) fn agent(
    inputs: &Inputs<'_>,
    layout: &Layout,
    networks: &Networks,
    door: &Door,
    gate: GateSteps,
    files_there: [usize; 2],
    ready: &[usize],
    draft: &mut Draft,
) -> Result<()> {
    let (image, info) = inputs
        .images
        .agent
        .as_ref()
        .ok_or_else(|| missing("agent"))?;
    let config = &inputs.config.agent;
    let command = inputs.command.as_ref().unwrap_or(&config.command);
    let real = real_command("the agent", info, &[], command)?;
    let name = inputs.task.resource(Role::Agent);
    let mut spec = bare(inputs, Role::Agent, name.clone(), image.to_string());
    let workdir = config
        .workdir
        .clone()
        .unwrap_or_else(|| "/workspace".to_owned());
    let (uid, gid) = inputs.owner;
    spec.user = Some(
        config
            .user
            .clone()
            .unwrap_or_else(|| format!("{uid}:{gid}")),
    );
    spec.env.clone_from(&config.env);
    for (name, value) in config.name.iter().flat_map(|agent| agent.traits().env) {
        let entry = spec.env.entry((*name).to_owned());
        entry.or_insert_with(|| (*value).to_owned());
    }
    spec.env
        .entry("AGENTNET_TASK".to_owned())
        .or_insert_with(|| inputs.task.task.to_string());
    spec.read_only = config.read_only;
    spec.stdin_open = true;
    spec.mounts.extend(files(inputs, &workdir));
    if inputs.files.contains_key(ISSUE) {
        spec.mounts.push(Mount::Bind {
            source: inputs.directory.join(ISSUE),
            target: ISSUE_FILE.to_owned(),
            writable: false,
        });
        spec.env
            .insert("AGENTNET_ISSUE".to_owned(), ISSUE_FILE.to_owned());
    }
    if layout.proxy.is_some() {
        spec.mounts.push(Mount::Bind {
            source: inputs.directory.join("ssh.conf"),
            target: SSH_CONFIG.to_owned(),
            writable: false,
        });
    }
    spec.workdir = Some(workdir);
    let wanted = Wanted {
        memory: config.memory,
        cpus: config.cpus,
        pids: config.pids,
        nofile: config.nofile,
        memlock: None,
        shm: config.shm,
        disk: config.disk,
    };
    spec.limits = limits(Role::Agent, wanted, inputs.facts);
    spec.mounts
        .splice(0..0, memory(config.read_only, &[], &spec.limits));
    spec.gpus = config.gpus.map(|gpus| gpus.0);
    for (name, value) in told(&spec.limits, Some(disk(inputs.config))) {
        if !info.env.contains_key(&name) {
            spec.env.entry(name).or_insert(value);
        }
    }
    let aliases = vec!["agent".to_owned()];
    fenced(
        inputs,
        layout,
        door,
        &mut spec,
        layout.agent_place,
        aliases,
        info,
        real,
    );
    handover::give(inputs, &mut spec);
    let given = handover::steps(inputs, draft);
    spool::give(inputs, &mut spec);
    let heard = spool::step(inputs, draft);
    // What the user sets himself stays.
    let mut told = inputs.passwords.agent(&inputs.config.services);
    told.retain(|name, _| !config.env.contains_key(name));
    spec.secret_env.append(&mut told);
    let addresses = layout.addresses(inputs, layout.agent_place);
    let mut there = Place::of(&spec, Role::Agent, networks_of(&spec), addresses);
    if inputs.workspace.is_in_volumes() {
        let workdir = spec.workdir.clone().unwrap_or_default();
        there.volumes = vec![workdir, GIT.to_owned()];
    }
    draft.places.push(there);
    let mut before = networks.inner();
    before.extend(&door.created);
    before.push(gate.volume);
    before.extend(files_there);
    before.extend(given);
    before.extend(heard);
    before.extend(super::seed::layer(inputs, &mut spec, draft)?);
    let created = draft.add(Step::Container(spec), &before);
    let mut before = vec![created, gate.filled];
    before.extend(&door.started);
    before.extend(networks.guarded());
    before.extend(ready);
    draft.add(
        Step::Start {
            container: name,
            role: Role::Agent,
        },
        &before,
    );
    Ok(())
}

/// The task's files, with `.git` covered: nothing that a tool on the host reads as git's
/// configuration can be written from inside.
fn files(inputs: &Inputs<'_>, workdir: &str) -> Vec<Mount> {
    let target = format!("{workdir}/.git");
    let mut mounts = vec![inputs.workspace.mount(workdir, true)];
    let gitfile = || Mount::Bind {
        source: inputs.directory.join("gitfile"),
        target: target.clone(),
        writable: false,
    };
    match inputs.workspace {
        // In a volume no tool of the host finds what is there.
        Workspace::Worktree { git, .. } if git.volume.is_some() => {
            mounts.extend(git.mounts(&inputs.directory, true));
        }
        Workspace::Worktree { git, .. } => {
            mounts.push(gitfile());
            let modules = git.all_modules().into_iter();
            mounts.extend(modules.map(|module| module.cover(&inputs.directory, workdir)));
            mounts.extend(git.mounts(&inputs.directory, true));
        }
        Workspace::Directory { git, .. } => match git {
            GitEntry::None => {}
            GitEntry::File => mounts.push(gitfile()),
            GitEntry::Directory => {
                mounts.push(Mount::Memory {
                    target: target.clone(),
                    size: None,
                });
            }
        },
    }
    mounts
}
