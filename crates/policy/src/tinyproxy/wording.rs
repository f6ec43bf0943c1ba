//! How a line is quoted and mended in messages. A password is never in one.

use super::directive::Directive;
use crate::whitelist::wrong::Wrong;

/// Adds what the parsers of values leave out: the whole line as it should be, and the keyword where
/// no word offends. Takes away what may be a password.
pub(super) fn finish(wrong: Wrong, directive: Directive, rest: &str) -> Wrong {
    let Wrong { word, what, fix } = wrong;
    let name = directive.name();
    let is_number = what.starts_with("is not a number") || what.starts_with("is larger than");
    let fix = fix.or_else(|| is_number.then(|| example(directive).to_owned()));
    let word = word.filter(|word| may_be_shown(directive, rest, word));
    let fix = fix.map(|fix| match &word {
        Some(word) if rest.contains(word.as_str()) && !has_secret(directive, rest) => {
            format!("{name} {}", rest.replacen(word.as_str(), &fix, 1))
        }
        _ => format!("{name} {fix}"),
    });
    let what = match &word {
        Some(_) => what,
        None => format!("{name} {what}"),
    };
    let word = word.map(|word| cut(&word));
    Wrong { word, what, fix }
}

/// The line with its keyword spelt right.
pub(super) fn respelt(directive: Directive, rest: &str) -> String {
    let name = directive.name();
    if has_secret(directive, rest) || rest.len() > 200 {
        return format!("{name} {}", example(directive));
    }
    format!("{name} {}", rest.trim())
}

fn has_secret(directive: Directive, rest: &str) -> bool {
    directive == Directive::BasicAuth || rest.contains('@')
}

/// Behind the last `@` there is no password.
fn may_be_shown(directive: Directive, rest: &str, word: &str) -> bool {
    let behind = rest.rsplit('@').next().unwrap_or_default();
    let known = word == directive.name();
    known || directive != Directive::BasicAuth && (!rest.contains('@') || behind.contains(word))
}

/// A line as it could be, for a line that has too little.
pub(super) fn example(directive: Directive) -> &'static str {
    match directive {
        Directive::AddHeader => "\"X-My-Field\" \"its value\"",
        Directive::BasicAuth => "USER PASSWORD",
        Directive::ErrorFile => "404 \"/etc/tinyproxy/404.html\"",
        Directive::Port | Directive::ReversePath => "8888",
        Directive::Timeout => "600",
        Directive::MaxClients => "100",
        Directive::ConnectPort => "443",
        Directive::Allow | Directive::Deny | Directive::Listen | Directive::Bind => "127.0.0.1",
        Directive::FilterType => "ere",
        Directive::LogLevel => "Info",
        Directive::Anonymous => "\"Host\"",
        Directive::BasicAuthRealm | Directive::ViaProxyName => "\"a name\"",
        Directive::StatHost => "\"tinyproxy.stats\"",
        Directive::User | Directive::Group => "nobody",
        Directive::Filter
        | Directive::LogFile
        | Directive::PidFile
        | Directive::StatFile
        | Directive::DefaultErrorFile => "\"/a/path\"",
        Directive::Upstream => "http PARENT:PORT",
        Directive::MaxSpareServers
        | Directive::MinSpareServers
        | Directive::StartServers
        | Directive::MaxRequestsPerChild => "0",
        Directive::BindSame
        | Directive::DisableViaHeader
        | Directive::FilterCaseSensitive
        | Directive::FilterDefaultDeny
        | Directive::FilterExtended
        | Directive::FilterUrls
        | Directive::ReverseBaseUrl
        | Directive::ReverseMagic
        | Directive::ReverseOnly
        | Directive::Syslog
        | Directive::XTinyproxy => "Yes",
    }
}

/// A word for a message, of bounded length.
pub(super) fn cut(word: &str) -> String {
    const MOST: usize = 200;
    if word.chars().count() <= MOST {
        return word.to_owned();
    }
    let mut short: String = word.chars().take(MOST).collect();
    short.push('…');
    short
}
