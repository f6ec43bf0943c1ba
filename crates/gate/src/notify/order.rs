//! What `agentnet-notify` is told on its command line, inside a container.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::hook::Hook;
use super::kind::Kind;

/// Most answers that a question can offer.
pub const MOST_CHOICES: usize = 4;
/// Longest of them, in characters: it is a button.
pub const LONGEST_CHOICE: usize = 40;
/// Longest that anybody waits.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// What is to be done.
#[derive(Subcommand, Debug)]
pub enum Order {
    /// Tell people something: exit 0 when it lies in the spool, 3 where there is none
    Send(Send),
    /// Ask people and wait: print what they chose and exit 0; 124 when nobody did in time, 3 where there is no spool
    Ask(Ask),
    /// What an agent's own program calls: tells what it says happened, and always exits 0
    #[command(hide = true)]
    Hook(Hook),
}

/// `send`
#[derive(Args, Debug)]
pub struct Send {
    /// complete, error, clarification, info or test
    #[arg(value_name = "KIND")]
    pub(super) kind: Kind,
    /// What to say; people see its first 256 characters
    #[arg(required = true, value_name = "TEXT")]
    words: Vec<String>,
}

/// `ask`
#[derive(Args, Debug)]
pub struct Ask {
    /// The question
    #[arg(required = true, value_name = "TEXT")]
    words: Vec<String>,
    /// Up to four answers to choose from, with commas between them, each of at most 40 characters
    #[arg(long, required = true, value_delimiter = ',', value_parser = choice, value_name = "A,B")]
    pub(super) choices: Vec<String>,
    /// How long to wait: 90s, 10m, 2h; a day at most
    #[arg(long, default_value = "10m", value_parser = span, value_name = "TIME")]
    pub(super) timeout: Duration,
}

impl Send {
    pub(super) fn text(&self) -> String {
        self.words.join(" ")
    }
}

impl Ask {
    pub(super) fn text(&self) -> String {
        self.words.join(" ")
    }

    /// What clap cannot see, because it sees one choice at a time.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.choices.len() {
            0..=MOST_CHOICES => Ok(()),
            many => Err(format!(
                "{many} choices; a question has at most {MOST_CHOICES}"
            )),
        }
    }
}

fn choice(text: &str) -> Result<String, String> {
    let text = text.trim();
    let visible = text.chars().any(|c| !c.is_whitespace() && !c.is_control());
    if visible && text.chars().count() <= LONGEST_CHOICE {
        Ok(text.to_owned())
    } else {
        Err(format!("write 1 to {LONGEST_CHOICE} characters"))
    }
}

fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and s, m or h, as 90s or 10m; 24h at most".to_owned();
    let (number, seconds) = [("s", 1), ("m", 60), ("h", 3600)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let span = number.checked_mul(seconds).map(Duration::from_secs);
    span.filter(|span| *span <= LONGEST_WAIT).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser, Debug)]
    struct Cli {
        #[command(subcommand)]
        order: Order,
    }

    fn parse(words: &[&str]) -> Result<Order, clap::Error> {
        let words = ["agentnet-notify"].iter().chain(words);
        Cli::try_parse_from(words).map(|cli| cli.order)
    }

    #[test]
    fn a_text_of_several_words_needs_no_quotes_and_may_begin_with_a_hyphen_behind_two() {
        let Order::Send(send) = parse(&["send", "error", "--", "-v", "failed"]).unwrap() else {
            panic!("not send");
        };
        assert_eq!(
            (send.kind, send.text().as_str()),
            (Kind::Error, "-v failed")
        );
    }

    #[test]
    fn an_unknown_kind_is_told_the_five_and_blocked_is_none_of_them() {
        let error = parse(&["send", "done", "x"]).unwrap_err().to_string();
        assert!(
            error.contains("complete, error, clarification, info, test"),
            "{error}"
        );
        let error = parse(&["send", "blocked", "x"]).unwrap_err().to_string();
        assert!(error.contains("the proxy's own side"), "{error}");
    }

    #[test]
    fn choices_and_times_are_bounded() {
        let ask = |choices: &str, timeout: &str| {
            parse(&["ask", "Which?", "--choices", choices, "--timeout", timeout])
        };
        let Ok(Order::Ask(order)) = ask("yes, no ,1,2", "2h") else {
            panic!("not ask");
        };
        assert_eq!(order.choices, ["yes", "no", "1", "2"]);
        assert_eq!(order.timeout, Duration::from_secs(7200));
        assert_eq!(order.check(), Ok(()));
        let Ok(Order::Ask(order)) = ask("1,2,3,4,5", "1s") else {
            panic!("not ask");
        };
        assert!(order.check().is_err());
        let long = "a".repeat(LONGEST_CHOICE + 1);
        for (choices, timeout) in [
            (long.as_str(), "1s"),
            ("", "1s"),
            ("a,,b", "1s"),
            ("a", "10"),
            ("a", "25h"),
            ("a", "-1s"),
            ("a", "99999999999999999999h"),
            ("a", "18446744073709551615h"),
        ] {
            assert!(ask(choices, timeout).is_err(), "{choices} {timeout}");
        }
    }
}
