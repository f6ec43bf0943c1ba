//! What can stand after a keyword.

use std::net::IpAddr;

use crate::whitelist::wrong::Wrong;

/// The rest of a line, read from the left.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'t>(&'t str);

const BLANK: [char; 2] = [' ', '\t'];

impl<'t> Arguments<'t> {
    pub(super) fn new(rest: &'t str) -> Self {
        Self(rest.trim_matches(BLANK))
    }

    /// Everything that has not been read.
    pub(super) fn rest(self) -> &'t str {
        self.0
    }

    /// The next word: a string in `"`, or what stands before the next blank.
    pub(super) fn word(&mut self) -> Result<Option<Word<'t>>, Wrong> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (text, quoted, rest) = match self.0.strip_prefix('"') {
            Some(inner) => {
                let what = "has no closing `\"`";
                let (text, rest) = inner
                    .split_once('"')
                    .ok_or_else(|| Wrong::word(self.0, what))?;
                if !rest.is_empty() && !rest.starts_with(BLANK) {
                    let word = self.0.strip_suffix(rest).unwrap_or(self.0);
                    return Err(Wrong::word(
                        word,
                        "is followed by more where a space belongs",
                    ));
                }
                (text, true, rest)
            }
            None => {
                let end = self.0.find(BLANK).unwrap_or(self.0.len());
                let (text, rest) = self.0.split_at_checked(end).unwrap_or((self.0, ""));
                (text, false, rest)
            }
        };
        self.0 = rest.trim_start_matches(BLANK);
        Ok(Some(Word { text, quoted }))
    }

    /// Nothing more may follow.
    pub(super) fn end(self) -> Result<(), Wrong> {
        if self.0.is_empty() {
            return Ok(());
        }
        let what = if self.0.starts_with('#') {
            "stands behind a value: a comment has a line of its own"
        } else {
            "is more than the directive takes"
        };
        Err(Wrong::word(self.0, what))
    }
}

/// One argument.
#[derive(Clone, Copy)]
pub(super) struct Word<'t> {
    pub(super) text: &'t str,
    quoted: bool,
}

impl<'t> Word<'t> {
    /// What Tinyproxy wants in `"`. Without them it is taken too where no blank says otherwise.
    pub(super) fn string(self) -> Result<&'t str, Wrong> {
        if self.text.is_empty() {
            return Err(Wrong::word("\"\"", "is empty"));
        }
        if self.text.chars().any(char::is_control) {
            return Err(Wrong::word(self.text, "has a control character"));
        }
        if !self.quoted {
            let fix = format!("\"{}\"", self.text);
            return Err(Wrong::word(self.text, "is not in quotes").write(fix));
        }
        Ok(self.text)
    }

    /// What Tinyproxy wants without quotes.
    pub(super) fn bare(self) -> Result<&'t str, Wrong> {
        if self.quoted {
            let quoted = format!("\"{}\"", self.text);
            return Err(
                Wrong::word(&quoted, "is in quotes, which do not belong here").write(self.text),
            );
        }
        Ok(self.text)
    }

    pub(super) fn switch(self) -> Result<bool, Wrong> {
        let text = self.bare()?;
        let any = |words: [&str; 2]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        match (any(["yes", "on"]), any(["no", "off"])) {
            (true, _) => Ok(true),
            (_, true) => Ok(false),
            _ => Err(Wrong::word(text, "is neither yes or on nor no or off").write("Yes")),
        }
    }

    /// A decimal number up to `most`.
    pub(super) fn number(self, most: u32) -> Result<u32, Wrong> {
        let text = self.bare()?;
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Wrong::word(
                text,
                format!("is not a number from 0 to {most}"),
            ));
        }
        if text.len() > 1 && text.starts_with('0') {
            let fix = text.trim_start_matches('0');
            let fix = if fix.is_empty() { "0" } else { fix };
            let what = "begins with 0, and Tinyproxy reads such a number as octal";
            return Err(Wrong::word(text, what).write(fix));
        }
        let number: Option<u32> = text.parse().ok().filter(|&number| number <= most);
        number.ok_or_else(|| Wrong::word(text, format!("is larger than {most}")))
    }

    pub(super) fn port(self) -> Result<u16, Wrong> {
        let number = self.number(u32::from(u16::MAX))?;
        Ok(u16::try_from(number).unwrap_or(u16::MAX))
    }

    pub(super) fn address(self) -> Result<IpAddr, Wrong> {
        let text = self.bare()?;
        let inner = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let what = "is not an address: this directive takes an IPv4 or IPv6 address and no name";
        let address = inner.unwrap_or(text).parse();
        address.map_err(|_| Wrong::word(text, what).write("127.0.0.1"))
    }
}

pub(super) fn is_visible(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

/// Text that can stand in a field.
pub(super) fn visible(text: &str) -> Result<String, Wrong> {
    if text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Ok(text.to_owned());
    }
    Err(Wrong::word(
        text,
        "has a letter that cannot stand in a header: visible ASCII and spaces can",
    ))
}

/// RFC 9110 §5.1 and §5.6.2.
pub(super) fn field_name(text: &str) -> Result<String, Wrong> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.bytes().all(token) {
        return Ok(text.to_owned());
    }
    Err(Wrong::word(text, "is no name of a header"))
}
