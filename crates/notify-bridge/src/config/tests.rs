use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("notify.toml")).map_err(|e| e.to_string())
}

const FULL: &str = r#"
per_minute = 5
metrics = "127.0.0.1:9465"

[[outlet]]
type = "desktop"
kinds = ["error", "clarification", "blocked"]
quiet = "22:00-07:00"

[[outlet]]
type = "log"
file = "/var/log/agentnet.jsonl"

[[outlet]]
type = "command"
name = "speaker"
urgency = "critical"
tasks = ["fix-42"]
run = ["spd-say", "--", "{title}"]

[[outlet]]
type = "webhook"
url = "https://ntfy.example/"
topic = "agents"
"#;

#[test]
fn several_outlets_each_with_what_they_want() {
    let config = parse(FULL).unwrap();
    assert_eq!(config.a_minute, 5);
    assert_eq!(config.metrics, Some("127.0.0.1:9465".parse().unwrap()));
    let names: Vec<&str> = config.outlets.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["desktop", "log", "speaker", "webhook"]);
    let speaker = &config.outlets[2].rule;
    assert_eq!(speaker.urgency, Some(Urgency::Critical));
    assert_eq!(speaker.tasks, Some(vec!["fix-42".to_owned()]));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (text, line, word) in [
        ("per_minute = 0", 1, "1 to 60"),
        ("\nmetrics = \"0.0.0.0:1\"", 2, "this machine alone"),
        ("\n\ncolour = 1", 3, "colour"),
        ("[[outlet]]\ntype = \"pager\"", 2, "pager"),
        ("[[outlet]]\ntype = \"desktop\"\nicon = \"x\"", 3, "icon"),
        (
            "[[outlet]]\ntype = \"desktop\"\nkinds = [\"party\"]",
            3,
            "party",
        ),
        (
            "[[outlet]]\ntype = \"desktop\"\nquiet = \"night\"",
            3,
            "22:00-07:00",
        ),
        (
            "[[outlet]]\ntype = \"desktop\"\nfile = \"x\"",
            2,
            "type = \"log\"",
        ),
        (
            "[[outlet]]\ntype = \"desktop\"\nname = \"d\"",
            2,
            "\"desktop\"",
        ),
        ("[[outlet]]\ntype = \"log\"", 2, "needs file"),
        (
            "[[outlet]]\ntype = \"log\"\nfile = \"x\"\nname = \"A b\"",
            2,
            "a-z",
        ),
        ("[[outlet]]\ntype = \"command\"", 2, "needs run"),
        (
            "[[outlet]]\ntype = \"command\"\nrun = [\"x\", \"say {text}\"]",
            3,
            "of its own",
        ),
        ("[[outlet]]\ntype = \"webhook\"", 2, "needs url"),
        (
            "[[outlet]]\ntype = \"webhook\"\nurl = \"http://ntfy.example\"",
            2,
            "https",
        ),
        (
            "[[outlet]]\ntype = \"desktop\"\n[[outlet]]\ntype = \"desktop\"",
            4,
            "one desktop",
        ),
    ] {
        let error = parse(text).unwrap_err();
        let begin = format!("notify.toml:{line}: ");
        assert!(
            error.starts_with(&begin) && error.contains(word),
            "{text}: {error}"
        );
    }
    assert!(parse("").unwrap_err().contains("[[outlet]]"));
}

#[test]
fn without_a_file_there_is_the_desktop_and_a_named_file_must_be_there() {
    let config = Config::without_file();
    assert_eq!(config.outlets[0].kind, OutletKind::Desktop);
    let error = Config::load(Some(Path::new("/nonexistent/notify.toml"))).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/nonexistent/notify.toml: cannot be read")
    );
}

#[test]
fn the_examples_of_the_documentation_are_read() {
    let document = include_str!("../../../../docs/notifications.md");
    let mut seen = 0;
    for part in document.split("```toml\n").skip(1) {
        let (example, _) = part.split_once("```").unwrap();
        if example.contains("[[outlet]]") {
            parse(example).unwrap();
            seen += 1;
        }
    }
    assert!(seen >= 2);
}

#[test]
fn a_second_desktop_is_told_what_to_do_instead() {
    let two =
        "[[outlet]]\ntype = \"desktop\"\n[[outlet]]\ntype = \"desktop\"\nkinds = [\"error\"]\n";
    let error = parse(two).unwrap_err();
    assert_eq!(
        error,
        "notify.toml:4: there is one desktop: put what it shall show into one [[outlet]] table of type = \"desktop\""
    );
}
