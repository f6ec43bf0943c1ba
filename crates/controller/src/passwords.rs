//! The passwords that were made for a task's services. They open nothing outside the task's fence, and are shown to
//! nobody all the same: they live in the containers' environment and in one file of the task, mode 0600.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::{Config, Service};
use crate::error::{Error, Result};
use crate::paths::{TaskDir, write_private};
use crate::secret::Secret;
use crate::task::Slug;

/// By service and variable. Neither `Debug` nor a plan shows a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Passwords(BTreeMap<Slug, BTreeMap<String, Secret>>);

/// The file's content.
#[derive(Serialize, Deserialize)]
struct File {
    v: u8,
    services: BTreeMap<Slug, BTreeMap<String, String>>,
}

impl Passwords {
    /// One for every variable that the settings ask for. What the task had before stays: a database on a volume that
    /// was kept knows only that one.
    pub fn of(dir: &TaskDir, config: &Config) -> Result<Passwords> {
        Passwords::with(&Passwords::read(&dir.passwords())?, config)
    }

    /// As [`Self::of`], with what a snapshot's volumes know before what the task had.
    pub fn with(before: &Passwords, config: &Config) -> Result<Passwords> {
        let mut made = BTreeMap::new();
        for (name, service) in &config.services {
            let mut mine = BTreeMap::new();
            for variable in &service.generate {
                let old = before.0.get(name).and_then(|old| old.get(variable));
                let secret = match old {
                    Some(old) => old.clone(),
                    None => Secret::generate()?,
                };
                mine.insert(variable.clone(), secret);
            }
            if !mine.is_empty() {
                made.insert(name.clone(), mine);
            }
        }
        Ok(Passwords(made))
    }

    /// What a file holds; nothing where there is none.
    pub fn read(path: &Path) -> Result<Passwords> {
        let services = read(path)?.into_iter().map(|(service, all)| {
            let all = all.into_iter().map(|(k, v)| (k, Secret::new(v)));
            (service, all.collect())
        });
        Ok(Passwords(services.collect()))
    }

    /// These, and those of `other` for services that these do not know.
    #[must_use]
    pub fn or(mut self, other: Passwords) -> Passwords {
        for (service, all) in other.0 {
            self.0.entry(service).or_insert(all);
        }
        self
    }

    /// Nothing was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A service's own.
    #[must_use]
    pub fn service(&self, name: &Slug) -> BTreeMap<String, Secret> {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// What the agent is told of all services: the passwords, and what `agent_env` makes of them.
    #[must_use]
    pub fn agent(&self, services: &BTreeMap<Slug, Service>) -> BTreeMap<String, Secret> {
        let mut told = BTreeMap::new();
        for (name, service) in services {
            let mine = self.service(name);
            for (variable, secret) in &mine {
                told.insert(Service::agent_name(name, variable), secret.clone());
            }
            for (variable, template) in &service.agent_env {
                let text = template.expand(|wanted| {
                    let plain = service.env.get(wanted).map(String::as_str);
                    mine.get(wanted).map(Secret::expose).or(plain)
                });
                told.insert(variable.clone(), Secret::new(text));
            }
        }
        told
    }

    /// Writes them where only their owner can read them.
    pub fn write(&self, path: &Path) -> Result<()> {
        let plain = |all: &BTreeMap<String, Secret>| -> BTreeMap<String, String> {
            all.iter()
                .map(|(k, v)| (k.clone(), v.expose().to_owned()))
                .collect()
        };
        let file = File {
            v: 1,
            services: self.0.iter().map(|(k, v)| (k.clone(), plain(v))).collect(),
        };
        let text = serde_json::to_string_pretty(&file).map_err(std::io::Error::from)?;
        write_private(path, &text)
    }
}

fn read(path: &Path) -> Result<BTreeMap<Slug, BTreeMap<String, String>>> {
    match fs_err::read_to_string(path) {
        // Not with serde's own words: they can quote what they stumbled over.
        Ok(text) => serde_json::from_str::<File>(&text)
            .map(|file| file.services)
            .map_err(|_| {
                Error::Failed(format!(
                    "{} does not hold a task's passwords",
                    path.display()
                ))
            }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::paths::StateDir;
    use crate::task::TaskId;

    const SERVICES: &str = r#"
        [services.postgres]
        image = "postgres:17"
        env = { POSTGRES_USER = "shop" }
        generate = ["POSTGRES_PASSWORD"]
        agent_env = { DATABASE_URL = "postgres://${POSTGRES_USER}:${POSTGRES_PASSWORD}@postgres/shop" }
        [services.cache]
        image = "redis:8"
        generate = ["PASSWORD"]
        [services.web]
        image = "web"
    "#;

    fn bed() -> (tempfile::TempDir, TaskDir, Config) {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(directory.path())).unwrap();
        let dir = state.task(&TaskId {
            project: "shop".parse().unwrap(),
            task: "t".parse().unwrap(),
        });
        fs_err::create_dir_all(dir.root()).unwrap();
        let config = Config::parse(Path::new("agentnet.toml"), SERVICES).unwrap();
        (directory, dir, config)
    }

    #[test]
    fn service_and_agent_get_the_same_password_and_the_templates_have_it() {
        let (_guard, dir, config) = bed();
        let passwords = Passwords::of(&dir, &config).unwrap();
        let agent = passwords.agent(&config.services);
        let own = passwords.service(&"postgres".parse().unwrap());
        let password = own["POSTGRES_PASSWORD"].expose();
        assert_eq!(agent["POSTGRES_PASSWORD"].expose(), password);
        assert_eq!(
            agent["DATABASE_URL"].expose(),
            format!("postgres://shop:{password}@postgres/shop")
        );
        assert_eq!(
            agent.keys().collect::<Vec<_>>(),
            ["CACHE_PASSWORD", "DATABASE_URL", "POSTGRES_PASSWORD"]
        );
        assert_ne!(agent["CACHE_PASSWORD"].expose(), password);
        assert!(passwords.service(&"web".parse().unwrap()).is_empty());
    }

    #[test]
    fn they_are_kept_in_a_file_that_only_its_owner_reads_and_used_again() {
        let (_guard, dir, config) = bed();
        let first = Passwords::of(&dir, &config).unwrap();
        assert_ne!(Passwords::of(&dir, &config).unwrap(), first);
        first.write(&dir.passwords()).unwrap();
        let mode = fs_err::metadata(dir.passwords())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(Passwords::of(&dir, &config).unwrap(), first);
    }

    #[test]
    fn nothing_that_prints_them_shows_a_value() {
        let (_guard, dir, config) = bed();
        let passwords = Passwords::of(&dir, &config).unwrap();
        let value = passwords.service(&"cache".parse().unwrap())["PASSWORD"].clone();
        for text in [
            format!("{passwords:?}"),
            serde_json::to_string(&passwords).unwrap(),
        ] {
            assert!(
                text.contains("PASSWORD") && !text.contains(value.expose()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_that_does_not_quote_it() {
        let (_guard, dir, config) = bed();
        fs_err::write(dir.passwords(), "{\"v\":1,\"services\":\"hunter2\"}").unwrap();
        let problem = Passwords::of(&dir, &config).unwrap_err().to_string();
        assert!(
            problem.contains("passwords.json") && !problem.contains("hunter2"),
            "{problem}"
        );
    }
}
