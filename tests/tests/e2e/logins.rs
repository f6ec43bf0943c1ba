//! One login, and two tasks that find it out of date at the same moment: agents from their packages, against a stand-in
//! that logs out whoever uses a token for renewal twice.

use std::thread;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::bed::skip;
use agentnet_e2e::clients;
use agentnet_e2e::engine::Engine;
use agentnet_e2e::on_engines;
use agentnet_e2e::origin::{ALLOWED, Origin, whitelist};
use fs_err as fs;

/// Where Claude Code renews its login; no variable changes that. Here it is a name of the stand-in's.
const RENEWAL: &str = "platform.claude.com";
/// A token that ran out in 2020, which nobody signed: header, `exp` and an account.
const OLD: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJleHAiOjE2MDAwMDAwMDAsImVtYWlsIjoibWVAZXhhbXBsZS5vcmciLCJodHRwczovL2FwaS5vcGVuYWkuY29tL2F1dGgiOnsiY2hhdGdwdF9wbGFuX3R5cGUiOiJwcm8iLCJjaGF0Z3B0X2FjY291bnRfaWQiOiJtZSJ9fQ.InVuc2lnbmVkIg";
const SAID: &str = "answered through the fence";
const TASKS: [&str; 2] = ["one", "two"];

/// What an agent of a kind needs.
struct Kind {
    agent: &'static str,
    /// Its login, in the directory that the tasks share.
    file: &'static str,
    login: String,
    /// `[agent.env]`
    env: String,
    /// Runs in each task's container before the agent.
    before: String,
    command: &'static [&'static str],
}

/// Both tasks renew at once and get their answer; the file that is left, and how often a used token was used again.
fn renew(engine: &Engine, image: &str, kind: &Kind) -> (String, usize) {
    let checkout = Checkout::new(engine, None, &format!("{}{RENEWAL} private\n", whitelist()));
    checkout.add_config(&format!(
        "\n[agent.env]\nNODE_EXTRA_CA_CERTS = \"/tmp/ca.pem\"\nSSL_CERT_FILE = \"/tmp/ca.pem\"\n{}",
        kind.env
    ));
    for task in TASKS {
        let words = [
            "up", task, "--image", image, "--agent", kind.agent, "--with", "login",
        ];
        checkout.agentnet(&words).expect();
    }
    let egress = TASKS.map(|task| checkout.network(task, "egress"));
    let origin = Origin::start_with(engine, &egress[0], &[RENEWAL.to_owned()]);
    origin.join(&egress[1]);
    for task in TASKS {
        let agent = checkout.container(task, "agent");
        engine.write(&agent, "/tmp/ca.pem", &origin.authority());
        engine.shell(&agent, &kind.before).expect();
        if task == TASKS[0] {
            engine.write(
                &agent,
                &format!("/agentnet/login/{}", kind.file),
                &kind.login,
            );
        }
    }
    thread::scope(|scope| {
        let run = |task| {
            let words = [&["exec", task, "--", "timeout", "90"], kind.command].concat();
            checkout.agentnet(&words)
        };
        for run in TASKS.map(|task| scope.spawn(move || run(task))) {
            let said = run.join().unwrap();
            assert!(said.ok() && said.stdout.contains(SAID), "{said}");
        }
    });
    let requests = origin.requests();
    let renewals = requests.iter().filter(|line| line.contains("/oauth/token"));
    assert!(renewals.count() > 0, "nothing was renewed: {requests:?}");
    let again = requests
        .iter()
        .filter(|line| line.contains("used before"))
        .count();
    drop(origin);
    checkout
        .agentnet(&["down", "one", "two", "--discard"])
        .expect();
    let file = checkout
        .state()
        .join("logins")
        .join(kind.agent)
        .join(kind.file);
    (fs::read_to_string(file).unwrap(), again)
}

on_engines! {
    [current] fn two_tasks_renew_one_login_of_claude_code_with_one_request(engine) {
        let image = match clients::image(engine) {
            Ok(image) => image,
            Err(reason) => return skip(&reason),
        };
        let (login, again) = renew(engine, &image, &Kind {
            agent: "claude",
            file: ".credentials.json",
            login: "{\"claudeAiOauth\":{\"accessToken\":\"old\",\"refreshToken\":\"renew-0\",\"expiresAt\":1600000000000,\
                \"scopes\":[\"user:inference\",\"user:profile\"],\"subscriptionType\":\"pro\"}}".to_owned(),
            env: format!("ANTHROPIC_BASE_URL = \"https://{ALLOWED}\"\nCLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC = \"1\"\n"),
            before: "true".to_owned(),
            command: &["claude", "--print", "--dangerously-skip-permissions", "--", "hello"],
        });
        assert!(login.contains("\"renew-1\""), "{login}");
        assert_eq!(again, 0);
    }

    [current] fn two_tasks_renew_one_login_of_codex_and_neither_is_logged_out(engine) {
        let image = match clients::image(engine) {
            Ok(image) => image,
            Err(reason) => return skip(&reason),
        };
        let settings = format!(
            "model = \"sample\"\nmodel_provider = \"here\"\n[model_providers.here]\nname = \"here\"\n\
             base_url = \"https://{ALLOWED}/v1\"\nwire_api = \"responses\"\nrequires_openai_auth = true\n"
        );
        let (login, again) = renew(engine, &image, &Kind {
            agent: "codex",
            file: "auth.json",
            login: format!("{{\"auth_mode\":\"chatgpt\",\"OPENAI_API_KEY\":null,\"last_refresh\":\"2020-01-01T00:00:00Z\",\
                \"tokens\":{{\"id_token\":\"{OLD}\",\"access_token\":\"{OLD}\",\"refresh_token\":\"renew-0\",\"account_id\":\"me\"}}}}"),
            env: format!("CODEX_REFRESH_TOKEN_URL_OVERRIDE = \"https://{ALLOWED}/oauth/token\"\n"),
            before: format!("mkdir -p ~/.codex && printf %s '{settings}' >~/.codex/config.toml"),
            command: &["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--", "hello"],
        });
        assert!(login.contains("\"renew-1\""), "{login}");
        // It locks the file and not the renewal: who comes second is refused, and takes what the first one got.
        assert!(again <= 1, "{again}");
    }
}
