//! Names of images.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An image reference as a user writes it: the engine knows the grammar, we refuse what could not
/// be one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef(pub String);

impl FromStr for ImageRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_/:@".contains(&b);
        let whole = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if whole && text.bytes().all(plain) && !text.contains("..") {
            Ok(ImageRef(text.to_owned()))
        } else {
            Err(format!("{text:?} is not an image name"))
        }
    }
}

impl TryFrom<String> for ImageRef {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> String {
        image.0
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
