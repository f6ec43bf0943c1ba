//! The text of a compose file as one tree: what `docker compose config` prints, as YAML or as JSON.

use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, Options};

/// Compose prints each value where it is used: whatever stands for another is not its work, and could be a bomb.
const ALIASES: usize = 0;

/// Reads it. An error says line and column, and what is wrong there.
pub(super) fn read(text: &str) -> Result<Value, String> {
    // A JSON file is told in JSON's words.
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|e| format!("is no JSON: {e}"));
    }
    let mut options = Options::default();
    options.with_snippet = false;
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    options.duplicate_keys = DuplicateKeyPolicy::Error;
    options.merge_keys = MergeKeyPolicy::Error;
    if let Some(budget) = &mut options.budget {
        budget.max_aliases = ALIASES;
        budget.max_documents = 1;
    }
    serde_saphyr::from_str_with_options(text, options).map_err(|e| {
        let place = e.location().map_or_else(String::new, |at| {
            format!("line {} column {}: ", at.line(), at.column())
        });
        format!("{place}{}", one_line(&e.to_string()))
    })
}

/// In one sentence, whatever the library makes of it.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_is_read_as_compose_means_it() {
        let text = "name: shop\nservices:\n  db:\n    image: postgres:17\n    cpus: 1.5\n    mem_limit: \"1073741824\"\n    \
                    read_only: true\n    environment:\n      A: yes\n      B: \"true\"\n      C: 0123\n      D: null\n      \
                    E: |-\n        two\n        lines\n    expose:\n      - \"5432\"\n    command: null\nvolumes: {}\n";
        let expected = json!({
            "name": "shop",
            "services": { "db": {
                "image": "postgres:17", "cpus": 1.5, "mem_limit": "1073741824", "read_only": true,
                "environment": { "A": "yes", "B": "true", "C": "0123", "D": null, "E": "two\nlines" },
                "expose": ["5432"], "command": null,
            } },
            "volumes": {},
        });
        assert_eq!(read(text), Ok(expected.clone()));
        assert_eq!(read(&expected.to_string()), Ok(expected));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        for (text, line) in [
            ("services:\n  db:\n   image: [\n", "line "),
            ("services:\n  db: {}\n  db: {}\n", "line 3"),
            ("services:\n\tdb: {}\n", "line 2"),
            ("{\n\"services\": [\n", "line 3"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(line) && !why.contains('\n'), "{why}");
        }
    }

    #[test]
    fn nothing_stands_for_another_and_so_nothing_explodes() {
        let mut bomb = "a0: &a0 [x, x]\n".to_owned();
        for level in 1..40 {
            let before = level - 1;
            bomb.push_str(&format!("a{level}: &a{level} [*a{before}, *a{before}]\n"));
        }
        assert!(read(&bomb).is_err());
        assert!(read("a: &a {b: 1}\nc:\n  <<: *a\n").is_err());
        assert!(read("a: 1\n---\nb: 2\n").is_err());
        let deep = "[".repeat(100_000);
        assert!(read(&deep).is_err());
    }
}
