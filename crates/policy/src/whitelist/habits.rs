//! What people write who come from URLs, other lists and other proxies.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::wrong::{Words, Wrong};

/// Looks at the first word of a line before anything else does. A fix is for this word alone.
pub(super) fn check_word(word: &str) -> Result<(), Wrong> {
    if let Some((scheme, rest)) = word.split_once("://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let host = host.rsplit('@').next().unwrap_or(host);
        let place = match scheme {
            "ssh" | "git+ssh" => tunnel(host, 22),
            "git" => tunnel(host, 9418),
            _ => host.to_owned(),
        };
        let what = "is a URL; a line names a host, and a path is a word of its own";
        return Err(Wrong::word(word, what).write_if((!host.is_empty()).then_some(place)));
    }
    if let Some(place) = word.strip_prefix("git@") {
        let host = place.split([':', '/']).next().unwrap_or(place);
        let what = "is a place of git over SSH; a line names host and port, and SSH needs `raw`";
        return Err(Wrong::word(word, what).write(tunnel(host, 22)));
    }
    if let Some(host) = word.strip_prefix('!').filter(|host| !host.is_empty()) {
        let what = "begins with a `!`; what is refused ends in the word `deny`";
        return Err(Wrong::word(word, what).write(format!("{host} deny")));
    }
    if let Some(bare) = word.strip_suffix([',', ';']) {
        let bare = bare.trim_end_matches([',', ';']).to_owned();
        let what = "ends in a separator; one permission stands on a line";
        return Err(Wrong::word(word, what).write_if((!bare.is_empty()).then_some(bare)));
    }
    let colons = word.bytes().filter(|&b| b == b':').count();
    if colons > 1 && (word.parse::<Ipv6Addr>().is_ok() || word.parse::<Ipv6Net>().is_ok()) {
        let what = "is an IPv6 address without brackets, so a port could not be told from it";
        return Err(Wrong::word(word, what).write(format!("[{word}]")));
    }
    Ok(())
}

fn tunnel(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("{host} raw")
    } else {
        format!("{host}:{port} raw")
    }
}

/// A line that begins with a word about the target behind it.
pub(super) fn check_line(words: &Words<'_>) -> Result<(), Wrong> {
    let mut rest = words.rest();
    let (Some(word), Some((_, target))) = (words.first(), rest.next()) else {
        return Ok(());
    };
    if !target.contains('.') && !target.starts_with(['@', '*', '[']) {
        return Ok(());
    }
    let (what, fix) = match word {
        "-" | "*" | "+" => ("begins no line here", words.without(0)),
        "allow" | "permit" => {
            let what = "says nothing: a line without `deny` allows";
            (what, words.without(0))
        }
        "block" | "reject" | "refuse" | "drop" => {
            let what = "is no word of this language: what is refused ends in `deny`";
            (what, format!("{} deny", words.without(0)))
        }
        "include" | "import" | "source" => {
            let what =
                "is no word of this language: a preset is included by its name, as in @python";
            return Err(Wrong::word(word, what));
        }
        _ => return Ok(()),
    };
    Err(Wrong::word(word, what).write(fix))
}

/// The word begins a comment elsewhere.
pub(super) fn is_comment(word: &str) -> bool {
    word.starts_with("//") || matches!(word, ";" | "--" | "rem" | "REM")
}

/// The whitelist's name for what a regular expression means, if it is one of the usual ones.
pub(super) fn plain_name(expression: &str) -> Option<String> {
    if !expression.contains(['\\', '^', '$', '(']) {
        return None;
    }
    let inner = expression.strip_prefix('^').unwrap_or(expression);
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    let below = [
        ("(^|\\.)", "**."),
        ("(.*\\.)?", "**."),
        ("(.+\\.)?", "**."),
        (".*\\.", "*."),
        (".+\\.", "*."),
    ];
    let found = below.iter().find_map(|(prefix, sign)| {
        let rest = inner.strip_prefix(prefix)?;
        Some(format!("{sign}{rest}"))
    });
    Some(
        found
            .unwrap_or_else(|| inner.to_owned())
            .replace("\\.", "."),
    )
}
