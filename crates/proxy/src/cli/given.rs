//! What was given on the command line, in the environment and in the file, and what it comes to.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::complain;
use crate::active::is_whitelist;
use crate::diagnostic;
use crate::environment::{Environment, PREFIX};
use crate::settings::{Origins, Problem, Raw, Settings, TinyproxyFile, is_tinyproxy};
use crate::text_file;

/// The largest configuration in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The settings as they were typed, before the environment and the file are read.
pub(super) struct Given<'e> {
    /// The file that was named.
    pub(super) config: Option<PathBuf>,
    /// The flags.
    pub(super) flags: Raw,
    /// Which of them were there.
    pub(super) typed: Vec<String>,
    /// Where variables come from.
    pub(super) environment: &'e dyn Environment,
}

/// A configuration file, by what is in it.
enum File {
    None,
    Toml {
        name: String,
        text: String,
        raw: Box<Raw>,
    },
    Tinyproxy(TinyproxyFile),
}

/// The arguments that stand on the command line, those of a subcommand among them.
pub(super) fn typed(matches: &ArgMatches) -> Vec<String> {
    let typed =
        |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    let mut names: Vec<String> = matches
        .ids()
        .filter(typed)
        .map(ToString::to_string)
        .collect();
    if let Some((_, matches)) = matches.subcommand() {
        names.extend(self::typed(matches));
    }
    names
}

/// What the environment says, and the configuration file that it names.
pub(super) fn from_environment(
    environment: &dyn Environment,
) -> Result<(Raw, Option<PathBuf>), Vec<Problem>> {
    let (raw, strangers) = Raw::from_environment(environment).map_err(|problem| vec![problem])?;
    let config_variable = format!("{PREFIX}CONFIG");
    for stranger in strangers.iter().filter(|name| **name != config_variable) {
        diagnostic::warn(format_args!(
            "{stranger} is set and is no setting of the proxy"
        ));
    }
    Ok((raw, environment.get(&config_variable).map(PathBuf::from)))
}

impl Given<'_> {
    /// Runs what works on the settings, or tells what is wrong with them.
    pub(super) fn then(self, command: impl FnOnce(Settings) -> u8) -> u8 {
        match self.settings() {
            Ok(settings) => command(settings),
            Err(problems) => complain(&problems),
        }
    }

    /// Runs what works on the directory of presets that the running proxy would take.
    pub(super) fn then_with_presets(self, command: impl FnOnce(Option<&Path>) -> u8) -> u8 {
        match self.presets() {
            Ok(presets) => command(presets.as_deref()),
            Err(problems) => complain(&problems),
        }
    }

    fn settings(self) -> Result<Settings, Vec<Problem>> {
        let (variables, file) = self.read()?;
        let (settings, toml) = match file {
            File::None => (Settings::check(self.flags.over(variables)), None),
            File::Toml { name, text, raw } => {
                let raw = self.flags.over(variables).over(*raw);
                (Settings::check(raw), Some((name, text)))
            }
            File::Tinyproxy(file) => (Settings::from_tinyproxy(file, self.flags, variables), None),
        };
        let origins = Origins {
            flags: &self.typed,
            environment: self.environment,
            file: toml
                .as_ref()
                .map(|(name, text)| (name.as_str(), text.as_str())),
        };
        settings.map_err(|problems| {
            let located = problems.into_iter().map(|problem| origins.locate(problem));
            located.collect()
        })
    }

    fn presets(self) -> Result<Option<PathBuf>, Vec<Problem>> {
        let (variables, file) = self.read()?;
        let said = self.flags.over(variables);
        Ok(match file {
            File::Toml { raw, .. } => said.over(*raw).presets,
            File::None | File::Tinyproxy(_) => said.presets,
        })
    }

    fn read(&self) -> Result<(Raw, File), Vec<Problem>> {
        let (variables, named) = from_environment(self.environment)?;
        let Some(path) = self.config.clone().or(named) else {
            return Ok((variables, File::None));
        };
        let name = path.display().to_string();
        let text = text_file::lossy(&path, MAX_BYTES)
            .map_err(|error| vec![Problem::new(&name, format!("cannot be read: {error}"))])?;
        if is_tinyproxy(&text) {
            if is_whitelist(&name, &text) {
                let what =
                    format!("is a whitelist and no configuration; write: --whitelist {name}");
                return Err(vec![Problem::new(name, what)]);
            }
            return Ok((
                variables,
                File::Tinyproxy(TinyproxyFile::new(Some(path), None)),
            ));
        }
        let raw = Raw::from_toml(&name, &text).map_err(|problem| vec![problem])?;
        let raw = Box::new(raw);
        Ok((variables, File::Toml { name, text, raw }))
    }
}
