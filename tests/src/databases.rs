//! An image with a real PostgreSQL and a real Redis, from packages.

use std::time::Duration;

use crate::bed::root;
use crate::command::run_with;
use crate::engine::Engine;
use crate::peers::peer;

/// What the image is called.
pub const IMAGE: &str = "agentnet-e2e/databases";
/// Whom the databases run as in it.
pub const USER: &str = "70:70";
/// What an image of PostgreSQL does at its first start.
pub const POSTGRES: &str = r#"
set -eu
data=/var/lib/postgresql/data/db
if [ ! -e "$data/PG_VERSION" ]; then
    printf %s "$POSTGRES_PASSWORD" >/tmp/password
    initdb --no-sync --username=postgres --auth=scram-sha-256 --pwfile=/tmp/password "$data" >/dev/null
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
fi
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
"#;
/// One statement, in a shell of the agent.
pub const PSQL: &str = "psql \"$DATABASE_URL\" --no-psqlrc --tuples-only --no-align --command";

/// The table of a service `postgres` with a password and a volume of each task's.
pub fn postgres() -> String {
    format!(
        r#"
[services.postgres]
image = "{IMAGE}"
user = "{USER}"
port = 5432
command = ["sh", "-c", '''{POSTGRES}''']
generate = ["POSTGRES_PASSWORD"]
agent_env = {{ DATABASE_URL = "postgres://postgres:${{POSTGRES_PASSWORD}}@postgres:5432/postgres" }}
healthcheck = "@postgres"
volumes = {{ data = "/var/lib/postgresql/data" }}
"#
    )
}

/// Builds the image from unpacked packages; or says why there is none.
pub fn image(engine: &Engine) -> Result<(), String> {
    let context = peer("databases")?;
    let file = root().join("tests/databases/Dockerfile");
    let mut build = engine.command("docker");
    build
        .args(["build", "--quiet", "--tag", IMAGE, "--file"])
        .arg(file)
        .arg(context);
    let built = run_with(&mut build, "", Duration::from_secs(300));
    if built.ok() {
        Ok(())
    } else {
        Err(built.to_string())
    }
}
