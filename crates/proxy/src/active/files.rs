//! Whitelist files: read, hashed, compiled.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use agentnet_policy::{
    BuiltinPresets, Layer, LoadOptions, Loaded, Mode, Problem, Severity, Source, load,
};

use crate::settings::WhitelistFile;

/// Largest whitelist file. 100,000 rules are about 3 MiB.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Reads every file, or says which cannot be read. A missing file of the task layer is empty: it
/// comes into being with the first grant.
pub(super) fn read(files: &[WhitelistFile]) -> Result<Vec<Source>, Vec<Problem>> {
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    for WhitelistFile { path, layer } in files {
        let name = path.display().to_string();
        match read_bounded(path) {
            Ok(text) => sources.push(Source {
                name,
                layer: *layer,
                text,
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && *layer == Layer::Task => {
                sources.push(Source {
                    name,
                    layer: *layer,
                    text: String::new(),
                });
            }
            Err(error) => problems.push(Problem {
                file: name,
                line: 0,
                word: None,
                what: format!("the file cannot be read: {error}"),
                fix: None,
                severity: Severity::Error,
            }),
        }
    }
    if problems.is_empty() {
        Ok(sources)
    } else {
        Err(problems)
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other("it is larger than 64 MiB"));
    }
    Ok(text)
}

/// Reads and compiles whitelist files as the running proxy does.
///
/// # Errors
/// With everything that is wrong.
pub fn compile_files(files: &[WhitelistFile], mode: Mode) -> Result<Loaded, Vec<Problem>> {
    compile(&read(files)?, mode)
}

pub(super) fn compile(sources: &[Source], mode: Mode) -> Result<Loaded, Vec<Problem>> {
    load(sources, &BuiltinPresets, LoadOptions { mode })
        .map_err(|problems| problems.iter().cloned().collect())
}

pub(super) fn fingerprint(sources: &[Source]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for source in sources {
        source.name.hash(&mut hasher);
        source.text.hash(&mut hasher);
    }
    hasher.finish()
}

pub(super) fn fingerprint_of(problems: &[Problem]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for problem in problems {
        problem.to_string().hash(&mut hasher);
    }
    hasher.finish()
}
