//! `explain URL`: what would happen, and which line decides.

use std::num::NonZeroU16;
use std::path::PathBuf;

use agentnet_policy::{Ask, Loaded, Mode, Request, Target, Verdict};
use clap::Args;
use http::Uri;

use super::{NO, OK, USAGE, complain, print};
use crate::active::compile_files;
use crate::diagnostic;
use crate::request::path_and_query;
use crate::settings::{ListenerSettings, Problem, Raw, Settings, whitelist_files};
use crate::upstream::Routes;

/// Explain a decision.
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// Whitelist files in layer order [default: what -c and the variables would serve]
    #[arg(long = "whitelist", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The method of a plain request
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// Take this listener of the settings [default: the first]
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// https://HOST[:PORT] or HOST:PORT for a tunnel, http://HOST[:PORT]/PATH for a plain request
    #[arg(value_name = "URL")]
    url: String,
}

impl Explain {
    /// True if whitelists are named, in place of those of the settings.
    pub(super) fn names_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Explains by what the settings would serve: a whitelist or a tinyproxy.conf.
    pub(super) fn run_served(&self, settings: &Settings) -> u8 {
        let listener = match self.listener(&settings.listeners) {
            Ok(listener) => listener,
            Err(problems) => return complain(&problems),
        };
        if listener.source.is_empty() {
            let what = "nothing is served: name whitelists with --whitelist FILE, or a configuration with -c FILE";
            diagnostic::error(what);
            return USAGE;
        }
        self.tell(listener.source.load(), &listener.source.routes())
    }

    pub(super) fn run(&self, raw: Raw) -> u8 {
        let presets = raw.presets.clone();
        let routes = match self.routes(raw) {
            Ok(routes) => routes,
            Err(problems) => return complain(&problems),
        };
        let files = whitelist_files(&self.files, &[]);
        let loaded = compile_files(&files, presets.as_deref(), Mode::Enforce);
        self.tell(loaded, &routes)
    }

    fn tell(&self, loaded: Result<Loaded, Vec<agentnet_policy::Problem>>, routes: &Routes) -> u8 {
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(problems) => {
                problems.iter().for_each(diagnostic::problem);
                return USAGE;
            }
        };
        let (target, path) = match read(&self.url) {
            Ok(read) => read,
            Err(what) => {
                diagnostic::error(format_args!("{}: {what}", self.url));
                return USAGE;
            }
        };
        let ask = match &path {
            None => Ask::Tunnel,
            Some(path) => Ask::Http {
                method: &self.method,
                path,
            },
        };
        let way = routes.take(&target).1.words();
        let now = jiff::Timestamp::now();
        let explanation = loaded.policy.explain(Request { target, ask }, now);
        let mut text = explanation.render(&loaded.policy);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        match explanation.verdict {
            Verdict::Allow(_) | Verdict::Report(..) => text.push_str(&format!("  goes {way}\n")),
            Verdict::Deny(_) => {}
        }
        print(&text);
        match explanation.verdict {
            Verdict::Allow(_) | Verdict::Report(..) => OK,
            Verdict::Deny(_) => NO,
        }
    }
}

impl Explain {
    /// The routes that the running proxy would have by the same settings.
    fn routes(&self, raw: Raw) -> Result<Routes, Vec<Problem>> {
        let listeners = Settings::check(raw)?.listeners;
        Ok(self.listener(&listeners)?.source.routes())
    }

    fn listener<'l>(
        &self,
        listeners: &'l [ListenerSettings],
    ) -> Result<&'l ListenerSettings, Vec<Problem>> {
        let named = |listener: &&ListenerSettings| {
            self.listener
                .as_ref()
                .is_none_or(|name| *name == listener.name)
        };
        listeners.iter().find(named).ok_or_else(|| {
            let what = "no listener has this name in the settings";
            vec![Problem::new("--listener", what)]
        })
    }
}

/// The target, and the path of a plain request.
fn read(url: &str) -> Result<(Target, Option<String>), String> {
    let target = |authority: &str, port: Option<u16>| {
        Target::parse(authority, port.and_then(NonZeroU16::new)).map_err(|error| error.to_string())
    };
    if let Some(rest) = url.strip_prefix("https://") {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        return Ok((target(rest.get(..end).unwrap_or(rest), Some(443))?, None));
    }
    if url.starts_with("http://") {
        let uri: Uri = url
            .parse()
            .map_err(|error: http::uri::InvalidUri| error.to_string())?;
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        return Ok((
            target(&authority, Some(80))?,
            Some(path_and_query(&uri).to_owned()),
        ));
    }
    Ok((target(url, None)?, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_person_would_paste() {
        let seen = |url: &str| read(url).map(|(target, path)| (target.to_string(), path));
        assert_eq!(
            seen("https://a.example/x?y#z"),
            Ok(("a.example:443".to_owned(), None))
        );
        assert_eq!(
            seen("https://a.example:8443"),
            Ok(("a.example:8443".to_owned(), None))
        );
        assert_eq!(seen("a.example:22"), Ok(("a.example:22".to_owned(), None)));
        let plain = ("a.example:80".to_owned(), Some("/x?y".to_owned()));
        assert_eq!(seen("http://a.example/x?y"), Ok(plain));
        assert!(seen("a.example").is_err(), "no port and no scheme");
        assert!(seen("https://u@a.example/").is_err());
    }
}
