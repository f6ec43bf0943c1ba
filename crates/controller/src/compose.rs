//! Services that a compose file describes: what `docker compose config` prints, as YAML or as JSON, overrides of the user's
//! merged and variables filled in by compose itself.
//!
//! An allow-list: every field is honoured or refused by name, with what to do about it. Nothing is dropped without
//! the user's word (`[compose] ignore`), and what a compose file can ask for beyond a task's own network, volumes and
//! ceilings cannot be written down in a [`Service`] at all (THREATS W12, W15, W21, W30, W35).

mod document;
mod duration;
mod reader;
mod refusal;
mod service;
mod volume;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use self::reader::{Reader, is_nothing};
use crate::config::{Compose, Service};
use crate::error::{Error, Result};
use crate::task::Slug;

/// What a person types to get such a file.
const HOW: &str = "docker compose config > .agentnet/compose.yaml";

/// The services of a compose file; an error says everything that is wrong, a line each.
pub fn import(file: &Path, text: &str, options: &Compose) -> Result<BTreeMap<Slug, Service>> {
    let wrong = |why: &str| Error::Config(format!("{}: {why}", file.display()));
    let document = document::read(text).map_err(|why| {
        wrong(&format!(
            "is not what compose prints: {why}; make it with {HOW}"
        ))
    })?;
    let Some(Value::Object(services)) = document.get("services") else {
        return Err(wrong(&format!("has no services; make it with {HOW}")));
    };
    let mut reader = Reader::new(options);
    for name in options
        .skip
        .iter()
        .filter(|name| !services.contains_key(*name))
    {
        reader.problem(
            "[compose] skip",
            &format!("names {name}, which is no service of it"),
        );
    }
    for name in options
        .ignore
        .iter()
        .filter(|name| refusal::is_honoured(name))
    {
        reader.problem(
            "[compose] ignore",
            &format!("names {name}, which is honoured and cannot be left out"),
        );
    }
    top(&mut reader, &document);
    let mut found = BTreeMap::new();
    let mut volumes: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in services {
        if options.skip.contains(name) {
            continue;
        }
        let at = format!("services.{name}");
        let slug = match name.parse::<Slug>() {
            Ok(slug) => slug,
            Err(why) => {
                reader.problem(
                    &at,
                    &format!("{why}; rename it in the compose file, others reach it by that name"),
                );
                continue;
            }
        };
        let service = service::read(&mut reader, &at, name, value);
        for source in volume::sources(value) {
            if let Some(other) = volumes.insert(source.clone(), name.clone()) {
                let why = format!(
                    "{source} is used by {other} too, and a task's services share no volume"
                );
                reader.problem(&format!("{at}.volumes"), &why);
            }
        }
        found.insert(slug, service);
    }
    volume::definitions(&mut reader, &document, &volumes);
    reader.finish(file)?;
    Ok(found)
}

/// The other tables of the file.
fn top(reader: &mut Reader<'_>, document: &Value) {
    for (key, value) in document.as_object().into_iter().flatten() {
        match key.as_str() {
            // Its name is part of no name of ours; services and volumes are read elsewhere.
            "name" | "services" | "volumes" => {}
            "networks" => networks(reader, value),
            // Compose itself does nothing with them.
            key if key.starts_with("x-") => {}
            key => reader.refuse(key, key, value),
        }
    }
}

/// A task has one network. Others are refused where a service uses them.
fn networks(reader: &mut Reader<'_>, value: &Value) {
    let default = value.get("default").and_then(Value::as_object);
    for (key, value) in default.into_iter().flatten() {
        if key != "name" && !is_nothing(value) {
            reader.refuse(&format!("networks.default.{key}"), "networks", value);
        }
    }
}

#[cfg(test)]
mod tests;
