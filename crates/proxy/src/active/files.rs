//! Whitelist files: read, hashed, compiled.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use agentnet_policy::{
    BuiltinPresets, Layer, LoadOptions, Loaded, Mode, PresetFiles, Problem, Severity, Source, load,
};

use crate::settings::{WhitelistFile, has_directives};
use crate::text_file;

/// Largest whitelist file. 100,000 rules are about 3 MiB.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The most files of a directory of presets.
const MAX_PRESETS: usize = 1000;

/// Reads every file, or says which cannot be read. A missing file of the task layer is empty: it
/// comes into being with the first grant. The files of the directory of presets are the sources of
/// the preset layer.
pub(super) fn read(
    files: &[WhitelistFile],
    presets: Option<&Path>,
) -> Result<Vec<Source>, Vec<Problem>> {
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    if let Some(directory) = presets {
        read_presets(directory, &mut sources, &mut problems);
    }
    for WhitelistFile { path, layer } in files {
        let name = path.display().to_string();
        match text_file::text(path, MAX_BYTES) {
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
            Err(error) => {
                problems.push(problem(name, format!("the file cannot be read: {error}")));
            }
        }
    }
    if problems.is_empty() {
        Ok(sources)
    } else {
        Err(problems)
    }
}

fn problem(file: String, what: String) -> Problem {
    Problem {
        file,
        line: 0,
        word: None,
        what,
        fix: None,
        severity: Severity::Error,
    }
}

/// Every `NAME.txt` of the directory. Hidden files and other endings are editors' business; a
/// `.txt` that no `@name` can mean is an error, because somebody believes that it counts.
fn read_presets(directory: &Path, sources: &mut Vec<Source>, problems: &mut Vec<Problem>) {
    let listed = std::fs::read_dir(directory).and_then(|entries| {
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        names.take(MAX_PRESETS * 2).collect::<Result<Vec<_>, _>>()
    });
    let mut names = match listed {
        Ok(names) => names,
        Err(error) => {
            let what = format!("the directory of presets cannot be read: {error}");
            return problems.push(problem(directory.display().to_string(), what));
        }
    };
    names.retain(|name| {
        let bytes = name.as_encoded_bytes();
        bytes.ends_with(b".txt") && !bytes.starts_with(b".")
    });
    // The order of the directory is nobody's.
    names.sort();
    if names.len() > MAX_PRESETS {
        let what = format!("the directory has more than {MAX_PRESETS} presets");
        return problems.push(problem(directory.display().to_string(), what));
    }
    for name in names {
        let path = directory.join(&name);
        let place = path.display().to_string();
        if name.to_str().and_then(PresetFiles::name_of).is_none() {
            let what = "is not the file of a preset: name it with small letters, digits and hyphens before .txt";
            problems.push(problem(place, what.to_owned()));
            continue;
        }
        match text_file::text(&path, MAX_BYTES) {
            Ok(text) => sources.push(Source {
                name: place,
                layer: Layer::Preset,
                text,
            }),
            Err(error) => {
                problems.push(problem(place, format!("the file cannot be read: {error}")));
            }
        }
    }
}

/// Whitelist files as they are, and the presets that they can include.
///
/// # Errors
/// When a file or the directory of presets cannot be read.
pub fn sources(
    files: &[WhitelistFile],
    presets: Option<&Path>,
) -> Result<(Vec<Source>, PresetFiles), Vec<Problem>> {
    Ok(split(&read(files, presets)?))
}

/// The presets of a directory over the built-in ones.
///
/// # Errors
/// When the directory or a file in it cannot be read.
pub fn presets_of(directory: Option<&Path>) -> Result<PresetFiles, Vec<Problem>> {
    Ok(split(&read(&[], directory)?).1)
}

/// The sources that are in force by themselves, and those that are included by name.
fn split(sources: &[Source]) -> (Vec<Source>, PresetFiles) {
    let (presets, files): (Vec<&Source>, Vec<&Source>) = sources
        .iter()
        .partition(|source| source.layer == Layer::Preset);
    let named = presets.into_iter().filter_map(|source| {
        let file = Path::new(&source.name).file_name()?.to_str()?;
        Some((PresetFiles::name_of(file)?.to_owned(), source.clone()))
    });
    (
        files.into_iter().cloned().collect(),
        PresetFiles::new(named),
    )
}

/// Reads and compiles whitelist files as the running proxy does.
///
/// # Errors
/// With everything that is wrong.
pub fn compile_files(
    files: &[WhitelistFile],
    presets: Option<&Path>,
    mode: Mode,
) -> Result<Loaded, Vec<Problem>> {
    let options = LoadOptions {
        mode,
        ..LoadOptions::default()
    };
    compile(&read(files, presets)?, options)
}

pub(super) fn compile(sources: &[Source], options: LoadOptions) -> Result<Loaded, Vec<Problem>> {
    let (files, presets) = split(sources);
    load(&files, &presets, options).map_err(|problems| {
        let mut problems: Vec<Problem> = problems.iter().cloned().collect();
        for file in files.iter().filter(|file| has_directives(&file.text)) {
            problems.retain(|problem| problem.file != file.name);
            let name = &file.name;
            let what = format!(
                "is a tinyproxy.conf and no whitelist: serve, check and explain it with -c {name}; \
                 `agentnet-proxy lint {name}` prints what it means as a whitelist"
            );
            problems.push(problem(name.clone(), what));
        }
        problems
    })
}

/// True for the text of a whitelist that has something in it: somebody took it for a configuration.
#[must_use]
pub fn is_whitelist(name: &str, text: &str) -> bool {
    let source = Source {
        name: name.to_owned(),
        layer: Layer::Project,
        text: text.to_owned(),
    };
    let loaded = load(&[source], &BuiltinPresets, LoadOptions::default());
    loaded.is_ok_and(|loaded| loaded.policy.rules().len() > 0)
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
