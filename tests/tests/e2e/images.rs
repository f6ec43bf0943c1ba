//! What is in the images.

use agentnet_e2e::engine::Engine;
use agentnet_e2e::on_engines;

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

on_engines! {
    [current, old] fn the_proxy_is_one_small_static_binary_that_runs_unprivileged(engine) {
        let bytes: u64 = inspect(engine, "proxy", "{{.Size}}").parse().unwrap();
        // It was 8 MiB before the proxy spoke TLS and SOCKS to parents, DNS, and Tinyproxy's patterns.
        assert!(bytes <= 10 << 20, "{bytes} bytes; the limit is 10 MiB");
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
