//! `agentnet doctor`

mod task;

use serde::Serialize;

use super::Format;
use super::context::Context;
use crate::config::{Config, FILE, Fence};
use crate::credentials::overriding;
use crate::engine::Engine;
use crate::engine::bollard::BollardEngine;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::facts::{Facts, LinkFacts, Version};
use crate::output::{Color, table};
use crate::plan::choose_fence;
use crate::task::Slug;
use crate::workspace::Repository;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Look at this task instead: what its programs did not get to, who goes around the proxy, and what to do
    task: Option<Slug>,
    #[command(flatten)]
    pub(super) format: Format,
}

/// How a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Good,
    /// Works, with a risk that has a name.
    Unsafe,
    /// Does not work.
    Broken,
}

#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    what: &'static str,
    detail: String,
    fix: Option<String>,
}

fn good(what: &'static str, detail: impl Into<String>) -> Finding {
    Finding {
        level: Level::Good,
        what,
        detail: detail.into(),
        fix: None,
    }
}

fn bad(level: Level, what: &'static str, detail: impl Into<String>, fix: &str) -> Finding {
    Finding {
        level,
        what,
        detail: detail.into(),
        fix: Some(fix.to_owned()),
    }
}

pub(super) async fn doctor(context: &Context, args: Args) -> Result<u8> {
    if let Some(task) = &args.task {
        return task::doctor(context, task).await;
    }
    let endpoint = context.endpoint();
    let mut findings = Vec::new();
    let facts = async { BollardEngine::new(&endpoint)?.facts().await };
    let mut facts_found = None;
    match facts.await {
        Ok(facts) => {
            findings.extend(about_engine(&facts));
            facts_found = Some(facts);
        }
        Err(e) => {
            let fix = e.hint().unwrap_or_default();
            findings.push(bad(Level::Broken, "engine", e.to_string(), &fix));
        }
    }
    findings.extend(login(context).await);
    findings.push(git().await);
    findings.push(good("state", context.state.root().display().to_string()));
    if context.output.json {
        let value = serde_json::json!({ "v": 1, "findings": findings, "facts": facts_found });
        context.output.json(&value)?;
    } else {
        print(context, &findings)?;
    }
    let broken = findings
        .iter()
        .any(|finding| finding.level == Level::Broken);
    Ok(if broken { Exit::Engine } else { Exit::Ok }.code())
}

fn print(context: &Context, findings: &[Finding]) -> Result<()> {
    let rows: Vec<_> = findings
        .iter()
        .map(|finding| {
            let word = match finding.level {
                Level::Good => "ok",
                Level::Unsafe => "UNSAFE",
                Level::Broken => "BROKEN",
            };
            vec![
                word.to_owned(),
                finding.what.to_owned(),
                finding.detail.clone(),
            ]
        })
        .collect();
    context
        .output
        .data(&table(&["", "WHAT", "DETAIL"], &rows))?;
    let fixes: Vec<_> = findings
        .iter()
        .filter_map(|f| f.fix.as_ref().map(|fix| format!("  {}: {fix}\n", f.what)))
        .collect();
    if !fixes.is_empty() {
        let head = context.output.paint(Color::Yellow, "how to fix it:");
        context
            .output
            .data(&format!("\n{head}\n{}", fixes.concat()))?;
    }
    Ok(())
}

fn about_engine(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![good(
        "engine",
        format!("{} at {}", facts.name(), facts.endpoint),
    )];
    found.push(fence(facts));
    found.push(versions(facts));
    if let Some(runc) = &facts.runc {
        found.push(self::runc(runc));
    }
    found.push(if facts.forwarding {
        good(
            "forwarding",
            "the host forwards IPv4, so the proxy has a way out",
        )
    } else {
        bad(
            Level::Broken,
            "forwarding",
            "the host does not forward IPv4: the proxy reaches nothing",
            "sysctl -w net.ipv4.ip_forward=1, and make it last in /etc/sysctl.d",
        )
    });
    found.push(if facts.seccomp {
        good("seccomp", "the engine's system call filter is on")
    } else {
        bad(
            Level::Unsafe,
            "seccomp",
            "the engine runs containers without a system call filter",
            "start the engine with its default seccomp profile",
        )
    });
    found.push(limits(facts));
    if let Some(finding) = link(facts.link) {
        found.push(finding);
    }
    if !facts.local {
        found.push(bad(
            Level::Broken,
            "place",
            "the engine is not on this machine, and a task's files are mounted from here",
            "use an engine with a unix socket",
        ));
    }
    if facts.rootless {
        found.push(good(
            "rootless",
            "root in a container is your own user outside",
        ));
    }
    if facts.remaps_users {
        found.push(good(
            "users",
            "mapped (userns-remap): a task's files are in volumes, not in a directory of yours",
        ));
    }
    found
}

fn fence(facts: &Facts) -> Finding {
    match choose_fence(None, facts) {
        Ok(Fence::Network) => good("fence", "network: an isolated network for each task"),
        Ok(Fence::Socket) => good(
            "fence",
            "socket: loopback and a unix socket for each task; services share one address \
             (an isolated network needs Docker 28 and rp_filter)",
        ),
        Err(e) => bad(Level::Broken, "fence", e.to_string(), ""),
    }
}

/// Versions with published ways out of what a container may do.
fn versions(facts: &Facts) -> Finding {
    let floor = Version(28, 3);
    match (facts.product.as_str(), Version::parse(&facts.version)) {
        ("Docker", Some(version)) if version < floor => bad(
            Level::Unsafe,
            "version",
            format!(
                "{} is older than 28.3.3: a firewall reload can drop the isolation between ordinary \
                 networks (CVE-2025-54388, CVE-2025-54410)",
                facts.name()
            ),
            "install Docker 28.3.3 or newer",
        ),
        _ => good("version", facts.name()),
    }
}

fn runc(text: &str) -> Finding {
    let old = match Version::parse(text) {
        Some(version) if version < Version(1, 2) => true,
        Some(Version(1, minor @ (2 | 3))) => {
            let patch = text
                .split(['.', '-', '+'])
                .nth(2)
                .and_then(|p| p.parse::<u32>().ok());
            patch.is_some_and(|patch| patch < if minor == 2 { 8 } else { 3 })
        }
        Some(_) | None => false,
    };
    if old {
        return bad(
            Level::Unsafe,
            "runc",
            format!("runc {text} has mount races (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881)"),
            "install runc 1.2.8, 1.3.3 or newer",
        );
    }
    good("runc", text)
}

fn limits(facts: &Facts) -> Finding {
    let missing: Vec<_> = [
        (facts.limits.memory, "memory"),
        (facts.limits.cpus, "CPUs"),
        (facts.limits.pids, "processes"),
    ]
    .into_iter()
    .filter_map(|(there, name)| (!there).then_some(name))
    .collect();
    if missing.is_empty() {
        return good("limits", "memory, CPUs and processes can be limited");
    }
    bad(
        Level::Unsafe,
        "limits",
        format!("the engine cannot limit {}", missing.join(", ")),
        "enable the cgroup controllers for the engine",
    )
}

fn link(link: LinkFacts) -> Option<Finding> {
    match link {
        LinkFacts::Filtered => Some(good("rp_filter", "on")),
        LinkFacts::CanFilter => Some(good(
            "rp_filter",
            "off; agentnet turns it on for its own bridges",
        )),
        LinkFacts::Unfiltered => Some(bad(
            Level::Unsafe,
            "rp_filter",
            "off: datagrams from an isolated network would reach the host, so the socket fence is used",
            "sysctl -w net.ipv4.conf.default.rp_filter=2, and make it last in /etc/sysctl.d",
        )),
        LinkFacts::Unknown => None,
    }
}

/// In a checkout: a key in the task's environment that would make its login useless.
async fn login(context: &Context) -> Option<Finding> {
    let here = std::env::current_dir().ok()?;
    let repository = Repository::find(&here, &context.state).await.ok()?;
    let config = Config::load(&repository.root().join(FILE)).ok()?;
    if !config.credentials.login {
        return None;
    }
    let variables = config.agent.env.keys().chain(&config.credentials.env);
    Some(match overriding(config.agent.name, variables) {
        Some((agent, name)) => bad(
            Level::Unsafe,
            "login",
            format!(
                "{name} is in the task's environment, and {agent} then does not look at its login"
            ),
            "remove one of the two from agentnet.toml",
        ),
        None => good(
            "login",
            "no key in the environment overrides the agent's login",
        ),
    })
}

async fn git() -> Finding {
    let output = tokio::process::Command::new("git")
        .arg("--version")
        .output()
        .await;
    match output {
        Ok(output) if output.status.success() => good(
            "git",
            String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        ),
        Ok(_) | Err(_) => bad(
            Level::Broken,
            "git",
            Error::Git {
                doing: "--version".into(),
                why: "it does not run".into(),
            }
            .to_string(),
            "install git",
        ),
    }
}
