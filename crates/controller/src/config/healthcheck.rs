//! When a service can be used.

use serde::Deserialize;

/// `healthcheck = "command"`, `["words"]`, `"@postgres"` or `false`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Healthcheck {
    /// What is asked.
    pub test: Test,
    /// Seconds from one check to the next; these four come from compose files only.
    pub every_seconds: Option<u32>,
    /// Seconds that one may take.
    pub timeout_seconds: Option<u32>,
    /// Failures in a row that make the service unhealthy.
    pub retries: Option<u32>,
    /// Seconds from the start in which a failure does not count.
    pub start_seconds: Option<u32>,
}

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Nothing: the service is ready when it was started, even if its image has a check.
    Off,
    /// Whether its port listens.
    Port,
    /// A command of the service's image, run by its shell.
    Shell(String),
    /// A command and its arguments.
    Words(Vec<String>),
}

/// Checks with a name. They ask over TCP: while the images of PostgreSQL and MySQL set a new database up, a server
/// that nobody else can reach answers on the unix socket already.
const KNOWN: [(&str, &str); 4] = [
    (
        "@postgres",
        "pg_isready -q -h 127.0.0.1 -U \"${POSTGRES_USER:-postgres}\"",
    ),
    (
        "@redis",
        // One that wants a password is up as well.
        "redis-cli -h 127.0.0.1 ping | grep -Eq 'PONG|NOAUTH'",
    ),
    (
        "@mysql",
        "mysqladmin ping -h 127.0.0.1 --silent || mariadb-admin ping -h 127.0.0.1 --silent",
    ),
    (
        "@mongo",
        "mongosh --quiet --eval 'db.runCommand({ping:1}).ok' | grep -q 1",
    ),
];
/// The one that needs no program in the image.
const PORT: &str = "@port";

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Switch(bool),
    Text(String),
    Words(Vec<String>),
}

impl TryFrom<Written> for Healthcheck {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let test = match written {
            Written::Switch(false) => Test::Off,
            Written::Switch(true) => {
                return Err("healthcheck = true says nothing: give the command, or \
                            \"@port\" to wait until its port listens"
                    .into());
            }
            Written::Text(name) if name == PORT => Test::Port,
            Written::Text(name) if name.starts_with('@') => {
                let known = KNOWN.iter().find(|(known, _)| *known == name);
                let Some((_, command)) = known else {
                    let names: Vec<_> = KNOWN.iter().map(|(name, _)| *name).collect();
                    return Err(format!(
                        "there is no health check {name}: {PORT}, {} or a command",
                        names.join(", ")
                    ));
                };
                Test::Shell((*command).to_owned())
            }
            Written::Text(command) if command.trim().is_empty() => {
                return Err("healthcheck is empty; false turns it off".into());
            }
            Written::Text(command) => Test::Shell(command),
            Written::Words(words) if words.is_empty() => {
                return Err("healthcheck is empty; false turns it off".into());
            }
            Written::Words(words) => Test::Words(words),
        };
        Ok(Healthcheck::new(test))
    }
}

impl Healthcheck {
    /// With the usual times.
    #[must_use]
    pub fn new(test: Test) -> Healthcheck {
        Healthcheck {
            test,
            every_seconds: None,
            timeout_seconds: None,
            retries: None,
            start_seconds: None,
        }
    }
}
