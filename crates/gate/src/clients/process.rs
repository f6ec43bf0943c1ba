//! The processes of the container, and what they were started with.

use std::collections::BTreeMap;
use std::path::Path;

use agentnet_policy::event::Text;

use super::{Program, names, read, shown};

/// Processes that are looked at.
const MOST_PROCESSES: usize = 512;

/// What the controller tells a container's programs of the proxy (`environment.rs` there). One of
/// each pair is enough.
const WIRING: [(&str, &str); 5] = [
    ("https_proxy", "HTTPS_PROXY"),
    ("http_proxy", "HTTP_PROXY"),
    ("NODE_USE_ENV_PROXY", "NODE_USE_ENV_PROXY"),
    ("JAVA_TOOL_OPTIONS", "JAVA_TOOL_OPTIONS"),
    ("GIT_SSH_COMMAND", "GIT_SSH_COMMAND"),
];

/// The programs that run, and whether there are more than were looked at.
pub(super) fn programs(proc: &Path, own: &impl Fn(&str) -> Option<String>) -> (Vec<Program>, bool) {
    let mut found: BTreeMap<(Text, Vec<Text>, Option<Text>), u32> = BTreeMap::new();
    let mut looked = 0;
    for directory in names(proc, usize::MAX) {
        let number = directory.file_name().and_then(|name| name.to_str());
        let Some(number) = number.and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if number == std::process::id() {
            continue;
        }
        if looked == MOST_PROCESSES {
            return (told(found), true);
        }
        looked += 1;
        // Another user's, or one that has just ended.
        let Some(environment) = read(&directory.join("environ")) else {
            continue;
        };
        let Some(name) = read(&directory.join("comm")) else {
            continue;
        };
        let (without, no_proxy) = differs(&environment, own);
        let name = Text::new(String::from_utf8_lossy(&name).trim_end());
        let count = found.entry((name, without, no_proxy)).or_default();
        *count = count.saturating_add(1);
    }
    (told(found), false)
}

fn told(found: BTreeMap<(Text, Vec<Text>, Option<Text>), u32>) -> Vec<Program> {
    let program = |((name, without, no_proxy), count)| Program {
        name,
        count,
        without,
        no_proxy,
    };
    found.into_iter().map(program).collect()
}

/// Where an environment says something else of the proxy than the container's does.
fn differs(environment: &[u8], own: &impl Fn(&str) -> Option<String>) -> (Vec<Text>, Option<Text>) {
    let value = |name: &str| {
        environment.split(|byte| *byte == 0).find_map(|entry| {
            let rest = entry.strip_prefix(name.as_bytes())?;
            rest.strip_prefix(b"=").map(String::from_utf8_lossy)
        })
    };
    let mut without = Vec::new();
    for (name, twin) in WIRING {
        let Some(expected) = own(name).or_else(|| own(twin)) else {
            continue;
        };
        // An empty one says that there is no proxy, whatever its twin says.
        let there = value(name).or_else(|| value(twin));
        if there.is_none_or(|there| there != expected) {
            without.push(Text::new(name));
        }
    }
    let direct = value("no_proxy").or_else(|| value("NO_PROXY"));
    let expected = own("no_proxy").or_else(|| own("NO_PROXY"));
    let other = direct.filter(|direct| expected.as_deref().is_none_or(|own| own != direct));
    (without, other.map(|direct| shown(&direct)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn own(name: &str) -> Option<String> {
        let value = match name {
            "https_proxy" | "HTTPS_PROXY" | "http_proxy" | "HTTP_PROXY" => "http://10.213.0.1:8888",
            "NODE_USE_ENV_PROXY" => "1",
            "no_proxy" => "localhost",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn process(proc: &Path, number: u32, name: &str, environment: &str) {
        let directory = proc.join(number.to_string());
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("comm"), format!("{name}\n")).unwrap();
        fs::write(directory.join("environ"), environment.replace(' ', "\0")).unwrap();
    }

    #[test]
    fn processes_without_the_variables_are_told_by_name_and_counted() {
        let proc = tempfile::tempdir().unwrap();
        let wired = "https_proxy=http://10.213.0.1:8888 HTTP_PROXY=http://10.213.0.1:8888 NODE_USE_ENV_PROXY=1 no_proxy=localhost";
        process(proc.path(), 1, "sleep", wired);
        process(proc.path(), 7, "node", "PATH=/bin");
        process(proc.path(), 8, "node", "PATH=/bin");
        process(
            proc.path(),
            9,
            "e\u{1b}vil",
            &wired.replace("https_proxy", "https_proxyx"),
        );
        process(
            proc.path(),
            10,
            "curl",
            &format!("{wired} no_proxy=*").replace("no_proxy=localhost ", ""),
        );
        fs::create_dir(proc.path().join("sys")).unwrap();
        let (programs, more) = programs(proc.path(), &own);
        let lines: Vec<_> = programs
            .iter()
            .map(|p| format!("{} {} {:?} {:?}", p.name, p.count, p.without, p.no_proxy))
            .collect();
        assert_eq!(
            lines,
            [
                "curl 1 [] Some(\"*\")",
                "e\u{fffd}vil 1 [\"https_proxy\"] None",
                "node 2 [\"https_proxy\", \"http_proxy\", \"NODE_USE_ENV_PROXY\"] None",
                "sleep 1 [] None",
            ]
        );
        assert!(!more);
    }

    #[test]
    fn more_processes_than_it_looks_at_are_said() {
        let proc = tempfile::tempdir().unwrap();
        for number in 1_000_000..1_000_513 {
            process(proc.path(), number, "x", "");
        }
        let (programs, more) = programs(proc.path(), &own);
        assert!(more);
        assert_eq!(programs[0].count, 512);
    }
}
