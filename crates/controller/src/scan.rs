//! What an agent left in its tree that tools of a person's run or obey: an editor that opens the tree, a
//! prompt that runs git there, a shell that reads `.envrc` (THREATS W38). Nothing is judged: what is new
//! or changed since the task began is listed, to be looked at first.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::Result;
use crate::extractor::{Extractor, Job};
use crate::workspace::Workspace;

/// The shell function `planted`, for scripts after `open.sh`.
pub(crate) const SCRIPT: &str = include_str!("scan/scan.sh");

/// Who runs or obeys a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Obeyed {
    /// agentnet itself, once it is in your checkout.
    Agentnet,
    /// Another agent, on the host.
    Agent,
    /// What builds development containers.
    Container,
    /// An editor.
    Editor,
    /// git: attributes choose filters, modules name addresses.
    Git,
    /// Whatever installs hooks.
    Hook,
    /// Whoever follows it: it leads out of the tree.
    Link,
    /// git, in a directory that is a repository of its own.
    Repository,
    /// A shell that enters the directory.
    Shell,
}

/// One thing to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Planted {
    /// Who runs or obeys it.
    pub by: Obeyed,
    /// Where it is, below the tree; safe to print.
    pub path: String,
}

impl Obeyed {
    fn read(word: &str) -> Option<Obeyed> {
        Some(match word {
            "agentnet" => Obeyed::Agentnet,
            "agent" => Obeyed::Agent,
            "container" => Obeyed::Container,
            "editor" => Obeyed::Editor,
            "git" => Obeyed::Git,
            "hook" => Obeyed::Hook,
            "link" => Obeyed::Link,
            "repository" => Obeyed::Repository,
            "shell" => Obeyed::Shell,
            _ => return None,
        })
    }

    /// For a person.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Obeyed::Agentnet => "settings of agentnet",
            Obeyed::Agent => "settings of an agent",
            Obeyed::Container => "a development container",
            Obeyed::Editor => "settings of an editor",
            Obeyed::Git => "settings of git",
            Obeyed::Hook => "a hook",
            Obeyed::Link => "a link out of the tree",
            Obeyed::Repository => "a repository inside",
            Obeyed::Shell => "run by a shell that enters",
        }
    }
}

impl Planted {
    /// A line of the script: what, a tab, where. `None`: nonsense.
    pub(crate) fn read(line: &str) -> Option<Planted> {
        let (word, path) = line.split_once('\t')?;
        let path: String = path.chars().filter(|c| !c.is_control()).take(200).collect();
        Some(Planted {
            by: Obeyed::read(word)?,
            path,
        })
    }

    /// The same of a tree that is at a place of another.
    fn below(self, place: &Path) -> Planted {
        let path = place.join(&self.path).display().to_string();
        let path = path.chars().filter(|c| !c.is_control()).collect();
        Planted { path, ..self }
    }
}

/// One sentence, or nothing.
#[must_use]
pub fn sentence(planted: &[Planted]) -> Option<String> {
    const SHOWN: usize = 8;
    if planted.is_empty() {
        return None;
    }
    let list = planted.iter().take(SHOWN);
    let list: Vec<_> = list
        .map(|p| format!("{} ({})", p.path, p.by.as_str()))
        .collect();
    let more = match planted.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    Some(format!(
        "look at these before you open, run or merge them, the task wrote them and tools obey them: {}{more}",
        list.join(", ")
    ))
}

/// What is new or changed in a worktree's task since it began, submodules and all; at most a hundred of each.
pub async fn scan<E: Engine>(
    extractor: &Extractor<'_, E>,
    workspace: &Workspace,
) -> Result<Option<Vec<Planted>>> {
    let Workspace::Worktree {
        base, git, branch, ..
    } = workspace
    else {
        return Ok(None);
    };
    let mut found = of(extractor, base).await?;
    for module in git.all_modules() {
        let inside = of(&extractor.in_module(module, branch), &module.base).await?;
        found.extend(
            inside
                .into_iter()
                .map(|planted| planted.below(&module.path)),
        );
    }
    Ok(Some(sorted(found.into_iter())))
}

async fn of<E: Engine>(extractor: &Extractor<'_, E>, since: &str) -> Result<Vec<Planted>> {
    let script = format!("{SCRIPT}\nplanted \"$1\"");
    let job = Job::git("looking at what the task left", &script).arguments([since]);
    let output = extractor.capture(job).await?;
    let text = String::from_utf8_lossy(&output);
    Ok(text.lines().filter_map(Planted::read).collect())
}

/// In order, each once.
pub(crate) fn sorted(planted: impl Iterator<Item = Planted>) -> Vec<Planted> {
    let set: std::collections::BTreeSet<_> = planted.collect();
    set.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_word_and_a_path_that_moves_no_cursor() {
        let planted = Planted::read("shell\tsub/.envrc\u{1b}[2J").unwrap();
        assert_eq!(
            (planted.by, planted.path.as_str()),
            (Obeyed::Shell, "sub/.envrc[2J")
        );
        for nonsense in ["", "shell", "what\tx"] {
            assert_eq!(Planted::read(nonsense), None);
        }
    }

    #[test]
    fn a_sentence_names_the_first_and_counts_the_rest() {
        assert_eq!(sentence(&[]), None);
        let all: Vec<_> = (0..10)
            .map(|n| Planted {
                by: Obeyed::Hook,
                path: format!("h{n}"),
            })
            .collect();
        let text = sentence(&all).unwrap();
        assert!(text.contains("h7 (a hook) and 2 more"), "{text}");
    }
}
