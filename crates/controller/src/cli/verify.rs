//! `agentnet verify`

mod rendering;

use agentnet_gate::Outcome;

use super::Format;
use super::context::Context;
use crate::config::Mode;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::Color;
use crate::task::Slug;
use crate::verify::{Before, Proof, prove};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The task
    task: Slug,
    /// A destination that the whitelist allows: shows that it works
    #[arg(long, value_name = "HOST:PORT")]
    allowed: Option<String>,
    /// A line a topic instead of every row; leaks are still named one by one
    #[arg(long)]
    brief: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) async fn verify(context: &Context, args: Args) -> Result<u8> {
    let (id, record) = context.find_up(&args.task)?;
    let engine = context.engine_of(&record)?;
    let allowed = args.allowed.as_deref();
    let proof = prove(&engine, &context.state, &record, allowed, Before::AnyTime).await?;
    proof.write(&context.state.task(&id))?;
    if context.output.json {
        context.output.json(&proof)?;
    } else {
        print(context, &proof, args.brief)?;
    }
    Ok(if proof.sealed { Exit::Ok } else { Exit::Leak }.code())
}

fn print(context: &Context, proof: &Proof, brief: bool) -> Result<()> {
    let table = if brief {
        rendering::brief(proof)
    } else {
        rendering::full(proof)
    };
    context.output.data(&table)?;
    let (color, word) = match (proof.mode, proof.sealed) {
        (Mode::Full, _) => (Color::Red, "NOT FENCED: network full was asked for"),
        (Mode::None | Mode::Limited, true) => (Color::Green, "sealed"),
        (Mode::None | Mode::Limited, false) => (Color::Red, "NOT SEALED"),
    };
    let word = context.output.paint(color, word);
    let count = |outcome| {
        proof
            .rows
            .iter()
            .filter(|row| row.outcome == outcome)
            .count()
    };
    let mut tally = format!("{} rows proven", proof.proven());
    for (outcome, words) in [
        (Outcome::Leak, "open"),
        (Outcome::Broken, "could not be proven"),
        (Outcome::Skipped, "not applicable"),
    ] {
        if count(outcome) > 0 {
            tally.push_str(&format!(", {} {words}", count(outcome)));
        }
    }
    context
        .output
        .data(&format!("\ntask {} is {word}: {tally}\n", proof.task))
}
