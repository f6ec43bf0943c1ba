use std::collections::BTreeMap;

use super::*;

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn whitelist(listener: &ListenerSettings) -> (&[WhitelistFile], Mode) {
    match &listener.source {
        PolicySource::Whitelist { files, mode, .. } => (files, *mode),
        PolicySource::Tinyproxy(_) => panic!("no tinyproxy.conf was given"),
    }
}

fn problems(raw: Raw) -> String {
    let problems = Settings::check(raw).unwrap_err();
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn has_safe_defaults() {
    let settings = Settings::check(Raw::default()).unwrap();
    assert_eq!(settings.admin.to_string(), "127.0.0.1:9100");
    let listener = &settings.listeners[0];
    let addresses: Vec<String> = listener.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["0.0.0.0:8888", "[::]:8888"]);
    assert_eq!(
        (listener.name.as_str(), whitelist(listener).1),
        ("default", Mode::Enforce)
    );
    assert_eq!(settings.timeouts.drain.as_secs(), 8);
}

#[test]
fn has_the_same_names_everywhere() {
    let toml = "listen = ['127.0.0.1:1', 'unix:/s']\nmax_connections = 7\nmode = 'observe'\n\
                whitelist = ['/w/project.txt']\nhost_address = ['10.0.0.1']\n";
    let from_file = Raw::from_toml("x.toml", toml).unwrap();
    let environment = variables(&[
        ("AGENTNET_LISTEN", "127.0.0.1:1,unix:/s"),
        ("AGENTNET_MAX_CONNECTIONS", "7"),
        ("AGENTNET_MODE", "observe"),
        ("AGENTNET_WHITELIST", "/w/project.txt"),
        ("AGENTNET_HOST_ADDRESS", "10.0.0.1"),
        ("AGENTNET_ADMIN", ""),
        ("HTTP_PROXY", "http://evil/"),
    ]);
    let (from_environment, strangers) = Raw::from_environment(&environment).unwrap();
    assert_eq!(from_environment, from_file);
    assert_eq!(
        strangers, [""; 0],
        "an empty value is no value, and others' names are not asked for"
    );
}

#[test]
fn lets_the_stronger_win_value_by_value() {
    let flags = Raw {
        mode: Some("enforce".to_owned()),
        ..Raw::default()
    };
    let file = Raw {
        mode: Some("observe".to_owned()),
        max_connections: Some(3),
        listen: vec!["127.0.0.1:1".to_owned()],
        ..Raw::default()
    };
    let settings = Settings::check(flags.over(file)).unwrap();
    assert_eq!(
        (
            whitelist(&settings.listeners[0]).1,
            settings.max_connections
        ),
        (Mode::Enforce, 3)
    );
}

#[test]
fn takes_listeners_with_a_policy_each_from_the_file() {
    let toml = "[[listener]]\nname = 'agent'\nlisten = ['127.0.0.1:1']\nwhitelist = ['a.txt', 'task.txt']\n\
                [[listener]]\nname = 'docker'\nlisten = ['127.0.0.1:2']\nmode = 'observe'\ntask_whitelist = ['t']\n";
    let settings = Settings::check(Raw::from_toml("x.toml", toml).unwrap()).unwrap();
    let names: Vec<&str> = settings
        .listeners
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["agent", "docker"], "and none by default");
    let (files, _) = whitelist(&settings.listeners[0]);
    let layers: Vec<Layer> = files.iter().map(|file| file.layer).collect();
    assert_eq!(layers, [Layer::Project, Layer::Task]);
    let (files, mode) = whitelist(&settings.listeners[1]);
    assert_eq!((files[0].layer, mode), (Layer::Task, Mode::Observe));
}

#[test]
fn names_the_line_of_what_it_does_not_know() {
    let error = Raw::from_toml("x.toml", "mode = 'enforce'\n\nmodus = 1\n").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("x.toml:3: `modus` is no key here; write: mode"),
        "{error}"
    );
    let error = Raw::from_toml("x.toml", "mode = \n").unwrap_err();
    assert!(error.to_string().starts_with("x.toml:1: "), "{error}");
    let error = Raw::from_toml("x.toml", "[[listener]]\nport = 1\n").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`port` is no key here; the keys are name, listen"),
        "{error}"
    );
}

#[test]
fn reports_all_problems_together() {
    let toml = "mode = 'x'\nlog = 'y'\nidle_timeout_seconds = 0\nmax_head_bytes = 1\n\
                [[listener]]\nname = 'a b'\nlisten = ['127.0.0.1:1']\n\
                [[listener]]\nname = 'c'\nlisten = ['127.0.0.1:1', 'nonsense']\n\
                [[listener]]\nname = 'c'\n";
    let said = problems(Raw::from_toml("x.toml", toml).unwrap());
    for part in [
        "mode: `x`",
        "log: `y`",
        "idle_timeout_seconds: 0 is out of range: write 1 to 86400",
        "max_head_bytes: 1 is out of range",
        "listener 1, name: `a b` is not a name",
        "listener 3, name: two listeners are named `c`",
        "listener 2, listen: 127.0.0.1:1 is given twice",
        "listener 2, listen: `nonsense` is not an address",
        "listener 3: has no `listen`",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn keeps_the_admin_side_off_unspecified_addresses() {
    for address in ["0.0.0.0:9100", "[::]:9100"] {
        let raw = Raw {
            admin: Some(address.to_owned()),
            ..Raw::default()
        };
        assert!(problems(raw).contains("write egress:9100 or 127.0.0.1:9100"));
    }
    let raw = Raw {
        admin: Some("10.0.0.1:9100".to_owned()),
        ..Raw::default()
    };
    assert!(
        Settings::check(raw).is_ok(),
        "somebody who names an address means it"
    );
}

#[test]
fn gives_each_listener_its_default_budget() {
    let toml = "default_up = '20MB'\nstate = '/s'\n[[listener]]\nname = 'a'\nlisten = ['127.0.0.1:1']\n\
                [[listener]]\nname = 'b'\nlisten = ['127.0.0.1:2']\ndefault_up = '1KiB'\n";
    let settings = Settings::check(Raw::from_toml("x.toml", toml).unwrap()).unwrap();
    let limits: Vec<_> = settings
        .listeners
        .iter()
        .map(|one| one.default_up)
        .collect();
    assert_eq!(limits, [NonZeroU64::new(20_000_000), NonZeroU64::new(1024)]);
    assert_eq!(settings.state, Some(PathBuf::from("/s")));
    let bad =
        "default_up = '20'\n[[listener]]\nname = 'b'\nlisten = ['127.0.0.1:2']\ndefault_up = 'x'\n";
    let problems = Settings::check(Raw::from_toml("x.toml", bad).unwrap()).unwrap_err();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(
        said[0].starts_with("default_up: `20` is not a number of bytes"),
        "{said:?}"
    );
    assert!(
        said[1].starts_with("listener 1, default_up: `x` is not"),
        "{said:?}"
    );
}
