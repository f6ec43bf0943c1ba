//! Volumes: a task has its own, and nothing of the host.

use std::collections::BTreeMap;

use serde_json::Value;

use super::reader::{Reader, is_nothing};
use crate::config::{Bytes, Service, Tmpfs};
use crate::task::Slug;

/// The named volumes that a service mounts.
pub(super) fn sources(service: &Value) -> Vec<String> {
    let mounts = service.get("volumes").and_then(Value::as_array);
    let mut found: Vec<_> = mounts
        .into_iter()
        .flatten()
        .filter(|mount| mount.get("type").and_then(Value::as_str) == Some("volume"))
        .filter_map(|mount| mount.get("source")?.as_str().map(str::to_owned))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Only what is not shared with another project, another driver or the host.
pub(super) fn definitions(
    reader: &mut Reader<'_>,
    document: &Value,
    used: &BTreeMap<String, String>,
) {
    let defined = document.get("volumes").and_then(Value::as_object);
    for (name, value) in defined.into_iter().flatten() {
        if !used.contains_key(name) {
            continue;
        }
        for (key, value) in value.as_object().into_iter().flatten() {
            let at = format!("volumes.{name}.{key}");
            match key.as_str() {
                // Ours have names of the task, and labels of agentnet.
                "name" => {}
                "driver" if value == "local" => {}
                _ if is_nothing(value) => {}
                "external" => reader.problem(
                    &at,
                    "a task shares no volume with others; take external away and each task has its own",
                ),
                _ => reader.problem(&at, "a task's volume is a plain one of the engine; take it away"),
            }
        }
    }
}

/// One entry of a service's `volumes`.
pub(super) fn mount(reader: &mut Reader<'_>, at: &str, mount: &Value, service: &mut Service) {
    let Some(fields) = mount.as_object() else {
        reader.problem(
            at,
            &format!("is not written out; make the file with {}", super::HOW),
        );
        return;
    };
    let kind = fields
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let target = fields
        .get("target")
        .and_then(|target| reader.text(at, target));
    let Some(target) = target else {
        reader.problem(at, "has no target");
        return;
    };
    if fields
        .get("read_only")
        .is_some_and(|value| !is_nothing(value))
    {
        reader.problem(
            at,
            "is read-only, and a task's volume begins empty; leave the mount out",
        );
    }
    for (key, value) in fields {
        let plain = matches!(key.as_str(), "type" | "source" | "target" | "read_only")
            || (key == "tmpfs" && kind == "tmpfs");
        if !plain && !is_nothing(value) {
            reader.problem(
                &format!("{at}.{key}"),
                "a task's volume has no options; take it away",
            );
        }
    }
    match (kind, fields.get("source").and_then(Value::as_str)) {
        ("volume", Some(source)) => match Slug::from_text(source) {
            Some(name) if service.volumes.contains_key(&name) => {
                reader.problem(at, &format!("a second volume {name} of one service"));
            }
            Some(name) => drop(service.volumes.insert(name, target)),
            None => reader.problem(at, &format!("{source:?} has no letter or digit to name a volume by")),
        },
        ("volume", None) => reader.problem(at, "is a volume without a name; name it"),
        ("tmpfs", _) => {
            let size = fields.get("tmpfs").and_then(|options| options.get("size"));
            let size = size.filter(|size| **size != 0);
            let size = size.and_then(|size| reader.parsed(at, size, |text| Bytes::try_from(text.to_owned())));
            let mode = fields.get("tmpfs").and_then(|options| options.get("mode"));
            if mode.is_some_and(|mode| *mode != 0) {
                reader.problem(at, "mode is not honoured: everybody may write there; take it away");
            }
            service.tmpfs.push(Tmpfs { path: target, size });
        }
        ("bind", source) => reader.problem(
            at,
            &format!(
                "mounts {} of the host, and a service of a task has nothing of the host; copy it into the image, or \
                 keep the data on a volume",
                source.unwrap_or("a directory")
            ),
        ),
        (other, _) => reader.problem(at, &format!("a mount of type {other:?} is not honoured")),
    }
}
