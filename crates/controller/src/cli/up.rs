//! `agentnet up`

mod options;

use serde::Serialize;

pub(super) use self::options::Options;
use super::Format;
use super::context::Context;
use crate::config::{Mode, WHITELIST};
use crate::credentials::overriding;
use crate::error::Result;
use crate::exit::Exit;
use crate::facts::Facts;
use crate::output::{Color, Progress};
use crate::plan::{Place, Plan};
use crate::policy::effect;
use crate::ssh_agent;
use crate::up::{Setup, Up, dry_run, up as bring_up};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) options: Options,
    #[command(flatten)]
    pub(super) format: Format,
    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// What the agent container runs, instead of its image's command
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

pub(super) async fn up(context: &Context, args: Args) -> Result<u8> {
    let begun = std::time::Instant::now();
    let open = args.options.open;
    let setup = args.options.setup(context, args.command).await?;
    let engine = context.engine()?;
    let progress = Progress::new(context.output);
    if args.dry_run {
        let (plan, facts) = dry_run(&engine, &context.state, &setup, &progress).await?;
        progress.finish();
        print_plan(context, &plan, &facts)?;
        return Ok(Exit::Ok.code());
    }
    let cancel = context.interrupts()?;
    let up = Box::pin(bring_up(
        &engine,
        &context.state,
        &setup,
        &cancel,
        &progress,
    ))
    .await?;
    progress.finish();
    context.watch_disks(&[&up.record]);
    warn(context, &up);
    if let Some(sentence) = ssh_agent::unreachable(&engine, &up.record).await {
        context.output.warn(&sentence);
    }
    for warning in setup.layers.load()?.warnings {
        context.output.say(&warning.to_string());
    }
    warn_of_agent(context, &setup)?;
    print(context, &setup, &up, begun.elapsed())?;
    if let Some(editor) = open {
        editor.open(context, &up.record.workspace)?;
    }
    Ok(Exit::Ok.code())
}

/// Nothing is allowed that nobody wrote down: an agent whose model cannot be reached is said.
pub(super) fn warn_of_agent(context: &Context, setup: &Setup) -> Result<()> {
    let Some(agent) = setup.config.agent.name else {
        return Ok(());
    };
    let given = &setup.handover;
    let variables = setup.config.agent.env.keys().chain(given.secrets.keys());
    if given.login.is_some()
        && let Some((agent, name)) = overriding(Some(agent), variables)
    {
        context.output.warn(&format!(
            "{name} is in the task's environment: {agent} does not look at its login"
        ));
    }
    let traits = agent.traits();
    let (Some(host), Some(preset)) = (traits.host, traits.preset) else {
        return Ok(());
    };
    // Somebody else's address for the model is somebody else's line in the whitelist.
    let elsewhere = |name: &String| name.ends_with("_BASE_URL");
    if setup.config.agent.env.keys().any(elsewhere) {
        return Ok(());
    }
    let limited = matches!(setup.config.network.mode, None | Some(Mode::Limited));
    let policy = setup.layers.load()?.policy;
    if limited && effect(&policy, host).is_some_and(|(allowed, _)| !allowed) {
        context.output.warn(&format!(
            "{agent} cannot reach its model: {host} is not in the whitelist; a line {preset} in \
             {WHITELIST} allows what {agent} needs"
        ));
    }
    Ok(())
}

fn print_plan(context: &Context, plan: &Plan, facts: &Facts) -> Result<()> {
    if context.output.json {
        return context
            .output
            .json(&serde_json::json!({ "v": 1, "plan": plan, "facts": facts }));
    }
    let fence = plan
        .fence
        .map_or_else(|| "none".to_owned(), |fence| fence.to_string());
    context.output.data(&format!(
        "task {} on {}, network {}, fence {fence}\n{}",
        plan.task,
        facts.name(),
        plan.mode,
        plan.describe()
    ))
}

/// What must be heard, whoever brought the task up.
pub(super) fn warn(context: &Context, up: &Up) {
    if up.cleaned {
        context
            .output
            .say("removed what an interrupted run of this task had left");
    }
    if up.record.mode == Mode::Full {
        context.output.warn(
            "network full: NOTHING is fenced; the agent reaches the internet, this machine and \
             its neighbours directly",
        );
    }
    for sentence in up.record.places.iter().flat_map(Place::widened) {
        context.output.warn(&sentence);
    }
    if up.record.workspace.is_in_volumes() {
        let task = &up.record.task.task;
        context.output.say(&format!(
            "the engine maps users (userns-remap): the task's files are in {} and not in a directory of yours; agentnet \
             shell {task} looks at them, agentnet sync {task} brings commits to {}, agentnet results {task} DIR brings \
             the rest, and agentnet down {task} saves it",
            up.record.workspace.whereabouts(),
            up.record.workspace.branch().unwrap_or_default(),
        ));
        if !up.record.notify {
            context.output.say(
                "its agent has no spool for alerts: only root can give a directory to a mapped user",
            );
        }
    }
    if up.facts.rootless {
        context
            .output
            .say("the engine is rootless: root in the containers is your own user outside");
    }
}

#[derive(Serialize)]
struct Summary<'a> {
    v: u8,
    seconds: f64,
    #[serde(flatten)]
    record: &'a crate::record::Record,
    proof: &'a crate::verify::Proof,
}

fn print(context: &Context, setup: &Setup, up: &Up, took: std::time::Duration) -> Result<()> {
    let (record, proof) = (&up.record, &up.proof);
    if context.output.json {
        let seconds = took.as_secs_f64();
        return context.output.json(&Summary {
            v: 1,
            seconds,
            record,
            proof,
        });
    }
    let task = &record.task;
    let fence = match (record.mode, record.fence) {
        (Mode::Full, _) => context.output.paint(Color::Red, "NOT FENCED"),
        (_, Some(fence)) => {
            let sealed = context.output.paint(Color::Green, "sealed");
            format!("{fence} fence, {sealed} ({} rows proven)", proof.proven())
        }
        (_, None) => format!(
            "no network, {}",
            context.output.paint(Color::Green, "sealed")
        ),
    };
    let rules = setup.layers.load()?.policy.rules().len();
    let rules = match rules {
        0 => "nothing is allowed yet: agentnet allow, or .agentnet/whitelist.txt".to_owned(),
        1 => "1 rule".to_owned(),
        n => format!("{n} rules"),
    };
    let mut lines = vec![
        format!("task {task} is up in {:.1} s", took.as_secs_f64()),
        format!("  fence      {fence}"),
        format!("  files      {}", record.workspace.whereabouts()),
    ];
    if let Some(branch) = record.workspace.branch() {
        lines.push(format!("  branch     {branch}"));
    }
    if let Some(clone) = record.workspace.clone_note() {
        lines.push(format!("  clone      {clone}"));
    }
    if record.mode == Mode::Limited {
        lines.push(format!("  whitelist  {rules}"));
    }
    for name in setup.config.services.keys() {
        lines.push(format!("  service    {name}"));
    }
    lines.push(String::new());
    lines.push(format!("  agentnet shell {task}            a shell in it"));
    if let Some(agent) = record.agent {
        lines.push(format!("  agentnet shell {task} --agent    {agent} in it"));
    }
    lines.push(format!(
        "  agentnet logs {task} --events    what its proxy decided"
    ));
    lines.push(format!("  agentnet down {task}             take it down"));
    context.output.data(&format!("{}\n", lines.join("\n")))
}
