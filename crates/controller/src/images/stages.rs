//! The stages of a Dockerfile that a target needs. The classic builder runs every stage that stands
//! before its target, so it is sent no other.

/// One stage: its lines, its name and what it begins from.
struct Stage<'a> {
    lines: Vec<&'a str>,
    name: &'a str,
    from: String,
}

/// The Dockerfile with nothing but the stage of that name, last, and the stages that it stands on.
/// `preset` is what `${PRESET}` says. `None`: there is no such stage.
///
/// For Dockerfiles of ours: it knows no continued `FROM` and no `COPY --from`.
pub(super) fn only(dockerfile: &str, target: &str, preset: &str) -> Option<String> {
    let mut head = Vec::new();
    let mut stages: Vec<Stage<'_>> = Vec::new();
    for line in dockerfile.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        if let ["FROM", from, "AS", name] = words.as_slice() {
            stages.push(Stage {
                lines: vec![line],
                name,
                from: from.replace("${PRESET}", preset),
            });
        } else if let Some(stage) = stages.last_mut() {
            stage.lines.push(line);
        } else {
            head.push(line);
        }
    }
    let mut wanted = target;
    let mut needed = Vec::new();
    while let Some(stage) = stages.iter().find(|stage| stage.name == wanted) {
        if needed.contains(&stage.name) {
            return None;
        }
        needed.push(stage.name);
        wanted = &stage.from;
    }
    if needed.is_empty() {
        return None;
    }
    let kept = stages.iter().filter(|stage| needed.contains(&stage.name));
    let lines = head
        .into_iter()
        .chain(kept.flat_map(|stage| stage.lines.iter().copied()));
    Some(lines.map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::super::AGENT_DOCKERFILE;
    use super::*;
    use crate::agents::Agent;
    use crate::config::Preset;

    fn names(dockerfile: &str) -> Vec<String> {
        let froms = dockerfile
            .lines()
            .filter_map(|line| line.strip_prefix("FROM "));
        froms
            .map(|from| from.split(" AS ").nth(1).unwrap().to_owned())
            .collect()
    }

    #[test]
    fn every_agent_stands_on_every_preset_and_on_nothing_else() {
        for preset in Preset::ALL {
            for agent in Agent::ALL {
                let text = only(AGENT_DOCKERFILE, agent.as_str(), preset.as_str()).unwrap();
                let names = names(&text);
                assert_eq!(names.first().map(String::as_str), Some("minimal"), "{text}");
                assert_eq!(names.last().map(String::as_str), Some(agent.as_str()));
                assert!(names.contains(&preset.to_string()), "{preset}: {names:?}");
                assert!(names.len() <= 4, "{names:?}");
                assert!(text.starts_with('#') && text.contains("ARG PRESET=minimal"));
            }
        }
    }

    #[test]
    fn what_is_not_there_or_goes_in_circles_has_no_stages() {
        assert_eq!(only("FROM x AS a\n", "b", ""), None);
        assert_eq!(only("FROM b AS a\nFROM a AS b\n", "a", ""), None);
    }
}
