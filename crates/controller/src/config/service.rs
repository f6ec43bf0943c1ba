//! `[services.NAME]`: a container beside the agent's.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Bytes, Cpus, Gpus, Healthcheck, Template, Tmpfs};
use crate::spec::{Capability, ImageRef, Profile};
use crate::task::Slug;

/// `[services.NAME]`. What is absent is what the image, or the compose file, says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// Its image.
    pub image: Option<ImageRef>,
    /// Instead of the image's entrypoint; the image's arguments then go as well.
    pub entrypoint: Vec<String>,
    /// Instead of the image's arguments.
    pub command: Vec<String>,
    /// More environment.
    pub env: BTreeMap<String, String>,
    /// Variables with a password made for each task; the agent gets them too.
    pub generate: Vec<String>,
    /// What else the agent's environment says of it, with `${NAME}` for a variable of this service.
    pub agent_env: BTreeMap<String, Template>,
    /// `uid:gid` instead of the image's user.
    pub user: Option<String>,
    /// Its working directory.
    pub workdir: Option<String>,
    /// The port it listens on, where the image does not say.
    pub port: Option<NonZeroU16>,
    /// What succeeds when the service can be used.
    pub healthcheck: Option<Healthcheck>,
    /// How long to wait for that, in seconds.
    pub wait_seconds: Option<u32>,
    /// Services that must be ready before this one starts.
    pub after: Vec<Slug>,
    /// Directories kept on a volume of the task.
    pub volumes: BTreeMap<Slug, String>,
    /// Directories kept in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// The root of the container cannot be written; `/tmp`, `tmpfs` and `volumes` can.
    pub read_only: Option<bool>,
    /// Ceiling, as `2GiB`.
    pub memory: Option<Bytes>,
    /// Ceiling, as `1.5`.
    pub cpus: Option<Cpus>,
    /// Ceiling on processes and threads.
    pub pids: Option<u32>,
    /// Ceiling on open files a process.
    pub nofile: Option<u32>,
    /// Memory that a process may lock, as io_uring and databases do; the engine's default, often 64 KiB to 8 MiB,
    /// where it is not said. What is locked counts as memory.
    pub memlock: Option<Bytes>,
    /// Size of `/dev/shm`.
    pub shm: Option<Bytes>,
    /// Ceiling on what the container writes into its own layer, where the engine can enforce one.
    pub disk: Option<Bytes>,
    /// GPUs of the host.
    pub gpus: Option<Gpus>,
    /// A system call filter below the checkout, instead of the engine's.
    pub seccomp: Option<PathBuf>,
    /// The same, read.
    #[serde(skip)]
    pub profile: Option<Profile>,
    /// Ports that a compose file says it listens on.
    #[serde(skip)]
    pub expose: Vec<u16>,
    /// What a compose file leaves it of the capabilities that a service has.
    #[serde(skip)]
    pub capabilities: Option<Vec<Capability>>,
}

impl Service {
    /// This on top of what a compose file says of the same service.
    #[must_use]
    pub fn over(self, base: Service) -> Service {
        let list =
            |mine: Vec<String>, other: Vec<String>| if mine.is_empty() { other } else { mine };
        let mut env = base.env;
        env.extend(self.env);
        let mut volumes = base.volumes;
        // A directory has one place: who says it again means another one.
        volumes.retain(|_, path| !self.volumes.values().any(|mine| mine == path));
        volumes.extend(self.volumes);
        // The image's arguments go with its entrypoint, and so do a compose file's with its.
        let command = match self.entrypoint.is_empty() {
            true => list(self.command, base.command),
            false => self.command,
        };
        Service {
            image: self.image.or(base.image),
            entrypoint: list(self.entrypoint, base.entrypoint),
            command,
            env,
            generate: self.generate,
            agent_env: self.agent_env,
            user: self.user.or(base.user),
            workdir: self.workdir.or(base.workdir),
            port: self.port.or(base.port),
            healthcheck: self.healthcheck.or(base.healthcheck),
            wait_seconds: self.wait_seconds.or(base.wait_seconds),
            after: if self.after.is_empty() {
                base.after
            } else {
                self.after
            },
            volumes,
            tmpfs: if self.tmpfs.is_empty() {
                base.tmpfs
            } else {
                self.tmpfs
            },
            read_only: self.read_only.or(base.read_only),
            memory: self.memory.or(base.memory),
            cpus: self.cpus.or(base.cpus),
            pids: self.pids.or(base.pids),
            nofile: self.nofile.or(base.nofile),
            memlock: self.memlock.or(base.memlock),
            shm: self.shm.or(base.shm),
            disk: self.disk.or(base.disk),
            gpus: self.gpus.or(base.gpus),
            seccomp: self.seccomp.or(base.seccomp),
            profile: self.profile.or(base.profile),
            expose: base.expose,
            capabilities: base.capabilities,
        }
    }

    /// The ports it listens on, as far as anybody says: `port`, else the compose file, else its image.
    #[must_use]
    pub fn ports(&self, image: &[u16]) -> Vec<u16> {
        match self.port {
            Some(port) => vec![port.get()],
            None if self.expose.is_empty() => image.to_vec(),
            None => self.expose.clone(),
        }
    }

    /// The name under which the agent gets a generated variable: its own where it begins with the service's name,
    /// so that two services can have a `PASSWORD`.
    #[must_use]
    pub fn agent_name(service: &Slug, variable: &str) -> String {
        let prefix = format!(
            "{}_",
            service.as_str().to_ascii_uppercase().replace('-', "_")
        );
        if variable.starts_with(&prefix) {
            variable.to_owned()
        } else {
            format!("{prefix}{variable}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(text: &str) -> Service {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_the_project_says_wins_and_environments_are_joined() {
        let base = service(
            r#"
            image = "postgres:17"
            command = ["-c", "fsync=off"]
            env = { A = "base", B = "base" }
            volumes = { data = "/data", more = "/more" }
            memory = "1GiB"
            user = "999"
            "#,
        );
        let mine = service(
            r#"
            env = { A = "mine" }
            volumes = { own = "/data" }
            memory = "2GiB"
            "#,
        );
        let merged = mine.over(base);
        let expected = service(
            r#"
            image = "postgres:17"
            command = ["-c", "fsync=off"]
            env = { A = "mine", B = "base" }
            volumes = { own = "/data", more = "/more" }
            memory = "2GiB"
            user = "999"
            "#,
        );
        assert_eq!(merged, expected);
    }

    #[test]
    fn another_entrypoint_takes_the_arguments_of_the_other_one_with_it() {
        let base = service("entrypoint = [\"a\"]\ncommand = [\"b\"]");
        let merged = service("entrypoint = [\"c\"]").over(base);
        assert_eq!(merged.entrypoint, ["c"]);
        assert_eq!(merged.command, [""; 0]);
    }

    #[test]
    fn the_agent_knows_whose_a_password_is() {
        let name =
            |service: &str, variable| Service::agent_name(&service.parse().unwrap(), variable);
        assert_eq!(name("postgres", "POSTGRES_PASSWORD"), "POSTGRES_PASSWORD");
        assert_eq!(name("db", "POSTGRES_PASSWORD"), "DB_POSTGRES_PASSWORD");
        assert_eq!(name("my-db", "PASSWORD"), "MY_DB_PASSWORD");
    }
}
