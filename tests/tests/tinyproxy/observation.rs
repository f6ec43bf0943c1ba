//! What was seen from outside, as named words that can be compared.

use std::collections::BTreeMap;

use agentnet_e2e::recorder::Seen;
use agentnet_e2e::wire::Answer;

/// Field names and what they said.
pub(crate) type Observation = BTreeMap<String, String>;

/// Fields that say when or how long, not what.
const UNCOMPARED: [&str; 2] = ["date", "content-length"];

/// The answer that a client got. `prefix` is empty, or `tunnel:` for what came through one.
pub(crate) fn answer(prefix: &str, answer: &Answer) -> Observation {
    let mut seen = Observation::new();
    let mut put = |key: &str, value: &str| {
        if !value.is_empty() {
            let old: &mut String = seen.entry(format!("{prefix}{key}")).or_default();
            let comma = if old.is_empty() { "" } else { ", " };
            *old = format!("{old}{comma}{value}");
        }
    };
    put("status", &answer.status.to_string());
    put("version", &answer.version);
    put("phrase", &answer.phrase);
    put("body", &answer.body);
    put("ended", answer.ended);
    for (name, value) in &answer.fields {
        if !UNCOMPARED.contains(&name.as_str()) {
            put(&format!("field:{name}"), value);
        }
    }
    seen
}

/// What reached a recorder, which is called `who`.
pub(crate) fn recorded(who: &str, seen: &[Seen]) -> Observation {
    let mut observation = Observation::new();
    for (index, seen) in seen.iter().enumerate() {
        let prefix = match index {
            0 => who.to_owned(),
            _ => format!("{who}+{index}"),
        };
        let mut put = |key: &str, value: &str| {
            let old: &mut String = observation.entry(format!("{prefix}:{key}")).or_default();
            let comma = if old.is_empty() { "" } else { ", " };
            *old = format!("{old}{comma}{value}");
        };
        put("through", &seen.through);
        put("line", &seen.line);
        put("peer", &seen.peer.ip().to_string());
        if !seen.body.is_empty() {
            put("body", &seen.body);
        }
        for (name, value) in &seen.fields {
            put(&name.to_ascii_lowercase(), value);
        }
    }
    observation
}

/// A log file in Tinyproxy's form: how often each thing was said, without time, process and descriptors. What is said at
/// INFO is about the program's own steps and not compared.
pub(crate) fn log(text: &str) -> Observation {
    let mut counts = BTreeMap::<String, usize>::new();
    for line in text.lines() {
        let (level, message) = match line.split_once("]: ") {
            Some((head, message)) => (head.split(' ').next().unwrap_or_default(), message),
            None => ("unknown", line),
        };
        // Said or not, as the signal that ends the program finds it.
        if level != "INFO" && !message.starts_with("relay_connection: poll() error") {
            *counts
                .entry(format!("{level}: {}", without_descriptors(message)))
                .or_default() += 1;
        }
    }
    counts
        .into_iter()
        .map(|(line, count)| (line, count.to_string()))
        .collect()
}

fn without_descriptors(message: &str) -> String {
    let mut words = Vec::new();
    let mut number_next = false;
    for word in message.split(' ') {
        let digits = word.trim_matches(|c: char| !c.is_ascii_digit());
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        words.push(if number_next && is_number {
            word.replace(digits, "N")
        } else {
            word.to_owned()
        });
        number_next = word.starts_with("descriptor");
    }
    words.join(" ")
}
