//! `explain URL`: what would happen, and which line decides.

use std::num::NonZeroU16;
use std::path::PathBuf;

use agentnet_policy::{Ask, Host, Loaded, Request, Target, Verdict};
use clap::Args;
use http::Uri;

use super::{NO, OK, USAGE, complain, print};
use crate::diagnostic;
use crate::request::path_and_query;
use crate::settings::{ListenerSettings, PolicySource, Problem, Settings, whitelist_files};
use crate::upstream::Routes;

/// Explain a decision.
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// Whitelist files in layer order [default: what the settings would serve]
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
    /// Explains by what the settings would serve, with the named whitelists in the place of theirs.
    pub(super) fn run(&self, settings: Settings) -> u8 {
        let source = match self.source(settings) {
            Ok(source) => source,
            Err(problems) => return complain(&problems),
        };
        if source.is_empty() {
            let what = "nothing is served: name whitelists with --whitelist FILE, or a configuration with -c FILE";
            diagnostic::error(what);
            return USAGE;
        }
        self.tell(source.load(), &source.routes())
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
        let is_capital = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
        if path.is_some() && !self.method.bytes().all(is_capital) {
            diagnostic::error(format_args!(
                "--method: `{}` is no method; methods are written in capitals, as GET",
                self.method
            ));
            return USAGE;
        }
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
    /// What the listener that is asked about would serve.
    fn source(&self, settings: Settings) -> Result<PolicySource, Vec<Problem>> {
        let problem = |place, what| Err(vec![Problem::new(place, what)]);
        let asked = self.listener.as_ref();
        let named = |one: &ListenerSettings| asked.is_none_or(|name| *name == one.name);
        let Some(listener) = settings.listeners.into_iter().find(named) else {
            return problem("--listener", "no listener has this name in the settings");
        };
        let mut source = listener.source;
        if self.files.is_empty() {
            return Ok(source);
        }
        match &mut source {
            PolicySource::Whitelist { files, .. } => *files = whitelist_files(&self.files, &[]),
            PolicySource::Tinyproxy(_) => {
                let what = "cannot be used beside a tinyproxy.conf: its Filter says what passes";
                return problem("--whitelist", what);
            }
        }
        Ok(source)
    }
}

/// The target, and the path of a plain request.
fn read(url: &str) -> Result<(Target, Option<String>), String> {
    let target = |authority: &str, port: Option<u16>| {
        Target::parse(authority, port.and_then(NonZeroU16::new)).map_err(|error| error.to_string())
    };
    let forms = |host: &str| {
        format!(
            "write https://{host}/ or {host}:PORT for a tunnel, http://{host}/ for a plain request"
        )
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
    if let Some((scheme, rest)) = url.split_once("://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        return Err(format!(
            "{scheme} is nothing that the proxy is asked for: {}",
            forms(host)
        ));
    }
    match target(url, None) {
        Ok(target) => Ok((target, None)),
        Err(what) if Host::parse(url).is_ok() => Err(format!("{what}: {}", forms(url))),
        Err(what) => Err(what),
    }
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
        assert!(seen("https://u@a.example/").is_err());
        assert_eq!(
            seen("a.example").unwrap_err(),
            "the target has no port: write https://a.example/ or a.example:PORT for a tunnel, \
             http://a.example/ for a plain request"
        );
        let other = seen("ftp://a.example/x").unwrap_err();
        assert!(other.contains("ftp is nothing that the proxy"), "{other}");
        assert!(other.contains("https://a.example/ or"), "{other}");
    }
}
