//! A page with `{variables}`, as Tinyproxy's ErrorFile, DefaultErrorFile and StatFile name them.
//!
//! Read and cut into pieces when the configuration is loaded. The agent chooses what some variables
//! say, so every value is escaped for HTML (Tinyproxy does not), and how much a page can grow is
//! bounded. A name that is no variable stays as it stands, braces and all, as in Tinyproxy.

use std::borrow::Cow;

/// Largest template in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// Most variables in one template: each can bring some 12 KiB of the agent's text.
pub const MAX_VARIABLES: usize = 64;

/// Longest value in bytes, before it is escaped.
const MAX_VALUE: usize = 2048;

macro_rules! variables {
    ($($variant:ident $word:literal $meaning:literal),+ $(,)?) => {
        /// What a template can name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Variable {
            $(#[doc = $meaning] $variant),+
        }

        impl Variable {
            /// Every variable.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name between the braces.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

variables! {
    Request "request" "The request line.",
    Url "url" "What was asked for; for CONNECT `host:port`.",
    Cause "cause" "Tinyproxy's short words, such as `Filtered`.",
    Detail "detail" "Tinyproxy's long words, and our sentence.",
    Reason "reason" "Our reason word.",
    Errno "errno" "The status.",
    ClientIp "clientip" "The client's address.",
    ClientHost "clienthost" "The same: a client is not looked up for a page.",
    Version "version" "Our version.",
    Package "package" "Our name.",
    Website "website" "Where to read more.",
    Date "date" "Now, as in HTTP.",
    Opens "opens" "Open connections.",
    Requests "reqs" "Requests so far.",
    Bad "badconns" "Malformed and filtered requests.",
    Denied "deniedconns" "Requests that were denied.",
    Refused "refusedconns" "Connections refused because there were too many.",
}

/// A template, cut into pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Variable),
}

impl Template {
    /// Cuts a template.
    ///
    /// # Errors
    /// If it is larger than [`MAX_BYTES`] or has more than [`MAX_VARIABLES`]; a clause that says so.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!(
                "is larger than {} KiB: make the page smaller",
                MAX_BYTES / 1024
            ));
        }
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut variables = 0;
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            plain.push_str(before);
            let named = after.split_once('}').and_then(|(name, behind)| {
                let found = Variable::ALL.iter().find(|one| one.as_str() == name)?;
                Some((*found, behind))
            });
            rest = match named {
                Some((variable, behind)) => {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Value(variable));
                    variables += 1;
                    behind
                }
                None => {
                    plain.push('{');
                    after
                }
            };
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        if variables > MAX_VARIABLES {
            return Err(format!(
                "has {variables} variables: {MAX_VARIABLES} is the most"
            ));
        }
        Ok(Self(pieces))
    }

    /// The page. A variable that `value` does not know on this occasion stays as it was written.
    pub fn render<'a>(&self, value: impl Fn(Variable) -> Option<Cow<'a, str>>) -> String {
        let mut page = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => page.push_str(text),
                Piece::Value(variable) => match value(*variable) {
                    Some(text) => escape(&text, &mut page),
                    None => {
                        page.push('{');
                        page.push_str(variable.as_str());
                        page.push('}');
                    }
                },
            }
        }
        page
    }
}

/// Text that may stand between tags and inside quoted attributes.
fn escape(text: &str, page: &mut String) {
    let mut taken = 0;
    for c in text.chars() {
        taken += c.len_utf8();
        if taken > MAX_VALUE {
            page.push('…');
            return;
        }
        match c {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            // Nothing that a terminal or a parser could take for more than a letter.
            c if c.is_control() => page.push(char::REPLACEMENT_CHARACTER),
            c => page.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str, value: &'static str) -> String {
        let template = Template::parse(template).unwrap();
        template.render(|variable| (variable != Variable::Opens).then(|| value.into()))
    }

    #[test]
    fn fills_in_variables_and_leaves_the_rest_as_it_stands() {
        let text = "a{cause}b{nothing}{CAUSE}{ cause }{}{{cause}}{un\n}{opens}{cau";
        let page = "aXb{nothing}{CAUSE}{ cause }{}{X}{un\n}{opens}{cau";
        assert_eq!(rendered(text, "X"), page);
        assert_eq!(rendered("", "X"), "");
    }

    #[test]
    fn escapes_what_the_agent_chose() {
        let page = rendered(
            "<a href='{request}'>",
            "GET /'><script>\"&\u{1b}[2J HTTP/1.1",
        );
        let safe = "<a href='GET /&#39;&gt;&lt;script&gt;&quot;&amp;\u{fffd}[2J HTTP/1.1'>";
        assert_eq!(page, safe);
        // A value is not looked through for variables again.
        assert_eq!(rendered("{request}", "{version}"), "{version}");
    }

    #[test]
    fn keeps_a_page_bounded_whatever_the_agent_says() {
        let long: &'static str = Box::leak("<".repeat(1 << 20).into_boxed_str());
        let most = "{url}".repeat(MAX_VARIABLES);
        assert!(rendered(&most, long).len() < MAX_VARIABLES * (4 * MAX_VALUE + 8));
        let more = "{url}".repeat(MAX_VARIABLES + 1);
        assert!(Template::parse(&more).unwrap_err().contains("64"));
        let large = "x".repeat(MAX_BYTES + 1);
        assert!(Template::parse(&large).unwrap_err().contains("64 KiB"));
        assert!(Template::parse(&"x".repeat(MAX_BYTES)).is_ok());
    }

    #[test]
    fn has_every_name_that_tinyproxys_manual_has() {
        let names = "request cause clientip clienthost version package date detail";
        for name in names.split(' ') {
            assert_eq!(rendered(&format!("{{{name}}}"), "v"), "v", "{name}");
        }
    }
}
