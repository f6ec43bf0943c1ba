//! A value with `${NAME}` in it.

use serde::Deserialize;

/// A text in which `${NAME}` stands for a variable and `$$` for `$`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('$') {
            parts.push(Part::Text(before.to_owned()));
            if let Some(after) = after.strip_prefix('$') {
                parts.push(Part::Text("$".to_owned()));
                rest = after;
            } else if let Some((name, after)) =
                after.strip_prefix('{').and_then(|t| t.split_once('}'))
            {
                parts.push(Part::Variable(name.to_owned()));
                rest = after;
            } else {
                return Err(format!(
                    "{text:?} has a $ that begins no ${{NAME}}; write $$ for a dollar sign"
                ));
            }
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Template(parts))
    }
}

impl Template {
    /// The variables that it names.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Variable(name) => Some(name.as_str()),
        })
    }

    /// The text with the values in it; a variable that has none is empty.
    #[must_use]
    pub fn expand<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Variable(name) => value(name).unwrap_or_default().to_owned(),
        };
        self.0.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_and_a_double_dollar_is_one() {
        let template = Template::try_from("pg://u:${PASSWORD}@db/$$x${B}".to_owned()).unwrap();
        assert_eq!(template.variables().collect::<Vec<_>>(), ["PASSWORD", "B"]);
        let value = |name: &str| (name == "PASSWORD").then_some("s3");
        assert_eq!(template.expand(value), "pg://u:s3@db/$x");
    }

    #[test]
    fn a_dollar_that_means_nothing_is_an_error() {
        for text in ["$PASSWORD", "a$", "${OPEN"] {
            let problem = Template::try_from(text.to_owned()).unwrap_err();
            assert!(problem.contains("write $$"), "{text}: {problem}");
        }
    }
}
