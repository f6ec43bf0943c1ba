//! The tests that the documentation names are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(directory: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(directory).unwrap();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files(&path, ending, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == ending)
        {
            found.push(path);
        }
    }
}

/// Every test: the names of its file and of the directories above it, and its own.
fn tests() -> BTreeSet<(Vec<String>, String)> {
    let mut sources = Vec::new();
    for directory in ["crates", "tests/tests"] {
        files(&root().join(directory), "rs", &mut sources);
    }
    let mut tests = BTreeSet::new();
    for source in sources {
        let modules: Vec<String> = source
            .with_extension("")
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        let mut attribute = false;
        for line in std::fs::read_to_string(&source).unwrap().lines() {
            let line = line.trim();
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                attribute = true;
            }
            // As `on_engines!` has them.
            attribute |= line.starts_with('[') && line.contains("] fn ");
            let Some((_, name)) = line.split_once("fn ").filter(|_| attribute) else {
                continue;
            };
            let end = name.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            let name = name.get(..end.unwrap_or(name.len())).unwrap();
            tests.insert((modules.clone(), name.to_owned()));
            attribute = false;
        }
    }
    tests
}

/// What a page names: `module::test`, of a table's last column also `a_test_alone`.
fn named(line: &str) -> Vec<&str> {
    let last = line.rsplit(" | ").next().filter(|_| line.starts_with('|'));
    let is_name = |text: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:…".contains(c);
        let test = text.rsplit("::").next().unwrap();
        text.chars().all(plain) && (test == "tests" || test.ends_with('…') || test.contains('_'))
    };
    let quoted = |text| str::split(text, '`').skip(1).step_by(2);
    let paths = quoted(line).filter(|text| !text.starts_with(':') && text.contains("::"));
    let alone = last.into_iter().flat_map(quoted);
    let alone = alone.filter(|text| text.matches('_').count() > 2 && !text.contains("::"));
    paths.chain(alone).filter(|text| is_name(text)).collect()
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let tests = tests();
    let is_there = |name: &str| {
        let mut modules: Vec<&str> = name.split("::").collect();
        let test = modules.pop().unwrap();
        let fits = |known: &[String]| {
            // `filter` is short for `tinyproxy_filter`.
            let is = |known: &str, module: &str| {
                known == module || known.ends_with(&format!("_{module}"))
            };
            let has = |module: &&str| known.iter().any(|known| is(known, module));
            modules.iter().filter(|module| **module != "tests").all(has)
        };
        tests
            .iter()
            .any(|(known, found)| match test.strip_suffix('…') {
                Some(start) => fits(known) && found.starts_with(start),
                // A module of tests.
                None if test == "tests" => fits(known),
                None => fits(known) && found == test,
            })
    };
    let mut pages = Vec::new();
    files(&root().join("docs"), "md", &mut pages);
    let (mut count, mut missing) = (0, Vec::new());
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            for name in named(line) {
                count += 1;
                if !is_there(name) {
                    missing.push(format!("{}:{number}: {name}", page.display()));
                }
            }
            let quoted = line.split('`').skip(1).step_by(2);
            let is_source = |text: &&str| text.ends_with(".rs") && text.contains("/tests/");
            for path in quoted
                .filter(is_source)
                .filter(|path| path.starts_with("crates/"))
            {
                if !root().join(path).exists() {
                    missing.push(format!("{}:{number}: {path}", page.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count > 120, "{count}");
    assert!(!is_there("hostile::refuses_what_nobody_sent"));
    assert!(!is_there("hostile::tells_its_version_and_help"));
}
