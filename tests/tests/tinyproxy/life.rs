//! Limits, silence and reloads: what needs more than a request at a time.

use std::thread;
use std::time::{Duration, Instant};

use agentnet_e2e::wait;
use rustix::process::Signal;

use crate::observation::{self, Observation};
use crate::play::Stage;
use crate::scenario::{Scenario, Sights};

const BAD: &str = "GET http://bad.example/";
const GOOD: &str = "GET http://good.example/";

pub(crate) fn scenarios() -> Vec<Scenario> {
    let filtered = "Upstream http $PARENT\nFilter \"$DIR/filter\"\n";
    let reload = |name, script| Scenario::script(name, filtered, script).file("filter", "bad\n");
    vec![
        reload("SIGHUP in the foreground", |stage| {
            broken(stage, Signal::HUP, "filter", "good\n")
        }),
        reload("SIGUSR1 takes another filter", |stage| {
            another_filter(stage, Signal::USR1)
        }),
        reload("SIGHUP with a filter that is broken", |stage| {
            broken(stage, Signal::HUP, "filter", "\\(\n")
        }),
        reload("SIGUSR1 with a filter that is broken", |stage| {
            broken(stage, Signal::USR1, "filter", "\\(\n")
        }),
        reload("SIGUSR1 with a filter that is gone", gone),
        reload("SIGUSR1 with a configuration that is broken", |stage| {
            broken(stage, Signal::USR1, "tinyproxy.conf", "Nonsense Yes\n")
        }),
        reload("SIGUSR1 with another configuration", another_configuration),
        reload("a filter that changes by itself", by_itself),
        Scenario::script("more clients than are served", "MaxClients 2\n", too_many),
        Scenario::script("a client that says nothing", "Timeout 1\n", silent_client),
        Scenario::script("an origin that says nothing", "Timeout 1\n", silent_origin),
        Scenario::script("a tunnel that says nothing", "Timeout 1\n", silent_tunnel),
        Scenario::script("two requests on one connection", "", two_requests),
    ]
}

fn another_filter(stage: &mut Stage, signal: Signal) -> Sights {
    let before = [BAD, GOOD].map(|ask| stage.ask(ask));
    stage.write("filter", "good\n");
    let from = stage.log().len();
    stage.daemon.signal(signal);
    stage.await_log(
        from,
        &[
            "Re-reading filter file",
            "eloading config file finished",
            "Reloaded",
        ],
    );
    let after = [BAD, GOOD].map(|ask| stage.ask(ask));
    named(["bad before", "good before"], before)
        .chain(named(["bad after", "good after"], after))
        .collect()
}

/// Whatever the program makes of it: does it still serve, and by which filter?
fn broken(stage: &mut Stage, signal: Signal, file: &str, text: &str) -> Sights {
    let before = stage.ask(BAD);
    stage.write(file, text);
    after_reload(stage, signal, before)
}

fn gone(stage: &mut Stage) -> Sights {
    let before = stage.ask(BAD);
    fs_err::remove_file(stage.directory.path().join("filter")).expect("the filter");
    after_reload(stage, Signal::USR1, before)
}

fn after_reload(stage: &mut Stage, signal: Signal, before: Observation) -> Sights {
    let from = stage.log().len();
    stage.daemon.signal(signal);
    const TOLD: [&str; 3] = [
        "Re-reading filter file",
        "Reloading config file failed",
        "eloading config file finished",
    ];
    wait::until(
        "the reload to be told of, or the end",
        Duration::from_secs(10),
        || {
            let log = stage.log();
            let new = log.get(from..).unwrap_or_default();
            (!stage.daemon.running() || TOLD.iter().any(|word| new.contains(word))).then_some(())
        },
    );
    // What ends the process does so right after what it says.
    let deadline = Instant::now() + Duration::from_secs(2);
    while stage.daemon.running() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    let running = stage.daemon.running();
    let serves = Observation::from([("serves".to_owned(), running.to_string())]);
    let mut sights = vec![("before".to_owned(), before), ("still".to_owned(), serves)];
    if running {
        sights.push(("bad after".to_owned(), stage.ask(BAD)));
        sights.push(("good after".to_owned(), stage.ask(GOOD)));
    }
    sights
}

/// Time enough to notice, by watching or by looking.
fn by_itself(stage: &mut Stage) -> Sights {
    stage.write("filter", "good\n");
    let deadline = Instant::now() + Duration::from_secs(3);
    let passes = |seen: Observation| seen.get("status").is_some_and(|status| status == "200");
    let mut taken = false;
    while !taken && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(50));
        taken = passes(stage.ask(BAD));
    }
    let seen = Observation::from([("taken without a signal".to_owned(), taken.to_string())]);
    vec![("after".to_owned(), seen)]
}

fn another_configuration(stage: &mut Stage) -> Sights {
    let mut tunnel = stage.connect();
    let before = stage.ask_on(&mut tunnel, "CONNECT good.example:8443");
    let conf = crate::scenario::BASE.to_owned()
        + "Upstream http $PARENT\nConnectPort 443\nViaProxyName \"renamed\"\n";
    stage.write("tinyproxy.conf", &conf);
    let from = stage.log().len();
    stage.daemon.signal(Signal::USR1);
    stage.await_log(from, &["eloading config file finished", "Reloaded"]);
    tunnel.patience(Duration::from_millis(1500));
    let (_, ended) = tunnel.rest();
    let open = Observation::from([("ended".to_owned(), ended.to_owned())]);
    vec![
        ("before".to_owned(), before),
        ("a tunnel that was open".to_owned(), open),
        (
            "port after".to_owned(),
            stage.ask("CONNECT good.example:8443"),
        ),
        ("filter after".to_owned(), stage.ask(BAD)),
    ]
}

/// Two tunnels are held open; what becomes of the third, and does it come through once they are closed?
fn too_many(stage: &mut Stage) -> Sights {
    let mut held = [stage.connect(), stage.connect()];
    let opened = held
        .each_mut()
        .map(|wire| stage.ask_on(wire, "CONNECT $ORIGIN"));
    let mut third = stage.connect();
    third.patience(Duration::from_secs(3));
    let refused = stage.ask_on(&mut third, "GET http://$ORIGIN/");
    drop(held);
    let place = wait::until("a place", Duration::from_secs(10), || {
        let status = stage.ask("GET http://$ORIGIN/").remove("status")?;
        (status == "200").then_some(status)
    });
    let after = Observation::from([("status".to_owned(), place)]);
    let sights = named(["first", "second"], opened);
    sights
        .chain([("third".to_owned(), refused), ("after".to_owned(), after)])
        .collect()
}

fn silent_client(stage: &mut Stage) -> Sights {
    let start = "GET http://$ORIGIN/ HTTP/1.1\r\nHost: $ORIGIN\r\n";
    let mut sights = Sights::new();
    for (name, sent) in [("nothing", ""), ("half a head", start)] {
        let began = Instant::now();
        let mut wire = stage.connect();
        wire.send(stage.fill(sent).as_bytes());
        sights.push((
            name.to_owned(),
            observation::answer("", &wire.answer("GET")),
        ));
        let soon = began.elapsed() < Duration::from_secs(5);
        let seen = Observation::from([("ends within the Timeout".to_owned(), soon.to_string())]);
        sights.push((format!("{name}, how long"), seen));
    }
    sights
}

fn silent_origin(stage: &mut Stage) -> Sights {
    vec![("silence".to_owned(), stage.ask("GET http://$ORIGIN/silent"))]
}

fn silent_tunnel(stage: &mut Stage) -> Sights {
    let mut wire = stage.connect();
    let opened = stage.ask_on(&mut wire, "CONNECT $ORIGIN");
    let (rest, how) = wire.rest();
    let closed = Observation::from([
        ("rest".to_owned(), rest),
        ("ended".to_owned(), how.to_owned()),
    ]);
    vec![("opened".to_owned(), opened), ("closed".to_owned(), closed)]
}

fn two_requests(stage: &mut Stage) -> Sights {
    let mut wire = stage.connect();
    let first = stage.ask_on(&mut wire, "GET http://$ORIGIN/");
    let second = stage.ask_on(&mut wire, "GET http://$ORIGIN/missing");
    vec![("first".to_owned(), first), ("second".to_owned(), second)]
}

fn named<const N: usize>(
    names: [&str; N],
    seen: [Observation; N],
) -> impl Iterator<Item = (String, Observation)> {
    names.map(str::to_owned).into_iter().zip(seen)
}
