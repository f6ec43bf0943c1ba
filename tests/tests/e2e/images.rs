//! What is in the images.

use std::time::Duration;

use agentnet_e2e::engine::{BASE_IMAGE, Engine, Thing};
use agentnet_e2e::name::unique;
use agentnet_e2e::origin::{ALLOWED, Origin, UNLISTED};
use agentnet_e2e::{on_engines, wait};

fn inspect(engine: &Engine, image: &str, format: &str) -> String {
    engine
        .docker([
            "image",
            "inspect",
            "--format",
            format,
            &Engine::image(image),
        ])
        .expect()
}

/// Started in the place of a container with Tinyproxy, with `words` before and after the image's name.
fn serves_for_tinyproxy(engine: &Engine, before: &[&str], after: &[&str]) {
    let files = tempfile::tempdir().unwrap();
    let conf = "Port 8888\nTimeout 600\nAllow 0.0.0.0/0\nFilter \"/etc/tinyproxy/filter\"\nFilterDefaultDeny Yes\n";
    std::fs::write(files.path().join("tinyproxy.conf"), conf).unwrap();
    std::fs::write(
        files.path().join("filter"),
        format!("^{}$\n", ALLOWED.replace('.', "\\.")),
    )
    .unwrap();
    // The proxy in its container is another user.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(files.path(), mode).unwrap();

    let network = unique("tinyproxy-net");
    let _network = Thing::network(engine, &network, &[]);
    let _origin = Origin::start(engine, &network);
    let name = unique("tinyproxy");
    let joined = format!("--network={network}");
    let mount = format!("--volume={}:/etc/tinyproxy:ro", files.path().display());
    // The tests' origin has a private address, as everything on a container network has.
    let switch = "--env=AGENTNET_PRIVATE_DESTINATIONS=allow";
    let image = Engine::image("proxy");
    let mut words = vec![joined.as_str(), &mount, switch];
    words.extend(before);
    words.push(&image);
    words.extend(after);
    let _proxy = Thing::container(engine, &name, &words);
    let client = unique("client");
    let _client = Thing::container(
        engine,
        &client,
        &[&joined, "--init", BASE_IMAGE, "sleep", "infinity"],
    );

    let ask = |host: &str| {
        let script = format!(
            "curl --silent --include --max-time 10 --proxy http://{name}:8888 http://{host}/hello"
        );
        engine.shell(&client, &script).stdout
    };
    let served = wait::until("the proxy to answer", Duration::from_secs(20), || {
        Some(ask(ALLOWED)).filter(|answer| answer.contains("HTTP/1.1"))
    });
    assert!(
        served.contains("hello from the origin"),
        "{served}{}",
        engine.docker(["logs", &name])
    );
    let refused = ask(UNLISTED);
    assert!(
        refused.starts_with("HTTP/1.1 403") && refused.contains("403 Filtered"),
        "{refused}"
    );
    let said = engine.docker(["logs", &name]).text();
    assert!(
        said.contains("Proxying refused on filtered domain"),
        "the log is Tinyproxy's: {said}"
    );
}

on_engines! {
    [current, old] fn the_proxy_takes_the_place_of_tinyproxy_by_its_name(engine) {
        let file = "/etc/tinyproxy/tinyproxy.conf";
        serves_for_tinyproxy(engine, &["--entrypoint=tinyproxy"], &["-d", "-c", file]);
        serves_for_tinyproxy(engine, &[], &["tinyproxy", "-d", "-c", file]);
    }

    [current, old] fn the_proxy_takes_the_place_of_tinyproxy_with_its_file_alone(engine) {
        serves_for_tinyproxy(engine, &[], &["-c", "/etc/tinyproxy/tinyproxy.conf"]);
    }

    [current, old] fn the_proxy_is_one_static_binary_that_runs_unprivileged(engine) {
        assert_eq!(inspect(engine, "proxy", "{{.Config.User}}"), "65532:65532");
        assert_eq!(inspect(engine, "proxy", "{{json .Config.Healthcheck.Test}}"), r#"["CMD","/agentnet-proxy","healthcheck"]"#);
        assert_eq!(inspect(engine, "proxy", "{{json .Config.ExposedPorts}}"), r#"{"8888/tcp":{}}"#);
        let version = inspect(engine, "proxy", r#"{{index .Config.Labels "org.opencontainers.image.version"}}"#);
        let said = engine.docker(["run", "--rm", "--network=none", &Engine::image("proxy"), "--version"]).expect();
        assert!(said.contains(&version), "the label says {version}, the program {said}");
    }

    [current, old] fn the_agent_image_has_one_user_and_no_way_to_become_another(engine) {
        let run = |script: &str| {
            engine.docker(["run", "--rm", "--network=none", &Engine::image("agent"), "sh", "-c", script])
        };
        assert_eq!(run("id --user --name; id --user; pwd").expect(), "agent\n1000\n/workspace");
        run("touch /workspace/a && git --version && curl --version && python3 --version").expect();
        assert_eq!(run("find / -xdev -type f -perm /6000 2>/dev/null; true").expect(), "");
        run("sudo true").expect_failure();
    }
}
