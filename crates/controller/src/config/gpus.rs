//! `gpus = "all"` or a number.

use serde::Deserialize;

use crate::spec;

/// How many GPUs a container is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Gpus(pub spec::Gpus);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Count(i64),
    Word(String),
}

impl TryFrom<Written> for Gpus {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Word(word) if word == "all" => Ok(Gpus(spec::Gpus::All)),
            Written::Count(count) => match u32::try_from(count) {
                Ok(count @ 1..=64) => Ok(Gpus(spec::Gpus::Count(count))),
                Ok(_) | Err(_) => Err(format!("gpus = {count} is not from 1 to 64")),
            },
            Written::Word(word) => Err(format!("gpus = {word:?}: write \"all\" or a number")),
        }
    }
}
