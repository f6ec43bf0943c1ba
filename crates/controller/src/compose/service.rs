//! One service.

use std::num::NonZeroU16;

use serde_json::Value;

use super::reader::{Reader, is_nothing};
use super::{duration, volume};
use crate::config::{Bytes, Cpus, Healthcheck, Service, Test, Tmpfs};
use crate::spec::{Capability, ImageRef};
use crate::task::Slug;

pub(super) fn read(reader: &mut Reader<'_>, at: &str, name: &str, value: &Value) -> Service {
    let mut service = Service::default();
    let Some(fields) = value.as_object() else {
        reader.problem(at, "is no service");
        return service;
    };
    for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        field(
            reader,
            &format!("{at}.{key}"),
            name,
            (key, value),
            &mut service,
        );
    }
    // After `cap_drop`, whichever came first.
    if let Some(added) = fields.get("cap_add") {
        capabilities_back(reader, &format!("{at}.cap_add"), added, &mut service);
    }
    service
}

fn field(
    reader: &mut Reader<'_>,
    at: &str,
    name: &str,
    (key, value): (&str, &Value),
    service: &mut Service,
) {
    match key {
        "image" => service.image = reader.parsed(at, value, str::parse::<ImageRef>),
        "command" => service.command = reader.texts(at, value),
        "entrypoint" => service.entrypoint = reader.texts(at, value),
        "environment" => environment(reader, at, value, service),
        "user" => service.user = reader.text(at, value).filter(|user| !user.is_empty()),
        "working_dir" => service.workdir = reader.text(at, value),
        "expose" => expose(reader, at, value, service),
        "healthcheck" => service.healthcheck = healthcheck(reader, at, value),
        "depends_on" => depends_on(reader, at, value, service),
        "volumes" if value.is_array() => {
            for (number, mount) in value.as_array().into_iter().flatten().enumerate() {
                volume::mount(reader, &format!("{at}[{number}]"), mount, service);
            }
        }
        "tmpfs" => {
            for text in reader.texts(at, value) {
                match tmpfs(&text) {
                    Ok(tmpfs) => service.tmpfs.push(tmpfs),
                    Err(why) => reader.problem(at, &why),
                }
            }
        }
        "read_only" if value.is_boolean() => service.read_only = value.as_bool(),
        "mem_limit" => service.memory = bytes(reader, at, value),
        "shm_size" => service.shm = bytes(reader, at, value),
        "cpus" => service.cpus = cpus(reader, at, value),
        "pids_limit" => service.pids = pids(reader, at, value),
        "ulimits" if value.is_object() => ulimits(reader, at, value, service),
        "deploy" if value.is_object() => deploy(reader, at, value, service),
        "cap_drop" => cap_drop(reader, at, value, service),
        // With `cap_drop` known.
        "cap_add" => {}
        "security_opt" => {
            for option in reader.texts(at, value) {
                // Every container of a task has it.
                if !matches!(
                    option.as_str(),
                    "no-new-privileges" | "no-new-privileges:true"
                ) {
                    reader.refuse(at, "security_opt", value);
                }
            }
        }
        "networks" => networks(reader, at, value),
        "hostname" if value == name => {}
        "read_only" | "volumes" | "ulimits" | "deploy" => {
            reader.problem(
                at,
                &format!(
                    "is not what compose prints; make the file with {}",
                    super::HOW
                ),
            );
        }
        // Compose printed only services whose profile was chosen.
        "profiles" => {}
        key if key.starts_with("x-") => {}
        key => reader.refuse(at, key, value),
    }
}

fn environment(reader: &mut Reader<'_>, at: &str, value: &Value, service: &mut Service) {
    let Some(fields) = value.as_object() else {
        reader.problem(
            at,
            &format!("is not written out; make the file with {}", super::HOW),
        );
        return;
    };
    for (name, value) in fields {
        let at = format!("{at}.{name}");
        match value {
            Value::Null => reader.problem(
                &at,
                "has no value; give it one in env = of [services.NAME] in agentnet.toml, or take it away",
            ),
            Value::Bool(flag) => drop(service.env.insert(name.clone(), flag.to_string())),
            Value::String(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                let text = reader.text(&at, value);
                service.env.extend(text.map(|text| (name.clone(), text)));
            }
        }
    }
}

fn expose(reader: &mut Reader<'_>, at: &str, value: &Value, service: &mut Service) {
    for text in reader.texts(at, value) {
        match text
            .strip_suffix("/tcp")
            .unwrap_or(&text)
            .parse::<NonZeroU16>()
        {
            Ok(port) => service.expose.push(port.get()),
            Err(_) => reader.problem(at, &format!("{text:?} is no TCP port")),
        }
    }
}

fn healthcheck(reader: &mut Reader<'_>, at: &str, value: &Value) -> Option<Healthcheck> {
    if value.get("disable").and_then(Value::as_bool) == Some(true) {
        return Some(Healthcheck::new(Test::Off));
    }
    let words = value
        .get("test")
        .map(|test| reader.texts(at, test))
        .unwrap_or_default();
    let test = match words.split_first() {
        Some((kind, _)) if kind == "NONE" => Test::Off,
        Some((kind, [command])) if kind == "CMD-SHELL" => Test::Shell(command.clone()),
        Some((kind, words)) if kind == "CMD" && !words.is_empty() => Test::Words(words.to_vec()),
        Some(_) | None => {
            reader.problem(at, "has no test that begins with CMD or CMD-SHELL; say healthcheck = in [services.NAME]");
            return None;
        }
    };
    let mut check = Healthcheck::new(test);
    for (key, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        let at = at.as_str();
        match key.as_str() {
            "test" | "disable" => {}
            "interval" => {
                check.every_seconds = reader
                    .parsed(at, value, duration::seconds)
                    .map(|s| s.max(1))
            }
            "timeout" => {
                check.timeout_seconds = reader
                    .parsed(at, value, duration::seconds)
                    .map(|s| s.max(1))
            }
            "start_period" => check.start_seconds = reader.parsed(at, value, duration::seconds),
            "retries" => {
                check.retries = reader.parsed(at, value, |text| {
                    text.parse().map_err(|_| "is no number".to_owned())
                });
            }
            key => reader.refuse(at, key, value),
        }
    }
    Some(check)
}

fn depends_on(reader: &mut Reader<'_>, at: &str, value: &Value, service: &mut Service) {
    let Some(fields) = value.as_object() else {
        reader.problem(
            at,
            &format!("is not written out; make the file with {}", super::HOW),
        );
        return;
    };
    for (other, how) in fields {
        let at = format!("{at}.{other}");
        let condition = how
            .get("condition")
            .and_then(Value::as_str)
            .unwrap_or("service_started");
        // Waiting until it is ready is more than waiting until it was started.
        if !matches!(condition, "service_started" | "service_healthy") {
            reader.problem(
                &at,
                &format!("a task's services stay up: {condition} never comes; take it away"),
            );
        }
        for (key, value) in how.as_object().into_iter().flatten() {
            if !matches!(key.as_str(), "condition" | "required") {
                reader.refuse(&format!("{at}.{key}"), key, value);
            }
        }
        match other.parse::<Slug>() {
            Ok(other) => service.after.push(other),
            Err(why) => reader.problem(&at, &why),
        }
    }
}

/// `/path` or `/path:size=64m`.
fn tmpfs(text: &str) -> Result<Tmpfs, String> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    let mut size = None;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let wrong = || format!("{option:?} is not honoured: /path or /path:size=BYTES");
        let number = option.strip_prefix("size=").ok_or_else(wrong)?;
        let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match number
            .strip_prefix(digits)
            .unwrap_or_default()
            .to_ascii_lowercase()
            .as_str()
        {
            "" | "b" => "",
            "k" | "kb" => "KiB",
            "m" | "mb" => "MiB",
            "g" | "gb" => "GiB",
            _ => return Err(wrong()),
        };
        size = Some(Bytes::try_from(format!("{digits}{unit}"))?);
    }
    Ok(Tmpfs {
        path: path.to_owned(),
        size,
    })
}

/// Compose prints plain bytes.
fn bytes(reader: &mut Reader<'_>, at: &str, value: &Value) -> Option<Bytes> {
    reader.parsed(at, value, |text| Bytes::try_from(text.to_owned()))
}

fn cpus(reader: &mut Reader<'_>, at: &str, value: &Value) -> Option<Cpus> {
    reader.parsed(at, value, |text| {
        let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
        Cpus::try_from(number)
    })
}

fn pids(reader: &mut Reader<'_>, at: &str, value: &Value) -> Option<u32> {
    reader.parsed(at, value, |text| {
        text.parse()
            .map_err(|_| format!("{text} is no ceiling on processes"))
    })
}

fn ulimits(reader: &mut Reader<'_>, at: &str, value: &Value, service: &mut Service) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        // One number for both, or each.
        let number = |name: &str| value.get(name).unwrap_or(value).as_i64();
        let (soft, hard) = (number("soft"), number("hard"));
        let same = soft.filter(|_| soft == hard);
        match (key.as_str(), same) {
            ("nofile", Some(files)) if u32::try_from(files).is_ok() => {
                service.nofile = u32::try_from(files).ok();
            }
            // Without a bound of its own; the ceiling on memory holds for what is locked as well.
            ("memlock", Some(-1)) => service.memlock = Some(Bytes(i64::MAX.unsigned_abs())),
            ("memlock", Some(bytes)) if bytes >= 0 => {
                service.memlock = Some(Bytes(bytes.unsigned_abs()));
            }
            _ => reader.refuse(&at, "ulimits", value),
        }
    }
}

fn deploy(reader: &mut Reader<'_>, at: &str, value: &Value, service: &mut Service) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        match key.as_str() {
            "resources" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    let at = format!("{at}.{key}");
                    match key.as_str() {
                        "limits" => limits(reader, &at, value, service),
                        key => reader.refuse(&at, key, value),
                    }
                }
            }
            "replicas" if *value == 1 => {}
            key => reader.refuse(&at, key, value),
        }
    }
}

fn limits(reader: &mut Reader<'_>, at: &str, value: &Value, service: &mut Service) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        match key.as_str() {
            "cpus" => service.cpus = cpus(reader, &at, value),
            "memory" => service.memory = bytes(reader, &at, value),
            "pids" => service.pids = pids(reader, &at, value),
            key => reader.refuse(&at, key, value),
        }
    }
}

fn cap_drop(reader: &mut Reader<'_>, at: &str, value: &Value, service: &mut Service) {
    let mut left = Capability::SERVICE.to_vec();
    for name in reader.texts(at, value) {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("CAP_").unwrap_or(&name);
        left.retain(|capability| name != "ALL" && capability.as_str() != name);
    }
    service.capabilities = Some(left);
}

/// A service may name what it would have anyway, and take back what it dropped.
fn capabilities_back(reader: &mut Reader<'_>, at: &str, value: &Value, service: &mut Service) {
    for name in reader.texts(at, value) {
        let upper = name.to_ascii_uppercase();
        let upper = upper.strip_prefix("CAP_").unwrap_or(&upper);
        match Capability::SERVICE
            .into_iter()
            .find(|c| c.as_str() == upper)
        {
            None => reader.refuse(&format!("{at} {name}"), "cap_add", value),
            Some(capability) => {
                let left = service
                    .capabilities
                    .get_or_insert_with(|| Capability::SERVICE.to_vec());
                if !left.contains(&capability) {
                    left.push(capability);
                }
            }
        }
    }
}

fn networks(reader: &mut Reader<'_>, at: &str, value: &Value) {
    let Some(all) = value.as_object() else {
        return reader.refuse(at, "networks", value);
    };
    for (name, how) in all {
        if name != "default" || !is_nothing(how) {
            reader.refuse(&format!("{at}.{name}"), "networks", &Value::Bool(true));
        }
    }
}
