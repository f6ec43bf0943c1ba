//! What to do, from what was seen. Pure tables.

use agentnet_gate::clients::{Override, Program};
use agentnet_policy::event::Text;
use agentnet_policy::{Host, Reason};

use crate::decisions::{Blocked, Way};
use crate::task::Slug;

/// What a kind of program needs beside the variables that all take.
struct Tool {
    /// Names of its processes.
    names: &'static [&'static str],
    /// The variables that it reads.
    reads: &'static [&'static str],
    advice: &'static str,
}

const COMMON: &[&str] = &["https_proxy", "http_proxy"];

const TOOLS: &[Tool] = &[
    Tool {
        names: &[
            "node",
            "npm",
            "npx",
            "yarn",
            "pnpm",
            "node-MainThread",
            "claude",
            "codex",
            "gemini",
            "tsx",
            "next-server",
        ],
        reads: &["https_proxy", "http_proxy", "NODE_USE_ENV_PROXY"],
        advice: "Node reads the variables from 22.21 and 24 on, with NODE_USE_ENV_PROXY=1; an older one needs a proxy agent in the program",
    },
    Tool {
        names: &["java", "gradle", "mvn", "kotlin", "scala", "sbt"],
        reads: &["JAVA_TOOL_OPTIONS"],
        advice: "a JVM reads only JAVA_TOOL_OPTIONS, or -Dhttps.proxyHost and -Dhttps.proxyPort; a Gradle daemon keeps what it was started with: gradle --stop",
    },
    Tool {
        names: &["ssh", "scp", "sftp", "git-remote-ssh"],
        reads: &["GIT_SSH_COMMAND"],
        advice: "ssh reads no variable: put `ProxyCommand /agentnet/bin/agentnet-gate connect -- '%h' %p` into ~/.ssh/config, and the host with `:22 raw` into the whitelist",
    },
    Tool {
        names: &["git"],
        reads: &["https_proxy", "http_proxy", "GIT_SSH_COMMAND"],
        advice: "git reads https_proxy, and GIT_SSH_COMMAND for ssh",
    },
    Tool {
        names: &["python", "python3", "pytest", "uvicorn", "gunicorn"],
        reads: COMMON,
        advice: "Python's urllib, requests and httpx read the variables; aiohttp only with trust_env=True",
    },
    Tool {
        names: &["go"],
        reads: COMMON,
        advice: "Go's http.DefaultTransport reads the variables; an own Transport needs Proxy: http.ProxyFromEnvironment",
    },
];

fn tool(name: &str) -> Option<&'static Tool> {
    let whole = |tool: &&Tool| tool.names.contains(&name);
    // `python3.12`, `node-18`.
    let version = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'));
    TOOLS
        .iter()
        .find(whole)
        .or_else(|| TOOLS.iter().find(|tool| tool.names.contains(&version)))
}

/// The tool in a `User-Agent`: its first product.
fn of_agent(agent: &str) -> Option<&'static Tool> {
    let product = agent.split(['/', ' ']).next()?;
    tool(&product.to_ascii_lowercase())
}

/// What to do about a program that was started without the variables; `None` where it needs none of
/// those that it lacks.
pub(super) fn of_program(program: &Program) -> Option<String> {
    let known = tool(program.name.as_str());
    let reads = known.map_or(COMMON, |tool| tool.reads);
    let lacks: Vec<_> = program
        .without
        .iter()
        .map(Text::as_str)
        .filter(|name| reads.contains(name))
        .collect();
    let mut sentences = Vec::new();
    if !lacks.is_empty() {
        sentences.push(format!(
            "start it with {} as the container has {}",
            lacks.join(", "),
            if lacks.len() == 1 { "it" } else { "them" }
        ));
        sentences.extend(known.map(|tool| tool.advice.to_owned()));
    }
    if program.no_proxy.is_some() {
        sentences.push("unset its no_proxy, or leave in it only the task's services".to_owned());
    }
    (!sentences.is_empty()).then(|| sentences.join("; "))
}

/// What to do about a setting that wins over the variables.
pub(super) fn of_override(found: &Override) -> String {
    format!(
        "remove line {} of {}: {} obeys it before the variables",
        found.line, found.file, found.tool
    )
}

/// What to do about a host.
pub(super) fn of_host(task: &Slug, seen: &Blocked) -> Vec<String> {
    let mut advice = Vec::new();
    let around: u64 = seen
        .ways
        .iter()
        .filter(|(way, _)| way.is_around())
        .map(|(_, count)| count)
        .sum();
    if around > 0 && seen.refused {
        let asked_dns = seen.ways.iter().any(|(way, _)| *way == Way::Dns);
        advice.push(format!(
            "a program that does not ask the proxy wanted it{}: give it https_proxy and http_proxy, or see below who lacks them",
            if asked_dns { " and asked the DNS, which knows permitted names only" } else { "" }
        ));
    }
    advice.extend(
        seen.agents
            .iter()
            .filter(|_| around > 0)
            .filter_map(|agent| of_agent(agent.as_str()))
            .map(|tool| tool.advice.to_owned()),
    );
    advice.extend(of_reason(task, seen));
    advice
}

fn of_reason(task: &Slug, seen: &Blocked) -> Option<String> {
    let by = seen.rule.as_deref();
    let named = match Host::parse(seen.host.as_str()) {
        // One that begins like a flag would be read as one.
        Ok(Host::Name(name)) if !name.as_str().starts_with('-') => Some(name.as_str().to_owned()),
        Ok(_) | Err(_) => None,
    };
    let allow = |target: &str| {
        format!(
            "if the task should reach it: agentnet allow {task} {target} (--save also writes the line `{target}` into the project's whitelist)"
        )
    };
    Some(match seen.reason {
        Reason::NotListed | Reason::PortNotListed | Reason::MethodNotListed | Reason::PathNotListed => {
            match (named, seen.port) {
                (Some(name), 80 | 443) if seen.reason == Reason::NotListed => allow(&name),
                (Some(name), 22) => format!(
                    "SSH needs a line with the port and the word raw in .agentnet/whitelist.txt: {name}:22 raw"
                ),
                (Some(name), port) => format!(
                    "{}; what is not TLS there needs the word raw behind it, in .agentnet/whitelist.txt",
                    allow(&format!("{name}:{port}"))
                ),
                (None, _) => "an address needs a line of its own in .agentnet/whitelist.txt (docs/policy.md); better give the program a name".to_owned(),
            }
        }
        Reason::RuleDenied => format!(
            "a line refuses it, and a deny beats every allow: {}",
            by.unwrap_or("see agentnet whitelist")
        ),
        Reason::PrivateAddress => "its name leads to a private address: the word private behind its line in .agentnet/whitelist.txt opens it, if it is meant".to_owned(),
        Reason::NotTls => "what was sent there is not TLS: the word raw behind its line in .agentnet/whitelist.txt lets it pass".to_owned(),
        Reason::BudgetSpent => format!(
            "the bytes that may be sent there are spent: raise up= in {}",
            by.unwrap_or("its line")
        ),
        Reason::ResolveFailed => "it is permitted, but the name has no address: look at its spelling, and at the DNS of the engine's host".to_owned(),
        Reason::ConnectFailed | Reason::TimedOut | Reason::UpstreamFailed => {
            "it is permitted, but did not answer: look whether it is up, and at the engine host's own way out".to_owned()
        }
        Reason::PolicyChanged => "its tunnel was ended because the whitelist changed".to_owned(),
        Reason::SniMismatch | Reason::SniMissing | Reason::EchRefused | Reason::HostMismatch => {
            "the program names another host inside than outside, or none: ask for the host by its name".to_owned()
        }
        Reason::BadRequest | Reason::UpgradeNotListed | Reason::Loop => seen
            .sentence
            .as_ref()
            .map_or_else(|| seen.reason.clause().to_owned(), ToString::to_string),
        Reason::AuthRequired | Reason::ClientNotAllowed | Reason::TooManyConnections => {
            seen.reason.clause().to_owned()
        }
        Reason::Allowed => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decisions::Blocks;
    use crate::decisions::made::{asked, denied};
    use agentnet_policy::event::{Event, Protocol};

    fn program(name: &str, without: &[&str]) -> Option<String> {
        of_program(&Program {
            name: name.into(),
            count: 1,
            without: without.iter().map(|name| (*name).into()).collect(),
            no_proxy: None,
        })
    }

    fn host(event: &Event) -> String {
        let mut blocks = Blocks::default();
        blocks.add(event);
        of_host(&"t".parse().unwrap(), &blocks.hosts()[0]).join("\n")
    }

    #[test]
    fn a_program_is_blamed_for_the_variables_that_it_reads() {
        assert_eq!(program("curl", &[]), None);
        assert_eq!(program("curl", &["NODE_USE_ENV_PROXY"]), None);
        assert_eq!(
            program("curl", &["https_proxy"]).unwrap(),
            "start it with https_proxy as the container has it"
        );
        assert!(program("java", &["https_proxy"]).is_none());
        assert!(
            program("java", &["JAVA_TOOL_OPTIONS"])
                .unwrap()
                .contains("gradle --stop")
        );
        let python = program("python3.12", &["https_proxy", "http_proxy"]).unwrap();
        assert!(
            python.contains("them") && python.contains("trust_env"),
            "{python}"
        );
        assert!(
            program("ssh", &["GIT_SSH_COMMAND"])
                .unwrap()
                .contains("ProxyCommand")
        );
        let direct = Program {
            name: "curl".into(),
            count: 1,
            without: Vec::new(),
            no_proxy: Some("*".into()),
        };
        assert!(of_program(&direct).unwrap().contains("no_proxy"));
    }

    #[test]
    fn advice_names_the_line_that_would_help() {
        assert!(host(&denied("a.example", 1)).contains("agentnet allow t a.example ("));
        let other_port = Event {
            port: 8443,
            ..denied("a.example", 1)
        };
        assert!(host(&other_port).contains("agentnet allow t a.example:8443"));
        let ssh = Event {
            port: 22,
            ..denied("git.example", 1)
        };
        assert!(host(&ssh).contains("git.example:22 raw"));
        let failed = Event {
            reason: Reason::ResolveFailed,
            ..denied("typo.example", 1)
        };
        assert!(host(&failed).contains("has no address"));
    }

    #[test]
    fn nothing_that_is_not_a_name_stands_in_a_command() {
        for hostile in ["$(reboot)", "a;b", "10.0.0.1", "", "a b", "-x.example"] {
            let advice = host(&denied(hostile, 1));
            assert!(!advice.contains("agentnet allow"), "{hostile:?}: {advice}");
        }
    }

    #[test]
    fn who_goes_around_is_named_by_its_way_and_its_own_word() {
        assert!(host(&asked("a.example", 1)).contains("asked the DNS"));
        let door = Event {
            protocol: Protocol::Http,
            transparent: true,
            agent: Some("node/18".into()),
            ..denied("a.example", 1)
        };
        let advice = host(&door);
        assert!(
            advice.contains("22.21") && !advice.contains("asked the DNS"),
            "{advice}"
        );
        let through = Event {
            agent: Some("node/18".into()),
            ..denied("a.example", 1)
        };
        assert!(!host(&through).contains("22.21"));
    }

    #[test]
    fn every_reason_has_something_to_say() {
        for reason in Reason::ALL {
            let advice = host(&Event {
                reason: *reason,
                ..denied("a.example", 1)
            });
            assert!(*reason == Reason::Allowed || !advice.is_empty(), "{reason}");
        }
    }
}
