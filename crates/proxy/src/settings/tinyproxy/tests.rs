use tempfile::TempDir;

use super::*;
use crate::settings::{Address, AdminAddress};
use crate::upstream::Routes;
use crate::upstream::Via;
use crate::words::Filtered;

/// A configuration in a directory of its own.
struct Files(TempDir);

impl Files {
    fn with(conf: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("tinyproxy.conf", conf);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    fn file(&self) -> TinyproxyFile {
        TinyproxyFile::new(Some(self.path("tinyproxy.conf")), None)
    }

    fn settings(&self, flags: Raw) -> Settings {
        Settings::from_tinyproxy(self.file(), flags, Raw::default()).unwrap()
    }

    fn problems(&self, flags: Raw, environment: Raw) -> Vec<String> {
        let problems = Settings::from_tinyproxy(self.file(), flags, environment).unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }
}

fn addresses(settings: &Settings) -> Vec<String> {
    let listener = &settings.listeners[0];
    listener.addresses.iter().map(Address::to_string).collect()
}

fn file(settings: &Settings) -> &TinyproxyFile {
    match &settings.listeners[0].source {
        PolicySource::Tinyproxy(file) => file,
        PolicySource::Whitelist { .. } => panic!("a tinyproxy.conf was given"),
    }
}

#[test]
fn knows_a_configuration_that_was_taken_for_a_whitelist() {
    for text in [
        "# mine\nUser nobody\nPort 8888\nAllow 127.0.0.1\n",
        "\u{FEFF}port\t8888\n",
        "Port 8888\nTimeout 600\nno-such-directive\n",
    ] {
        assert!(has_directives(text), "{text}");
    }
    for text in [
        "",
        "github.com\nport 80\n",
        "deny gist.github.com\nallow github.com\n",
        "github.com\nport\n",
        "# port 80\n",
    ] {
        assert!(!has_directives(text), "{text}");
    }
}

#[test]
fn tells_the_two_kinds_of_file_apart() {
    for text in [
        "Port 8888\n",
        "  port\t8888\nlisten 127.0.0.1\n",
        "# a comment = with a sign\nAllow 127.0.0.1\n",
        "Prot 8888\nLisen 127.0.0.1\n",
        "Port = 8888\nListen 127.0.0.1\nTimeout 600\n",
        "Filter \"/etc/filter\"\nAddHeader \"X-Mode\" \"a=b\"\n",
        "\u{FEFF}Port 8888\r\nListen 127.0.0.1\r\n",
    ] {
        assert!(is_tinyproxy(text), "{text}");
    }
    for text in [
        "",
        "# nothing\n",
        "listen = [\"127.0.0.1:1\"]\n",
        "lisen = [\"127.0.0.1:1\"]\nmode = enforce\n",
        "listen = [\n  \"127.0.0.1:1\",\n  \"127.0.0.1:2\"\n",
        "[[listener]]\nname = \"a\"\nlisten = \n",
        "listen = [\"127.0.0.1:1\"]\nmode \"enforce\"\n",
        "max_connections = 3\n\n[[listener]\nname=\"a\"",
    ] {
        assert!(!is_tinyproxy(text), "{text}");
    }
}

#[test]
fn has_tinyproxys_defaults() {
    let settings = Files::with("# nothing\n").settings(Raw::default());
    assert_eq!(addresses(&settings), ["0.0.0.0:8888", "[::]:8888"]);
    assert!(settings.listeners[0].by_default);
    assert_eq!(settings.max_connections, 100);
    assert_eq!(settings.timeouts.idle.as_secs(), 600);
    assert_eq!(settings.admin, AdminAddress::Off);
    assert_eq!(settings.process, Process::default());
    let log = LogFormat::Tinyproxy {
        style: Style::File,
        level: agentnet_policy::tinyproxy::LogLevel::Info,
    };
    assert_eq!(settings.log, log);
    assert!(!file(&settings).private);
}

#[test]
fn takes_every_directive_of_the_process_from_the_file() {
    let text = "Port 3128\nListen 127.0.0.1\nListen ::1\nTimeout 30\nMaxClients 7\n\
                LogLevel Connect\nLogFile \"/var/log/tp.log\"\nPidFile \"/run/tp.pid\"\n";
    let settings = Files::with(text).settings(Raw::default());
    assert_eq!(addresses(&settings), ["127.0.0.1:3128", "[::1]:3128"]);
    assert!(!settings.listeners[0].by_default);
    assert_eq!(settings.max_connections, 7);
    assert_eq!(settings.timeouts.idle.as_secs(), 30);
    let process = Process {
        pid_file: Some("/run/tp.pid".into()),
        log: Destination::File("/var/log/tp.log".into()),
    };
    assert_eq!(settings.process, process);
    let log = LogFormat::Tinyproxy {
        style: Style::File,
        level: agentnet_policy::tinyproxy::LogLevel::Connect,
    };
    assert_eq!(settings.log, log);
    let settings = Files::with("Syslog On\n").settings(Raw::default());
    let destination = Destination::Syslog(syslog::SOCKET.into());
    assert_eq!(settings.process.log, destination);
    assert!(matches!(
        settings.log,
        LogFormat::Tinyproxy {
            style: Style::Syslog,
            ..
        }
    ));
}

#[test]
fn lets_flags_win_over_the_file() {
    let flags = Raw {
        listen: vec!["127.0.0.1:0".to_owned()],
        admin: Some("127.0.0.1:0".to_owned()),
        log: Some("json".to_owned()),
        max_connections: Some(3),
        idle_timeout_seconds: Some(5),
        private_destinations: Some("allow".to_owned()),
        mode: Some("observe".to_owned()),
        ..Raw::default()
    };
    let text = "Port 3128\nListen 127.0.0.1\nTimeout 30\nMaxClients 7\n";
    let settings = Files::with(text).settings(flags);
    assert_eq!(addresses(&settings), ["127.0.0.1:0"]);
    assert_eq!(settings.admin.to_string(), "127.0.0.1:0");
    assert_eq!(settings.log, LogFormat::Json);
    assert_eq!(settings.max_connections, 3);
    assert_eq!(settings.timeouts.idle.as_secs(), 5);
    let file = file(&settings);
    assert_eq!((file.private, file.mode), (true, Mode::Observe));
}

#[test]
fn refuses_what_has_no_place_beside_it() {
    let files = Files::with("Port 8888\nTimeout many\nBogus 1\n");
    let whitelist = PathBuf::from(files.write("w.txt", "example.com\n"));
    let both = || Raw {
        whitelist: vec![whitelist.clone()],
        ..Raw::default()
    };
    let problems = files.problems(both(), both());
    assert!(
        problems[0].starts_with("--whitelist: cannot be used"),
        "{problems:?}"
    );
    assert!(
        problems[1].starts_with("AGENTNET_WHITELIST: "),
        "{problems:?}"
    );
    let place = files.path("tinyproxy.conf").display().to_string();
    assert!(
        problems[2].starts_with(&format!("{place}:2: ")),
        "{problems:?}"
    );
    assert!(
        problems[3].starts_with(&format!("{place}:3: ")),
        "{problems:?}"
    );
    assert_eq!(problems.len(), 4, "{problems:?}");
    let files = Files::with("Port 8888\n");
    let wrong = Raw {
        private_destinations: Some("yes".to_owned()),
        ..Raw::default()
    };
    let problems = files.problems(wrong.clone(), Raw::default());
    assert_eq!(
        problems,
        ["private_destinations: `yes` is not a value for it: write allow or refuse"]
    );
    let native = Settings::check(wrong).unwrap_err();
    assert!(
        native[0]
            .to_string()
            .contains("write `private` on the line"),
        "{native:?}"
    );
}

#[test]
fn forgives_the_whitelist_of_an_image_that_is_not_there() {
    let environment = Raw {
        whitelist: vec!["/nowhere/project.txt".into()],
        presets: None,
        ..Raw::default()
    };
    let files = Files::with("Port 8888\n");
    assert!(Settings::from_tinyproxy(files.file(), Raw::default(), environment).is_ok());
}

#[test]
fn names_a_file_that_cannot_be_read() {
    let files = Files::with("Filter \"/nowhere/filter\"\n");
    let missing = TinyproxyFile::new(Some(files.path("missing")), None);
    let problem = Settings::from_tinyproxy(missing, Raw::default(), Raw::default()).unwrap_err();
    assert!(
        problem[0].to_string().contains("missing: cannot be read: "),
        "{problem:?}"
    );
    let problem = files.file().read().unwrap_err();
    let place = format!("{}:1: ", files.path("tinyproxy.conf").display());
    let text = problem[0].to_string();
    assert!(text.starts_with(&place), "{text}");
    assert!(
        text.contains("the filter file /nowhere/filter cannot be read"),
        "{text}"
    );
}

#[test]
fn reads_the_files_that_it_names_and_watches_them() {
    let files = Files::with("");
    let filter = files.write("filter", "evil\n");
    let page = files.path("page.html").display().to_string();
    files.write(
        "tinyproxy.conf",
        &format!("Filter \"{filter}\"\nFilterURLs On\nDefaultErrorFile \"{page}\"\n"),
    );
    let file = files.file();
    assert_eq!(
        file.files(),
        [
            files.path("tinyproxy.conf"),
            files.path("filter"),
            files.path("page.html")
        ]
    );
    let texts = file.read().unwrap();
    assert_eq!(texts.len(), 2, "a page may be missing");
    let understood = file.understand(&texts).unwrap();
    assert_eq!(understood.conduct.filtered, Some(Filtered::Url));
    assert!(understood.conduct.manners.is_some());
    let text: Vec<String> = understood
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        text.iter()
            .any(|text| text.contains("page.html cannot be read")),
        "{text:?}"
    );
    files.write("page.html", "<p>{detail}</p>");
    let texts = file.read().unwrap();
    assert_eq!(texts.len(), 3);
    let warnings = file.understand(&texts).unwrap().warnings;
    let text: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(
        !text.iter().any(|text| text.contains("page.html")),
        "{text:?}"
    );
}

#[test]
fn says_what_a_reload_cannot_change() {
    let files = Files::with("Port 3128\nListen 127.0.0.1\nTimeout 30\n");
    let settings = files.settings(Raw::default());
    let file = file(&settings);
    let warnings = |file: &TinyproxyFile| -> Vec<String> {
        let understood = file.understand(&file.read().unwrap()).unwrap();
        understood
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(warnings(file), [""; 0]);
    files.write(
        "tinyproxy.conf",
        "Port 3129\nListen 127.0.0.1\nTimeout 30\nMaxClients 7\n",
    );
    let said = warnings(file).join("\n");
    assert!(
        said.contains("\"Port\" was changed (3128 became 3129)"),
        "{said}"
    );
    assert!(
        said.contains("\"MaxClients\" was changed (100 became 7)"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn takes_clients_from_the_file_or_in_their_place() {
    let files = Files::with("Allow 10.0.0.1\n");
    let permits = |settings: &Settings, client: &str| {
        let file = file(settings);
        let understood = file.understand(&file.read().unwrap()).unwrap();
        let client = Some(client.parse().unwrap());
        understood.conduct.clients.permits_at_once(client)
    };
    let settings = files.settings(Raw::default());
    assert_eq!(permits(&settings, "10.0.0.1"), Some(true));
    assert_eq!(permits(&settings, "10.0.0.2"), Some(false));
    let flags = Raw {
        client: Some(vec!["10.0.0.2".to_owned()]),
        ..Raw::default()
    };
    let settings = files.settings(flags);
    assert_eq!(permits(&settings, "10.0.0.1"), Some(false));
    assert_eq!(permits(&settings, "10.0.0.2"), Some(true));
}

#[test]
fn takes_parents_from_the_file_or_in_their_place() {
    let files = Files::with("Upstream http 127.0.0.1:1\n");
    let settings = files.settings(Raw::default());
    let source = &settings.listeners[0].source;
    let target = agentnet_policy::Target::parse("a.example:443", None).unwrap();
    let parents = |routes: &Routes| match routes.take(&target).1 {
        Via::Parents(parents) => parents.iter().map(|one| one.label().to_string()).collect(),
        Via::Direct | Via::Nowhere => Vec::new(),
    };
    let of_file = ["http://127.0.0.1:1"];
    assert_eq!(parents(&source.routes()), of_file);
    let file = file(&settings);
    let understood = file.understand(&file.read().unwrap()).unwrap();
    assert_eq!(parents(&understood.conduct.routes), of_file);
    let environment = std::collections::BTreeMap::from([(
        "AGENTNET_UPSTREAM".to_owned(),
        "socks5://127.0.0.1:2".to_owned(),
    )]);
    let (environment, _) = Raw::from_environment(&environment).unwrap();
    let settings = Settings::from_tinyproxy(files.file(), Raw::default(), environment).unwrap();
    let PolicySource::Tinyproxy(file) = &settings.listeners[0].source else {
        panic!("a tinyproxy.conf was given");
    };
    let understood = file.understand(&file.read().unwrap()).unwrap();
    assert_eq!(
        parents(&understood.conduct.routes),
        ["socks5://127.0.0.1:2"]
    );
}

#[test]
fn takes_clients_alone() {
    let clients = Clients::default();
    let file = TinyproxyFile::new(None, Some(clients));
    let settings = Settings::from_tinyproxy(file, Raw::default(), Raw::default()).unwrap();
    assert_eq!(addresses(&settings), ["0.0.0.0:8888", "[::]:8888"]);
}
