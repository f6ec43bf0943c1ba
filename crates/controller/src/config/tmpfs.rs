//! A directory in memory, as `"/path"` or `"/path:256MiB"`.

use serde::Deserialize;

use super::Bytes;

/// A directory in memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Tmpfs {
    /// Where.
    pub path: String,
    /// At most so much; half of the container's memory where nothing is said.
    pub size: Option<Bytes>,
}

impl TryFrom<String> for Tmpfs {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            None => Ok(Tmpfs {
                path: text,
                size: None,
            }),
            Some((path, size)) => Ok(Tmpfs {
                path: path.to_owned(),
                size: Some(Bytes::try_from(size.to_owned())?),
            }),
        }
    }
}
