//! Where a setting was said: a flag, a variable, or a line of the file.

use toml::de::{DeArray, DeTable, DeValue};

use super::Problem;
use crate::environment::{Environment, PREFIX};

/// What was said where: it finds the place of a problem that names only its setting.
#[derive(Debug)]
pub struct Origins<'a> {
    /// The settings that stand on the command line.
    pub flags: &'a [String],
    /// The variables.
    pub environment: &'a dyn Environment,
    /// The file's name and text, if it is TOML.
    pub file: Option<(&'a str, &'a str)>,
}

impl Origins<'_> {
    /// The problem with where its setting was said, in the order in which one wins over the other. A
    /// problem that has its place, or whose setting nobody said, is as it was.
    #[must_use]
    pub fn locate(&self, problem: Problem) -> Problem {
        let Problem { place, what } = problem;
        let (listener, key) = match place.split_once(", ") {
            Some((listener, key)) => (listener.strip_prefix("listener "), key),
            None => (place.strip_prefix("listener "), place.as_str()),
        };
        if listener.is_none() && self.flags.iter().any(|flag| flag == key) {
            return Problem::new(format!("--{}", key.replace('_', "-")), what);
        }
        let variable = format!("{PREFIX}{}", key.to_ascii_uppercase());
        let is_set = |variable: &str| {
            self.environment
                .get(variable)
                .is_some_and(|value| !value.is_empty())
        };
        if listener.is_none() && is_set(&variable) {
            return Problem::new(variable, what);
        }
        let line = self.file.and_then(|(name, text)| {
            let line = line_of(text, listener, key)?;
            Some(format!("{name}:{line}: {place}"))
        });
        Problem::new(line.unwrap_or(place), what)
    }
}

/// The line of a key, or of the whole table of a listener where the key is not said.
fn line_of(text: &str, listener: Option<&str>, key: &str) -> Option<usize> {
    let whole = DeTable::parse(text).ok()?;
    let top = whole.get_ref();
    let start = match listener {
        None => position(top, key)?,
        Some(number) => {
            let (_, listeners) = top.iter().find(|(name, _)| name.get_ref() == "listener")?;
            let DeValue::Array(listeners) = listeners.get_ref() else {
                return None;
            };
            nth(listeners, number.parse().ok()?, key)?
        }
    };
    Some(1 + text.get(..start)?.matches('\n').count())
}

fn nth(listeners: &DeArray<'_>, number: usize, key: &str) -> Option<usize> {
    let listener = listeners.get(number.checked_sub(1)?)?;
    let DeValue::Table(table) = listener.get_ref() else {
        return None;
    };
    Some(position(table, key).unwrap_or(listener.span().start))
}

fn position(table: &DeTable<'_>, key: &str) -> Option<usize> {
    // `client` is written `clients` as well.
    let is_it = |name: &str| name == key || name.strip_suffix('s') == Some(key);
    let (name, _) = table.iter().find(|(name, _)| is_it(name.get_ref()))?;
    Some(name.span().start)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const FILE: &str = "\
mode = \"x\"\nclients = []\n\n[[listener]]\nname = \"a\"\nlisten = [\"127.0.0.1:1\"]\n\n\
[[listener]]\nlisten = [\n  \"nonsense\",\n]\n";

    fn located(flags: &[&str], variables: &[(&str, &str)], place: &str) -> String {
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let variables: BTreeMap<String, String> = variables
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let origins = Origins {
            flags: &flags,
            environment: &variables,
            file: Some(("p.toml", FILE)),
        };
        origins.locate(Problem::new(place, "is wrong")).to_string()
    }

    #[test]
    fn names_the_place_that_won() {
        let variable = [("AGENTNET_MODE", "x")];
        assert_eq!(located(&["mode"], &variable, "mode"), "--mode: is wrong");
        let said = located(&["max_connections"], &variable, "max_connections");
        assert_eq!(said, "--max-connections: is wrong");
        assert_eq!(located(&[], &variable, "mode"), "AGENTNET_MODE: is wrong");
        let empty = [("AGENTNET_MODE", "")];
        assert_eq!(located(&[], &empty, "mode"), "p.toml:1: mode: is wrong");
        assert_eq!(located(&[], &[], "client"), "p.toml:2: client: is wrong");
    }

    #[test]
    fn names_the_line_of_a_listener() {
        let flags = ["listen", "name"];
        let said = |place| located(&flags, &[], place);
        assert_eq!(
            said("listener 1, name"),
            "p.toml:5: listener 1, name: is wrong"
        );
        assert_eq!(
            said("listener 2, listen"),
            "p.toml:9: listener 2, listen: is wrong"
        );
        assert_eq!(
            said("listener 2, mode"),
            "p.toml:8: listener 2, mode: is wrong"
        );
    }

    #[test]
    fn leaves_alone_what_nobody_said_there() {
        for place in ["log", "w.txt:3", "listener 9, name", "UPSTREAM_HTTP"] {
            assert_eq!(located(&[], &[], place), format!("{place}: is wrong"));
        }
    }
}
