//! Real clients inside a fence, against a real HTTPS origin: what works, and what is refused and how.

use agentnet_e2e::engine::Engine;
use agentnet_e2e::origin::{ALLOWED, Origin, UNLISTED};

/// curl, git and pip get through to the listed name, over TLS that they verify; plain HTTP too.
pub(crate) fn get_through(engine: &Engine, agent: &str, origin: &Origin<'_>) {
    let authority = "/tmp/origin-ca.pem";
    engine.write(agent, authority, &origin.authority());
    let run = |script: &str| {
        engine
            .shell(agent, &format!("cd /tmp && {script}"))
            .expect()
    };

    let curl = "curl --silent --show-error --fail --max-time 20";
    assert_eq!(
        run(&format!(
            "{curl} --cacert {authority} https://{ALLOWED}/hello"
        )),
        "hello from the origin"
    );
    assert_eq!(
        run(&format!("{curl} http://{ALLOWED}/hello")),
        "hello from the origin"
    );
    let digest = run(&format!(
        "{curl} --cacert {authority} https://{ALLOWED}/megabyte | sha256sum"
    ));
    assert_eq!(
        digest,
        format!("{MEGABYTE}  -"),
        "a megabyte must arrive whole"
    );

    run(&format!(
        "rm -rf sample && GIT_SSL_CAINFO={authority} git clone --quiet https://{ALLOWED}/sample.git"
    ));
    assert_eq!(run("cat sample/README"), "cloned through the fence");

    let index = format!("https://{ALLOWED}/simple");
    run(&format!(
        "pip download --quiet --no-input --retries 0 --cert {authority} --index-url {index} --dest . agentnet-sample"
    ));
    assert_eq!(
        run(
            "python3 -c 'import sys; sys.path.insert(0, \"agentnet_sample-1.0-py3-none-any.whl\"); import agentnet_sample; print(agentnet_sample.WORD)'"
        ),
        "installed through the fence"
    );
}

/// Programs that know nothing of the proxy: the name leads to it, and the handshake or the Host field on to the origin.
/// What is not listed has no address, and none helps.
pub(crate) fn need_no_variables(engine: &Engine, fence: &str, agent: &str, origin: &Origin<'_>) {
    let authority = "/tmp/origin-ca.pem";
    let without: String = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
        .iter()
        .map(|name| format!("-u {name} -u {} ", name.to_lowercase()))
        .collect();
    let curl = format!("env {without} curl --silent --show-error --max-time 20");
    for url in [
        format!("--cacert {authority} https://{ALLOWED}/hello"),
        format!("http://{ALLOWED}/hello"),
    ] {
        let said = engine
            .shell(agent, &format!("{curl} --fail {url}"))
            .expect();
        assert_eq!(said, "hello from the origin", "{url}");
    }

    let before = origin.requests().len();
    const NO_SUCH_HOST: i32 = 6;
    for scheme in ["https", "http"] {
        let unlisted = format!("{curl} {scheme}://{UNLISTED}/hello");
        let unlisted = engine.shell(agent, &unlisted);
        assert_eq!(unlisted.code(), Some(NO_SUCH_HOST), "{unlisted}");
    }
    let doors = engine
        .shell(agent, &format!("getent ahosts {ALLOWED}"))
        .expect();
    let doors: Vec<&str> = doors
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(doors.iter().any(|door| door.contains('.')), "{doors:?}");
    // Loopback has no second IPv6 address.
    let both = doors.iter().any(|door| door.contains(':'));
    assert_eq!(both, fence == "network", "{doors:?}");
    let door = doors.iter().find(|door| door.contains('.')).unwrap();
    for port in [443, 80] {
        let scheme = if port == 443 { "https" } else { "http" };
        let known =
            format!("--resolve {UNLISTED}:{port}:{door} --fail {scheme}://{UNLISTED}/hello");
        let known = engine.shell(agent, &format!("{curl} --insecure {known}"));
        known.expect_failure();
    }
    assert_eq!(
        origin.requests().len(),
        before,
        "the origin saw a refused request"
    );
}

/// bytes(range(256)) * 4096
const MEGABYTE: &str = "fbbab289f7f94b25736c58be46a994c441fd02552cc6022352e3d86d2fab7c83";

/// The same server under a name that is not listed: refused at once, with the reason where each client shows it.
pub(crate) fn are_refused(engine: &Engine, agent: &str, origin: &Origin<'_>) {
    let before = origin.requests().len();
    let curl = engine.shell(
        agent,
        &format!("curl --silent --show-error --max-time 20 https://{UNLISTED}/hello"),
    );
    assert_ne!(curl.code(), Some(0), "{curl}");
    // curl hides the body of a refused CONNECT and shows the status line with -v only: the code stands in its message.
    assert!(curl.stderr.contains("403"), "{curl}");
    let verbose = engine.shell(
        agent,
        &format!("curl --verbose --silent --max-time 20 https://{UNLISTED}/hello"),
    );
    assert!(verbose.stderr.contains("not_listed"), "{verbose}");

    let plain = engine.shell(
        agent,
        &format!("curl --silent --include --max-time 20 http://{UNLISTED}/hello"),
    );
    assert!(plain.stdout.contains("403"), "{plain}");
    assert!(
        plain
            .stdout
            .to_lowercase()
            .contains("x-agentnet-reason: not_listed"),
        "{plain}"
    );
    assert!(
        plain.stdout.contains(UNLISTED),
        "the sentence names what was refused: {plain}"
    );

    let git = engine.shell(
        agent,
        &format!("cd /tmp && git clone --quiet https://{UNLISTED}/sample.git unlisted"),
    );
    assert!(git.expect_failure().stderr.contains("403"), "git says why");
    assert_eq!(
        origin.requests().len(),
        before,
        "the origin saw a refused request"
    );
}
