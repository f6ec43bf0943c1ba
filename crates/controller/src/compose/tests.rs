use super::*;
use crate::config::{Bytes, Cpus, Healthcheck, Test, Tmpfs};
use crate::spec::Capability;

/// What compose 2.40 prints for a project with an override, a profile and most of what people write.
const PRINTED: &str = include_str!("../../tests/data/compose.json");

fn options(skip: &[&str], ignore: &[&str]) -> Compose {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Compose {
        file: None,
        skip: own(skip),
        ignore: own(ignore),
    }
}

fn read(text: &str, options: &Compose) -> Result<BTreeMap<Slug, Service>> {
    import(Path::new("compose.json"), text, options)
}

/// A file with one service `s` that has an image and this.
fn problem(fields: &str) -> String {
    let text = format!(r#"{{"services":{{"s":{{"image":"x",{fields}}}}}}}"#);
    read(&text, &options(&[], &[])).unwrap_err().to_string()
}

#[test]
fn what_compose_prints_is_read_whole() {
    let options = options(&["app"], &["ports", "restart", "labels", "init"]);
    let found = read(PRINTED, &options).unwrap();
    let slug = |name: &str| name.parse::<Slug>().unwrap();
    let mut check = Healthcheck::new(Test::Shell("pg_isready -U shop".into()));
    check.every_seconds = Some(90);
    check.retries = Some(5);
    check.start_seconds = Some(10);
    let env = [
        ("EXTRA", "1"),
        ("POSTGRES_PASSWORD", "a$b"),
        ("POSTGRES_USER", "shop"),
    ];
    let db = Service {
        image: Some("postgres:17".parse().unwrap()),
        env: env.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        healthcheck: Some(check),
        volumes: [(slug("pg-data"), "/var/lib/postgresql/data".to_owned())].into(),
        tmpfs: vec![Tmpfs {
            path: "/run/x".into(),
            size: Some(Bytes(64 << 20)),
        }],
        memory: Some(Bytes(512 << 20)),
        cpus: Some(Cpus(500)),
        pids: Some(200),
        nofile: Some(4096),
        memlock: Some(Bytes(i64::MAX.unsigned_abs())),
        shm: Some(Bytes(128 << 20)),
        ..Service::default()
    };
    let cache = Service {
        image: Some("redis:8".parse().unwrap()),
        command: ["redis-server", "--save", ""].map(str::to_owned).to_vec(),
        after: vec![slug("db")],
        tmpfs: vec![Tmpfs {
            path: "/tmp".into(),
            size: Some(Bytes(16 << 20)),
        }],
        memory: Some(Bytes(256 << 20)),
        expose: vec![6379],
        capabilities: Some(vec![Capability::Setuid]),
        ..Service::default()
    };
    assert_eq!(
        found,
        BTreeMap::from([(slug("cache"), cache), (slug("db"), db)])
    );
}

#[test]
fn everything_that_is_not_honoured_is_named_at_once_with_what_to_do() {
    let problem = read(PRINTED, &options(&[], &[])).unwrap_err().to_string();
    for expected in [
        "compose.json has what a task cannot honour:",
        "services.app.build: agentnet builds no image",
        "services.app.volumes[0]: mounts /home/me/shop of the host",
        "services.db.ports: a task publishes no port",
        "services.db.restart: a service that ends is not started again",
        "services.db.labels: containers of a task carry agentnet's labels only; ignore = [\"labels\"] in [compose]",
        "services.cache.init: agentnet's gate",
    ] {
        assert!(problem.contains(expected), "{expected}: {problem}");
    }
}

#[test]
fn no_field_that_reaches_out_of_the_task_gets_through() {
    let cases = [
        (
            r#""privileged":true"#,
            "services.s.privileged: no container of a task is privileged",
        ),
        (
            r#""network_mode":"host""#,
            "services.s.network_mode: no container of a task shares a namespace",
        ),
        (r#""network_mode":"container:x""#, "shares a namespace"),
        (r#""pid":"host""#, "services.s.pid"),
        (r#""ipc":"host""#, "services.s.ipc"),
        (r#""uts":"host""#, "services.s.uts"),
        (r#""userns_mode":"host""#, "services.s.userns_mode"),
        (r#""cgroup_parent":"/""#, "services.s.cgroup_parent"),
        (r#""cap_add":["NET_ADMIN"]"#, "services.s.cap_add NET_ADMIN"),
        (r#""cap_add":["ALL"]"#, "services.s.cap_add ALL"),
        (r#""devices":["/dev/fuse"]"#, "services.s.devices"),
        (
            r#""device_cgroup_rules":["c 1:3 mr"]"#,
            "services.s.device_cgroup_rules",
        ),
        (
            r#""extra_hosts":["h=host-gateway"]"#,
            "services.s.extra_hosts: a task's names",
        ),
        (
            r#""dns":["8.8.8.8"]"#,
            "services.s.dns: the resolver of a task",
        ),
        (
            r#""security_opt":["seccomp:unconfined"]"#,
            "services.s.security_opt",
        ),
        (
            r#""security_opt":["apparmor=unconfined"]"#,
            "services.s.security_opt",
        ),
        (
            r#""sysctls":{"net.ipv4.ip_forward":"1"}"#,
            "services.s.sysctls",
        ),
        (r#""use_api_socket":true"#, "services.s.use_api_socket"),
        (r#""secrets":[{"source":"a"}]"#, "services.s.secrets"),
        (r#""volumes_from":["a"]"#, "services.s.volumes_from"),
        (r#""networks":{"other":null}"#, "services.s.networks.other"),
        (
            r#""networks":{"default":{"ipv4_address":"10.0.0.2"}}"#,
            "services.s.networks.default",
        ),
        (
            r#""volumes":[{"type":"bind","source":"/run/docker.sock","target":"/s"}]"#,
            "services.s.volumes[0]: mounts /run/docker.sock of the host",
        ),
        (
            r#""volumes":[{"type":"npipe","source":"x","target":"/s"}]"#,
            "a mount of type \"npipe\"",
        ),
        (
            r#""volumes":[{"type":"volume","source":"d","target":"/s","volume":{"subpath":"x"}}]"#,
            "services.s.volumes[0].volume",
        ),
        (
            r#""volumes":["/:/host"]"#,
            "services.s.volumes[0]: is not written out",
        ),
        (
            r#""what_comes_next":{"a":1}"#,
            "services.s.what_comes_next: agentnet does not know",
        ),
        (r#""deploy":{"replicas":3}"#, "services.s.deploy.replicas"),
        (
            r#""deploy":{"resources":{"reservations":{"devices":[{"capabilities":["gpu"]}]}}}"#,
            "services.s.deploy.resources.reservations: GPUs are given with gpus =",
        ),
        (
            r#""deploy":{"resources":{"limits":{"memory":"lots"}}}"#,
            "\"lots\" is not a size",
        ),
        (r#""ulimits":{"memlock":-2}"#, "services.s.ulimits.memlock"),
        (r#""ulimits":{"core":0}"#, "services.s.ulimits.core"),
        (
            r#""ulimits":{"nofile":{"soft":1,"hard":2}}"#,
            "services.s.ulimits.nofile",
        ),
        (
            r#""environment":{"HOME":null}"#,
            "services.s.environment.HOME: has no value",
        ),
        (
            r#""environment":["A=b"]"#,
            "services.s.environment: is not written out",
        ),
        (r#""command":"a b""#, "services.s.command: is no list"),
        (r#""command":["${HOME}"]"#, "compose has not filled in"),
        (
            r#""depends_on":["a"]"#,
            "services.s.depends_on: is not written out",
        ),
        (
            r#""depends_on":{"a":{"condition":"service_completed_successfully"}}"#,
            "service_completed_successfully never comes",
        ),
        (
            r#""depends_on":{"a":{"restart":true}}"#,
            "services.s.depends_on.a.restart",
        ),
        (
            r#""healthcheck":{"test":["NONSENSE"]}"#,
            "services.s.healthcheck: has no test",
        ),
        (
            r#""read_only":"yes""#,
            "services.s.read_only: is not what compose prints",
        ),
        (
            r#""deploy":[1]"#,
            "services.s.deploy: is not what compose prints",
        ),
        (r#""tmpfs":["/x:exec"]"#, "\"exec\" is not honoured"),
    ];
    for (fields, expected) in cases {
        let problem = problem(fields);
        assert!(problem.contains(expected), "{fields}: {problem}");
    }
}

#[test]
fn what_nobody_set_is_no_field() {
    let text = r#"{"services":{"s":{"image":"x","ports":null,"privileged":false,"devices":[],"labels":{},
        "command":null,"entrypoint":null,"networks":{"default":null},"deploy":{"placement":{}}}}}"#;
    let found = read(text, &options(&[], &[])).unwrap();
    let plain = Service {
        image: Some("x".parse().unwrap()),
        ..Service::default()
    };
    assert_eq!(found.into_values().collect::<Vec<_>>(), [plain]);
}

#[test]
fn a_volume_of_two_services_or_of_another_project_is_refused() {
    let mount = r#""volumes":[{"type":"volume","source":"d","target":"/d"}]"#;
    let text = format!(
        r#"{{"services":{{"a":{{"image":"x",{mount}}},"b":{{"image":"x",{mount}}}}},
            "volumes":{{"d":{{"name":"p_d","external":true,"driver_opts":{{"device":"/"}}}},"unused":{{"external":true}}}}}}"#
    );
    let problem = read(&text, &options(&[], &[])).unwrap_err().to_string();
    for expected in [
        "services.b.volumes: d is used by a too",
        "volumes.d.external: a task shares no volume",
        "volumes.d.driver_opts: a task's volume is a plain one",
    ] {
        assert!(problem.contains(expected), "{expected}: {problem}");
    }
    assert!(!problem.contains("unused"), "{problem}");
}

#[test]
fn only_what_is_not_honoured_can_be_left_out() {
    let text = r#"{"services":{"s":{"image":"x"}}}"#;
    let problem = read(text, &options(&["app"], &["read_only"]))
        .unwrap_err()
        .to_string();
    assert!(
        problem.contains("[compose] ignore: names read_only, which is honoured"),
        "{problem}"
    );
    assert!(
        problem.contains("[compose] skip: names app, which is no service"),
        "{problem}"
    );
}

#[test]
fn a_file_that_compose_did_not_print_says_how_to_make_one() {
    for text in [
        "x-image: &image x\nservices:\n  db:\n    image: *image\n",
        "services:\n  db: [\n",
        "{}",
        "[]",
        "{\"services\":[]}",
        "",
    ] {
        let problem = read(text, &options(&[], &[])).unwrap_err().to_string();
        assert!(
            problem.contains("docker compose config > .agentnet/compose.yaml"),
            "{text}: {problem}"
        );
    }
}

#[test]
fn a_service_that_no_name_of_a_task_can_have_is_named() {
    let text = r#"{"services":{"My_DB":{"image":"x"}}}"#;
    let problem = read(text, &options(&[], &[])).unwrap_err().to_string();
    assert!(
        problem.contains("services.My_DB: ") && problem.contains("my-db would do"),
        "{problem}"
    );
}
