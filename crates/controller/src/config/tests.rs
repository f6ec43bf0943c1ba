use std::num::NonZeroU16;

use super::*;

fn parse(text: &str) -> Result<Config> {
    Config::parse(Path::new("agentnet.toml"), text)
}

fn problem(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn reads_every_key() {
    let config = parse(
        r#"
            project = "shop"
            [workspace]
            clone = true
            [agent]
            image = "python:3.13"
            command = ["bash"]
            user = "1000:1000"
            workdir = "/src"
            env = { A = "b" }
            read_only = true
            memory = "2GiB"
            cpus = 1.5
            pids = 100
            nofile = 1000
            shm = "64MiB"
            disk = "1GiB"
            gpus = 2
            [network]
            mode = "limited"
            fence = "socket"
            pool = "10.99.0.0/16"
            presets = ".agentnet/presets"
            mtu = 1400
            [images]
            proxy = "p"
            gate = "g"
            base = "b"
            [services.db]
            image = "postgres:17"
            command = ["-c", "fsync=off"]
            env = { POSTGRES_USER = "x" }
            entrypoint = ["postgres"]
            generate = ["POSTGRES_PASSWORD"]
            agent_env = { URL = "pg://${POSTGRES_USER}:${POSTGRES_PASSWORD}@db" }
            workdir = "/x"
            after = ["other"]
            volumes = { data = "/data" }
            nofile = 1000
            shm = "64MiB"
            disk = "1GiB"
            gpus = "all"
            seccomp = "a.json"
            user = "999:999"
            port = 5432
            healthcheck = "pg_isready"
            wait_seconds = 5
            tmpfs = ["/var/lib/postgresql/data"]
            read_only = true
            memory = "512MiB"
            cpus = 1
            pids = 50
            [compose]
            file = "compose.json"
            skip = ["app"]
            ignore = ["ports"]
            [notify]
            enabled = false
            "#,
    );
    let config = config.unwrap();
    assert!(!config.notify.enabled && Config::default().notify.enabled);
    assert!(config.workspace.clone);
    assert_eq!(config.agent.memory, Some(Bytes(2 << 30)));
    assert_eq!(config.agent.cpus, Some(Cpus(1500)));
    assert_eq!(config.network.fence, Some(Fence::Socket));
    assert_eq!(
        config.services[&"db".parse().unwrap()].port,
        NonZeroU16::new(5432)
    );
}

/// Whatever a table's head or a key is commented out with.
fn uncommented(text: &str) -> String {
    let mut inside = false;
    let mut line = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if inside || rest.starts_with('[') || rest.contains(" = ") => {
            inside ^= rest.contains("'''");
            rest.to_owned()
        }
        Some(_) | None => line.to_owned(),
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn the_documented_example_is_true() {
    let page = include_str!("../../../../docs/controller.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let config = parse(example).unwrap();
    assert_eq!(config.services.len(), 3);
    let mut services = config.clone();
    services.compose = Compose::default();
    for service in services.services.values_mut() {
        service.seccomp = None;
    }
    services.read_files(None, None).unwrap();
}

#[test]
fn what_init_writes_can_be_uncommented_line_by_line() {
    let file = include_str!("../cli/init/agentnet.toml");
    assert_eq!(parse(file).unwrap(), Config::default());
    let whole = uncommented(file)
        .replace("\nbuild = ", "\n# build = ")
        .replace("image = \"python", "# image = \"python");
    let config = parse(&whole).unwrap();
    assert_eq!(config.agent.memory, Some(Bytes(4 << 30)));
    assert_eq!(config.services.len(), 1);
    assert_eq!(config.compose.skip, ["app"]);
}

#[test]
fn an_unknown_key_is_an_error_with_its_line() {
    let text = problem("[agent]\nimage = \"x\"\nprivileged = true\n");
    assert!(
        text.starts_with("agentnet.toml:3: `privileged` is no key here"),
        "{text}"
    );
}

#[test]
fn says_what_would_be_right() {
    let cases = [
        (
            "[agent]\nmemory = \"lots\"",
            "agentnet.toml:2: \"lots\" is not a size",
        ),
        ("[agent]\nmemory = \"1MiB\"", "less than 6MiB"),
        ("[agent]\ncpus = -1.0", "a number from 0.01"),
        (
            "[agent]\nimage = \"a\"\nbuild = \"b\"",
            "[agent] has both image and build; keep one",
        ),
        (
            "[agent]\nimage = \"a\"\npreset = \"minimal\"",
            "[agent] has both image and preset; keep one",
        ),
        (
            "[agent]\nbuild = \"a\"\ndockerfile = \"FROM x\"",
            "[agent] has both build and dockerfile; keep one",
        ),
        (
            "[agent]\npreset = \"python\"",
            "agentnet.toml:2: `python` is not a value for it: write minimal, python-dev",
        ),
        (
            "[agent]\nname = \"copilot\"",
            "agentnet.toml:2: `copilot` is not a value for it: write claude",
        ),
        (
            "[agent]\ndockerfile = \"RUN true\"",
            "[agent] dockerfile has no FROM",
        ),
        ("[agent]\nbuild = \"../x\"", "leaves the checkout"),
        (
            "[network]\npresets = \"/etc\"",
            "[network] presets = \"/etc\" leaves the checkout",
        ),
        (
            "[agent]\nworkdir = \"/agentnet/bin\"",
            "absolute path other than",
        ),
        ("[network]\npool = \"8.8.0.0/16\"", "is not private"),
        ("[network]\npool = \"10.0.0.0/0\"", "is not private"),
        ("[network]\npool = \"172.16.0.0/8\"", "is not private"),
        ("[agent]\nimage = \"\"", "\"\" is not an image name"),
        (
            "[services.a]\nimage = \"-x y\"",
            "agentnet.toml:2: \"-x y\" is not an image name",
        ),
        ("[agent]\npids = 0", "pids = 0 is too few: at least 16"),
        (
            "[services.a]\nimage = \"x\"\npids = 1",
            "[services.a] pids = 1 is too few: at least 16",
        ),
        (
            "[agent]\nenv = { \"A=B\" = \"x\" }",
            "[agent] env has \"A=B\", which is no name",
        ),
        (
            "[services.a]\nimage = \"x\"\nenv = { \"\" = \"x\" }",
            "[services.a] env has \"\", which is no name",
        ),
        (
            "[agent]\nenv = { A = \"x\\u0000\" }",
            "[agent] env: the value of \"A\" holds a NUL",
        ),
        (
            "[agent]\nworkdir = \"/./agentnet/bin\"",
            "absolute path other than",
        ),
        (
            "[agent]\nworkdir = \"//agentnet\"",
            "absolute path other than",
        ),
        (
            "[services.a]\nimage = \"x\"\ntmpfs = [\"/./agentnet/bin\"]",
            "tmpfs = \"/./agentnet/bin\" must be an absolute path",
        ),
        (
            "[services.a]\nimage = \"x\"\nport = 0",
            "agentnet.toml:3: port is a whole number from 1 up",
        ),
        (
            "[services.proxy]\nimage = \"x\"",
            "[services.proxy] cannot have that name",
        ),
        (
            "[services.agent]\nimage = \"x\"",
            "[services.agent] cannot have that name",
        ),
        (
            "[services.a]\nimage = \"x\"\nseccomp = \"/p.json\"",
            "[services.a] seccomp = \"/p.json\" leaves the checkout",
        ),
        (
            "[compose]\nfile = \"../c.json\"",
            "[compose] file = \"../c.json\" leaves the checkout",
        ),
        (
            "[network]\nmtu = 500",
            "[network] mtu = 500 is not from 1280",
        ),
        ("[agent]\nnofile = 3", "[agent] nofile = 3 is not from 64"),
        (
            "[agent]\ngpus = \"some\"",
            "agentnet.toml:2: gpus = \"some\": write \"all\" or a number",
        ),
        (
            "[agent]\ngpus = 0",
            "agentnet.toml:2: gpus = 0 is not from 1 to 64",
        ),
        (
            "[services.a]\nimage = \"x\"\nhealthcheck = \"@oracle\"",
            "agentnet.toml:3: there is no health check @oracle: @port, @postgres",
        ),
        (
            "[services.a]\nimage = \"x\"\nhealthcheck = true",
            "agentnet.toml:3: healthcheck = true says nothing",
        ),
        (
            "[services.a]\nimage = \"x\"\ngenerate = [\"A-B\"]",
            "[services.a] generate has \"A-B\"",
        ),
        (
            "[services.a]\nimage = \"x\"\ngenerate = [\"A\"]\nenv = { A = \"x\" }",
            "[services.a] has A in both env and generate",
        ),
        (
            "[services.a]\nimage = \"x\"\nagent_env = { U = \"${A}\" }",
            "U uses ${A}, which neither env nor generate",
        ),
        (
            "[services.a]\nimage = \"x\"\nagent_env = { U = \"$A\" }",
            "agentnet.toml:3: \"$A\" has a $ that begins no",
        ),
        (
            "[services.a]\nimage = \"x\"\ntmpfs = [\"/d\"]\nvolumes = { d = \"/d\" }",
            "[services.a] has two things at \"/d\"",
        ),
        (
            "[network]\nmode = \"open\"",
            "agentnet.toml:2: `open` is not a value for it: write none, limited or full",
        ),
        (
            "image = \"x\"",
            "agentnet.toml:1: `image` is a key of [agent]; write that above it",
        ),
        ("pool = \"x\"", "`pool` is a key of [network]"),
        (
            "agnet = 1",
            "agentnet.toml:1: `agnet` is no key here; write: agent",
        ),
        (
            "[agent]\nenv = [\"A=B\"]",
            "agentnet.toml:2: a table is wanted here: { NAME = \"value\" }",
        ),
        (
            "[agent]\ncommand = \"bash\"",
            "agentnet.toml:2: command is a list; write: command = [\"bash\"]",
        ),
        (
            "[agent]\nuser = 1000",
            "agentnet.toml:2: user is text; write: user = \"1000\"",
        ),
        (
            "[agent]\ncpus = \"2\"",
            "agentnet.toml:2: cpus is a number; write: cpus = 2",
        ),
        ("[agent]\nread_only = yes", "agentnet.toml:2: "),
        ("[services.My_DB]\nimage = \"x\"", "may hold only a-z"),
    ];
    for (text, expected) in cases {
        let problem = problem(text);
        assert!(problem.contains(expected), "{text}: {problem}");
    }
}

#[test]
fn what_only_shows_once_everything_was_read_is_an_error_then() {
    let cases = [
        (
            "[services.a]\nmemory = \"1GiB\"",
            "[services.a] has no image",
        ),
        (
            "[services.a]\nimage = \"x\"\nafter = [\"b\"]",
            "[services.a] after names b, which is no service",
        ),
        (
            "[services.a]\nimage = \"x\"\nafter = [\"b\"]\n[services.b]\nimage = \"x\"\nafter = [\"a\"]",
            "services wait for each other in a circle: a, b",
        ),
    ];
    for (text, expected) in cases {
        let mut config = parse(text).unwrap();
        let problem = config.read_files(None, None).unwrap_err().to_string();
        assert!(problem.contains(expected), "{text}: {problem}");
    }
}

#[test]
fn an_absent_file_is_an_empty_one() {
    let config = Config::load(Path::new("/nonexistent/agentnet.toml")).unwrap();
    assert_eq!(config, Config::default());
}
