//! `agentnet-notify` inside a container: sends alerts to whoever watches the task's spool, and waits
//! for answers.
//!
//! The bridge on the host is another program. This half is in the gate because the gate is what every
//! container has, whatever its image: small, static and mounted read-only.

mod answer;
mod hook;
mod kind;
mod order;
mod spool;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use clap::Parser;

pub use answer::{Answer, LONGEST_ANSWER};
pub use kind::{Kind, KindError};
pub use order::{LONGEST_CHOICE, MOST_CHOICES, Order};
pub use spool::{DIRECTORY, LONGEST_ALERT, VARIABLE};

use hook::Hook;
use order::{Ask, Send};
use spool::Spool;

/// Nobody answered in time; as timeout(1) has it.
pub const TIMED_OUT: u8 = 124;
/// There is no spool: notifications are off, or this is no task's container.
pub const NO_SPOOL: u8 = 3;
/// It could not be written.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const DONE: u8 = 0;
/// The name under which the gate is this program and nothing else.
const NAME: &str = "agentnet-notify";

/// Whether the gate was called by the sender's name.
pub(crate) fn is_called(arguments: &[OsString]) -> bool {
    let name = arguments.first().map(Path::new).and_then(Path::file_name);
    name.is_some_and(|name| name == NAME)
}

#[derive(Parser, Debug)]
#[command(name = "agentnet-notify", version, max_term_width = 100)]
/// Tells people something, and asks them, through the task's spool
struct Cli {
    #[command(subcommand)]
    order: Order,
}

/// The whole program, as containers have it.
pub(crate) fn main(arguments: &[OsString]) -> u8 {
    match Cli::try_parse_from(arguments) {
        Ok(cli) => run(&cli.order),
        Err(error) => {
            drop(error.print());
            if error.use_stderr() { USAGE } else { DONE }
        }
    }
}

/// Why an order was not carried out: with what code to exit, and what to say.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    code: u8,
    sentence: String,
}

impl Failure {
    fn new(sentence: impl fmt::Display) -> Self {
        Self {
            code: FAILED,
            sentence: sentence.to_string(),
        }
    }
}

/// Carries an order out; the code to exit with.
#[must_use]
pub fn run(order: &Order) -> u8 {
    let spool = || Spool::find(std::env::var_os(VARIABLE));
    let done = match order {
        Order::Send(order) => spool().and_then(|spool| send(&spool, order)),
        Order::Ask(order) => spool().and_then(|spool| ask(&spool, order)),
        Order::Hook(order) => {
            // Whatever goes wrong here is not the agent's business: it goes on.
            if let (Ok(spool), Some((kind, text))) =
                (spool(), order.tells(&mut io::stdin(), Hook::is_of_run()))
            {
                drop(spool.leave(kind, &text, &[]));
            }
            Ok(())
        }
    };
    match done {
        Ok(()) => DONE,
        Err(failure) => {
            let sentence = crate::table::visible(&failure.sentence);
            drop(writeln!(io::stderr(), "agentnet-notify: {sentence}"));
            failure.code
        }
    }
}

fn send(spool: &Spool, order: &Send) -> Result<(), Failure> {
    spool.leave(order.kind, &order.text(), &[]).map(drop)
}

fn ask(spool: &Spool, order: &Ask) -> Result<(), Failure> {
    order.check().map_err(|sentence| Failure {
        code: USAGE,
        sentence,
    })?;
    let id = spool.leave(Kind::Clarification, &order.text(), &order.choices)?;
    let Some(answer) = answer::wait(spool, &id, order.timeout) else {
        let unread = spool.take_back(&id);
        let seconds = order.timeout.as_secs();
        let sentence = match unread {
            true => format!(
                "nobody answered within {seconds} s: nothing reads alerts on the host; start `agentnet-notify watch` there"
            ),
            false => format!("nobody answered within {seconds} s"),
        };
        return Err(Failure {
            code: TIMED_OUT,
            sentence,
        });
    };
    // The place, not the words: what comes back was cleaned for a screen.
    let choice = order.choices.get(answer.choice).ok_or_else(|| {
        Failure::new("the answer is none of the choices; is agentnet-notify on the host newer?")
    })?;
    writeln!(io::stdout(), "{choice}").map_err(|e| Failure::new(format_args!("{choice}: {e}")))
}
