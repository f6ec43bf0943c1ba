//! What an engine says of a limit that it may not give, in words of the setting that asked for it.

use crate::ceiling::binary;
use crate::engine::EngineError;
use crate::error::Error;
use crate::labels::SERVICE;
use crate::plan::{Planned, Step};
use crate::spec::{ContainerSpec, Limits};

/// The error of a plan's step, or a better sentence for it.
pub(super) fn explained(steps: &[Planned], place: usize, error: Error) -> Error {
    let Error::Engine {
        source: EngineError::Refused { message, .. } | EngineError::Broken(message),
        ..
    } = &error
    else {
        return error;
    };
    let step = steps.get(place).map(|planned| &planned.step);
    let started = if let Some(Step::Start { container, .. }) = step {
        made(steps, container)
    } else {
        None
    };
    match started.and_then(|spec| too_high(spec, message)) {
        Some(sentence) => Error::Config(sentence),
        None => error,
    }
}

fn made<'a>(steps: &'a [Planned], name: &str) -> Option<&'a ContainerSpec> {
    let mut specs = steps.iter().filter_map(|planned| {
        if let Step::Container(spec) = &planned.step {
            return Some(spec);
        }
        None
    });
    specs.find(|spec| spec.name == name)
}

/// The limit that the runtime could not set: runc says it by the kernel's number, crun by its name.
fn too_high(spec: &ContainerSpec, message: &str) -> Option<String> {
    let is = |number: &str, name: &str| {
        message.contains(&format!("setting rlimit type {number}:")) || message.contains(name)
    };
    let Limits {
        memlock, nofile, ..
    } = &spec.limits;
    let (setting, asked, letter) = if is("8", "RLIMIT_MEMLOCK") {
        let asked = memlock.map(|bytes| match i64::try_from(bytes) {
            Ok(i64::MAX) | Err(_) => "no bound".to_owned(),
            Ok(_) => binary(bytes),
        });
        ("memlock", asked, 'l')
    } else if is("7", "RLIMIT_NOFILE") {
        ("nofile", nofile.map(|files| files.to_string()), 'n')
    } else {
        return None;
    };
    let whose = match spec.labels.get(SERVICE) {
        Some(service) => format!("service {service}"),
        None => spec.name.clone(),
    };
    Some(format!(
        "{whose} asks for {setting} = {}, and the engine cannot give it: that is above the engine's own hard limit, which it \
         may not raise; ask for at most what ulimit -H{letter} says where the engine runs, or raise it there \
         (Limit{} = in the engine's systemd unit)",
        asked.as_deref().unwrap_or("the default"),
        setting.to_uppercase(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Role;

    fn start(message: &str, limits: Limits) -> Error {
        let mut spec = ContainerSpec::bare("agentnet-shop-t-service-db");
        spec.labels.insert(SERVICE.to_owned(), "db".to_owned());
        spec.limits = limits;
        let start = Step::Start {
            container: spec.name.clone(),
            role: Role::Service,
        };
        let steps = [Step::Container(spec), start].map(|step| Planned {
            step,
            after: Vec::new(),
        });
        let error = Error::engine("starting")(EngineError::Refused {
            status: 500,
            message: message.to_owned(),
        });
        explained(&steps, 1, error)
    }

    const RUNC: &str = "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create \
                        failed: unable to start container process: error setting rlimits for ready process: error setting \
                        rlimit type 8: operation not permitted: unknown";

    #[test]
    fn a_limit_that_the_engine_may_not_give_is_said_in_words_of_its_setting() {
        let limits = Limits {
            memlock: Some(16 << 20),
            ..Limits::default()
        };
        let error = start(RUNC, limits);
        let text = error.to_string();
        assert!(
            text.contains("service db asks for memlock = 16 MiB") && text.contains("ulimit -Hl"),
            "{text}"
        );
        assert_eq!(error.exit(), crate::exit::Exit::Config);
        let unbounded = Limits {
            memlock: Some(i64::MAX.unsigned_abs()),
            nofile: Some(70_000),
            ..limits
        };
        let text = start(RUNC, unbounded).to_string();
        assert!(text.contains("memlock = no bound"), "{text}");
        let crun =
            "crun: setrlimit `RLIMIT_NOFILE`: Operation not permitted: OCI permission denied";
        let text = start(crun, unbounded).to_string();
        assert!(
            text.contains("nofile = 70000") && text.contains("ulimit -Hn"),
            "{text}"
        );
    }

    #[test]
    fn any_other_refusal_stays_as_it_is() {
        let error = start("error setting cgroup config", Limits::default());
        assert!(matches!(error, Error::Engine { .. }), "{error}");
    }
}
