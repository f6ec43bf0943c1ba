//! Where Podman speaks Docker's API with an accent of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models;
use rustix::process::Resource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::engine::{EngineError, EngineResult, Output};
use crate::paths::write_atomically;
use crate::spec::digest;

/// It is on this machine, and answers from memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// Podman tells it by the name of its first component.
pub(super) fn is_podman(version: &models::SystemVersion) -> bool {
    let components = version.components.iter().flatten();
    components.into_iter().any(|c| c.name.contains("Podman"))
}

/// Whether an ordinary user runs it. Docker says so among the security options; Podman has a field of its own for it,
/// which a client of Docker's API does not read.
pub(super) async fn is_rootless(endpoint: &str) -> Option<bool> {
    let path = endpoint.strip_prefix("unix://")?;
    let answer = timeout(PATIENCE, async {
        let mut stream = UnixStream::connect(path).await.ok()?;
        // HTTP/1.0: the answer is in one piece, and ends with the connection.
        let question = b"GET /v1.41/info HTTP/1.0\r\nHost: podman\r\n\r\n";
        stream.write_all(question).await.ok()?;
        let mut answer = Vec::new();
        let most = u64::try_from(Output::LIMIT).unwrap_or(u64::MAX);
        stream.take(most).read_to_end(&mut answer).await.ok()?;
        Some(answer)
    });
    let answer = String::from_utf8(answer.await.ok()??).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let info: serde_json::Value = serde_json::from_str(body).ok()?;
    info.get("Rootless")?.as_bool()
}

/// `runc version 1.1.5+ds1`, and more lines.
pub(super) fn runc(version: &models::SystemVersion) -> Option<String> {
    let mut components = version.components.iter().flatten();
    let text = &components.find(|c| c.name.contains("(runc)"))?.version;
    let first = text.lines().next()?.trim();
    Some(first.strip_prefix("runc version ")?.to_owned())
}

/// Whether a removal that was refused with these words may be asked for again. The owner of a namespace does not go
/// before those who share it, which are removed at the same time; and what ends by itself cannot be ended.
pub(super) fn passes(refusal: &str) -> bool {
    ["has dependent containers", "container state improper"]
        .iter()
        .any(|words| refusal.contains(words))
}

/// A request as Podman understands it. `filters` is where files with system call filters are kept.
pub(super) fn adapt(
    body: &mut models::ContainerCreateBody,
    filters: Option<&Path>,
) -> EngineResult<()> {
    let Some(host) = &mut body.host_config else {
        return Ok(());
    };
    // Docker is given a filter's text, Podman the name of a file of its machine (containers/podman#27710).
    for option in host.security_opt.iter_mut().flatten() {
        if let Some(text) = option
            .strip_prefix("seccomp=")
            .filter(|t| t.starts_with('{'))
        {
            *option = format!("seccomp={}", keep(text, filters)?.display());
        }
    }
    // Where one limit is set it raises these as far as the kernel goes, and fails where it may not.
    if let Some(limits) = host.ulimits.as_mut().filter(|limits| !limits.is_empty()) {
        for (name, resource) in [("nofile", Resource::Nofile), ("nproc", Resource::Nproc)] {
            let most = rustix::process::getrlimit(resource).maximum;
            let most = most.and_then(|most| i64::try_from(most).ok());
            let set = limits
                .iter()
                .any(|limit| limit.name.as_deref() == Some(name));
            if let Some(most) = most.filter(|_| !set) {
                limits.push(models::ResourcesUlimits {
                    name: Some(name.to_owned()),
                    soft: Some(most),
                    hard: Some(most),
                });
            }
        }
    }
    Ok(())
}

/// A request made from what Podman tells of a container, as it takes one.
pub(super) fn again(body: &mut models::ContainerCreateBody) {
    let Some(host) = &mut body.host_config else {
        return;
    };
    // It tells both, and takes one; the other follows.
    if host.nano_cpus.is_some_and(|nanos| nanos > 0) {
        (host.cpu_period, host.cpu_quota) = (None, None);
    }
    // A word of its own for "the usual one".
    host.runtime = None;
    for limit in host.ulimits.iter_mut().flatten() {
        let name = limit.name.take().unwrap_or_default();
        limit.name = Some(name.trim_start_matches("RLIMIT_").to_lowercase());
    }
    host.ulimits
        .iter_mut()
        .for_each(|limits| limits.retain(|limit| limit.name.as_deref() != Some("nproc")));
    host.cap_add = Some(super::privileges::held(host));
    host.cap_drop = Some(vec!["ALL".to_owned()]);
}

/// Writes a filter to a file that is named after it.
fn keep(text: &str, filters: Option<&Path>) -> EngineResult<PathBuf> {
    let directory = filters.ok_or_else(|| {
        EngineError::Broken(
            "it takes system call filters as files, and there is no place for them".into(),
        )
    })?;
    let path = directory.join(format!("{}.json", digest(text)));
    let written = fs_err::create_dir_all(directory)
        .map_err(crate::error::Error::from)
        .and_then(|()| write_atomically(&path, text));
    written.map_err(|e| EngineError::Broken(format!("keeping its system call filter: {e}")))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(options: &[&str], ulimits: bool) -> models::ContainerCreateBody {
        let nofile = models::ResourcesUlimits {
            name: Some("nofile".into()),
            soft: Some(9),
            hard: Some(9),
        };
        models::ContainerCreateBody {
            host_config: Some(models::HostConfig {
                security_opt: Some(options.iter().map(|&o| o.to_owned()).collect()),
                ulimits: ulimits.then(|| vec![nofile]),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_filter_goes_as_a_file_with_that_text() {
        let directory = tempfile::tempdir().unwrap();
        let mut body = request(&["no-new-privileges", "seccomp={\"a\":1}"], false);
        adapt(&mut body, Some(directory.path())).unwrap();
        let options = body.host_config.unwrap().security_opt.unwrap();
        let file = options[1].strip_prefix("seccomp=").unwrap();
        assert_eq!(options[0], "no-new-privileges");
        assert_eq!(fs_err::read_to_string(file).unwrap(), "{\"a\":1}");
        assert!(Path::new(file).starts_with(directory.path()));
    }

    #[test]
    fn a_filter_that_cannot_be_kept_is_an_error_and_not_a_container_without_one() {
        assert!(adapt(&mut request(&["seccomp={}"], false), None).is_err());
        let mut none = request(&["seccomp=unconfined"], false);
        adapt(&mut none, None).unwrap();
        let options = none.host_config.unwrap().security_opt.unwrap();
        assert_eq!(options, ["seccomp=unconfined"]);
    }

    #[test]
    fn processes_are_not_raised_where_another_limit_is_set() {
        let names = |ulimits: bool| -> Vec<Option<String>> {
            let mut body = request(&[], ulimits);
            adapt(&mut body, None).unwrap();
            let all = body.host_config.unwrap().ulimits.unwrap_or_default();
            all.into_iter().map(|limit| limit.name).collect()
        };
        assert_eq!(names(false), []);
        let most = rustix::process::getrlimit(Resource::Nproc).maximum;
        assert_eq!(names(true).len(), 1 + usize::from(most.is_some()));
    }

    #[test]
    fn what_it_tells_of_a_container_is_a_request_for_one_like_it() {
        let text = r#"{"HostConfig":{"NanoCpus":2000000000,"CpuPeriod":100000,"CpuQuota":200000,"Runtime":"oci",
            "CapAdd":[],"CapDrop":["CAP_AUDIT_WRITE","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_MKNOD",
            "CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SETFCAP","CAP_SETGID","CAP_SETPCAP","CAP_SETUID","CAP_SYS_CHROOT"],
            "Ulimits":[{"Name":"RLIMIT_NOFILE","Soft":9,"Hard":9},{"Name":"RLIMIT_NPROC","Soft":9,"Hard":9}]}}"#;
        let mut body: models::ContainerCreateBody = serde_json::from_str(text).unwrap();
        again(&mut body);
        let host = body.host_config.unwrap();
        assert_eq!(
            (host.nano_cpus, host.cpu_period, host.cpu_quota),
            (Some(2_000_000_000), None, None)
        );
        assert_eq!(host.runtime, None);
        assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(host.cap_add, Some(vec!["CHOWN".to_owned()]));
        let names: Vec<_> = host
            .ulimits
            .unwrap()
            .into_iter()
            .map(|l| l.name.unwrap())
            .collect();
        assert_eq!(names, ["nofile"]);
    }

    #[test]
    fn the_runtime_is_read_from_podmans_words() {
        let version = |name: &str, text: &str| models::SystemVersion {
            components: Some(vec![models::SystemVersionComponents {
                name: name.into(),
                version: text.into(),
                ..Default::default()
            }]),
            ..Default::default()
        };
        let runc = runc(&version(
            "OCI Runtime (runc)",
            "runc version 1.1.5+ds1\ncommit: x",
        ));
        assert_eq!(runc.as_deref(), Some("1.1.5+ds1"));
        assert_eq!(
            super::runc(&version("OCI Runtime (crun)", "crun 1.8")),
            None
        );
        assert!(is_podman(&version("Podman Engine", "4.3.1")));
        assert!(!is_podman(&version("Engine", "28.5.2")));
    }
}
