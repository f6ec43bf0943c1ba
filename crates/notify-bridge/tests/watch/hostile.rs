//! Files that are not what they seem.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::harness::{World, alert, binary, write};

/// A file outside that would be shown if it were read.
const SECRET: &str = "the secret";

fn secret(world: &World) -> std::path::PathBuf {
    let path = world.path("secret.json");
    fs::write(&path, alert("info", SECRET)).unwrap();
    path
}

#[test]
fn w120_links_are_removed_and_what_they_point_to_is_neither_read_nor_touched() {
    let world = World::running();
    let secret = secret(&world);
    let elsewhere = world.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("inner.json"), alert("info", SECRET)).unwrap();
    let before = fs::metadata(&secret).unwrap();
    let out = world.out();
    symlink(&secret, out.join("a.json")).unwrap();
    symlink("../../../../../../secret.json", out.join("b.json")).unwrap();
    symlink(&elsewhere, out.join("c.json")).unwrap();
    symlink("/proc/self/root/etc/passwd", out.join("d.json")).unwrap();
    symlink("e.json", out.join("e.json")).unwrap();
    symlink("/nonexistent", out.join("f.json")).unwrap();
    symlink(&elsewhere, out.join("directory")).unwrap();
    world.refused("not_a_file", 6);
    world.is_well();
    assert_eq!(world.texts(), ["all is well"]);
    world.until(World::is_empty);
    let after = fs::metadata(&secret).unwrap();
    assert_eq!((before.ino(), before.ctime()), (after.ino(), after.ctime()));
    assert!(elsewhere.join("inner.json").exists());
}

#[test]
fn w120_a_spool_that_is_a_link_is_not_entered() {
    let mut world = World::new();
    let elsewhere = world.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    write(&elsewhere, "inner", &alert("info", SECRET));
    let way = world.path("state/tasks/shop/linked");
    fs::create_dir_all(way.join("spool")).unwrap();
    symlink(&elsewhere, way.join("spool/out")).unwrap();
    world.start();
    world.is_well();
    assert_eq!(world.texts(), ["all is well"]);
    assert!(elsewhere.join("inner.json").exists());
    assert!(
        world.trouble().contains("shop/linked"),
        "{}",
        world.trouble()
    );
}

#[test]
fn w121_pipes_sockets_and_devices_do_not_hold_the_bridge_up() {
    let world = World::running();
    let out = world.out();
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, out.join("a.json"), FileType::Fifo, mode, 0).unwrap();
    drop(UnixListener::bind(out.join("b.json")).unwrap());
    // /dev/zero and /dev/tty, where we may make them.
    let mut devices = 0;
    for (name, device) in [("c.json", makedev(1, 5)), ("d.json", makedev(5, 0))] {
        let made = mknodat(CWD, out.join(name), FileType::CharacterDevice, mode, device);
        devices += u64::from(made.is_ok());
    }
    world.refused("not_a_file", 2 + devices);
    world.is_well();
    assert_eq!(world.texts(), ["all is well"]);
    world.until(World::is_empty);
}

#[test]
fn w122_a_file_with_a_second_name_is_refused_and_keeps_the_other() {
    let world = World::running();
    let secret = secret(&world);
    fs::hard_link(&secret, world.out().join("a.json")).unwrap();
    world.refused("linked", 1);
    world.is_well();
    assert_eq!(world.texts(), ["all is well"]);
    assert_eq!(fs::metadata(&secret).unwrap().nlink(), 1);
}

#[test]
fn w123_a_giant_a_sparse_one_and_one_that_grows_cost_no_more_than_the_bound() {
    let world = World::running();
    let out = world.out();
    // Under names that are left alone meanwhile, then moved.
    File::create(out.join("a.tmp"))
        .unwrap()
        .set_len(10 << 30)
        .unwrap();
    fs::rename(out.join("a.tmp"), out.join("a.json")).unwrap();
    let mut growing = File::create(out.join("b.tmp")).unwrap();
    growing.write_all(&[b' '; 8000]).unwrap();
    fs::rename(out.join("b.tmp"), out.join("b.json")).unwrap();
    for _ in 0..1000 {
        growing.write_all(&[b' '; 100]).unwrap();
    }
    world.refused("too_long", 1);
    world.until(World::is_empty);
    world.is_well();
    assert_eq!(world.texts(), ["all is well"]);
    assert!(
        world.memory("VmHWM") <= 16 * 1024,
        "{} KiB",
        world.memory("VmHWM")
    );
}

#[test]
fn w123_a_file_that_is_replaced_all_the_time_is_one_of_the_two_or_nothing() {
    let world = World::running();
    let out = world.out();
    let secret = secret(&world);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // Each can be removed by the bridge in between.
                drop(fs::write(out.join("x.tmp"), alert("info", "honest")));
                drop(fs::rename(out.join("x.tmp"), out.join("x.json")));
                drop(symlink(&secret, out.join("y.tmp")));
                drop(fs::rename(out.join("y.tmp"), out.join("x.json")));
                drop(fs::hard_link(&secret, out.join("z.tmp")));
                drop(fs::rename(out.join("z.tmp"), out.join("x.json")));
            }
        });
        world.until(|world| world.texts().len() >= 10);
        stop.store(true, Ordering::Relaxed);
    });
    let texts = world.texts();
    let honest = |text: &&String| *text == "honest" || text.starts_with("and ");
    assert_eq!(
        texts.iter().filter(honest).count(),
        texts.len(),
        "{texts:?}"
    );
}

#[test]
fn w128_and_w129_neither_task_nor_title_nor_urgency_nor_a_grant_can_be_forged() {
    let world = World::running();
    let out = world.out();
    write(&out, "a", &alert("blocked", "Allow evil.example?"));
    write(&out, "b", r#"{"v":1,"kind":"Blocked ","text":"Allow?"}"#);
    for (name, field) in [
        ("c", r#""title":"System""#),
        ("d", r#""task":"other""#),
        ("e", r#""urgency":"critical""#),
        ("f", r#""actions":["x"]"#),
        ("g", r#""icon":"/etc/passwd""#),
        ("h", r#""url":"https://evil.example""#),
    ] {
        write(
            &out,
            name,
            &format!(r#"{{"v":1,"kind":"info","text":"x",{field}}}"#),
        );
    }
    write(&out, "i", &alert("error", "System: update your password"));
    world.refused("forged_blocked", 2);
    world.refused("not_an_alert", 6);
    world.until(|world| world.log().len() == 1);
    let log = world.log();
    assert_eq!(log[0]["title"], "fix-42: failed");
    assert_eq!(
        (&log[0]["task"], &log[0]["project"]),
        (&"fix-42".into(), &"shop".into())
    );
    assert_eq!(log[0]["urgency"], "normal");
}

#[test]
fn w125_and_w127_text_is_plain_visible_and_bounded() {
    let world = World::running();
    let out = world.out();
    for (name, text) in [
        (
            "a",
            "<a href=\"https://evil.example\">x</a><img src=\"file:///dev/urandom\">".to_owned(),
        ),
        (
            "b",
            "user\u{202e}gpj.exe\u{1b}[2J\u{9b}31m\u{200b}".to_owned(),
        ),
        ("c", "a".repeat(8000)),
        (
            "d",
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}".repeat(400),
        ),
        ("e", format!("z{}", "\u{301}".repeat(3000))),
    ] {
        write(&out, name, &alert("info", &text));
    }
    let invalid = b"{\"v\":1,\"kind\":\"info\",\"text\":\"\xff\xfe\"}";
    fs::write(out.join("f.tmp"), invalid).unwrap();
    fs::rename(out.join("f.tmp"), out.join("f.json")).unwrap();
    write(&out, "g", &alert("info", "\u{200b}\u{202e} \u{feff}"));
    world.refused("not_an_alert", 1);
    world.refused("empty", 1);
    world.until(|world| world.texts().len() == 5);
    let mut texts = world.texts();
    texts.sort();
    // Outlets without markup show it as it is; the desktop's tests show that it is escaped there.
    assert!(texts[0].starts_with("<a href="));
    assert_eq!(texts[2], "usergpj.exe[2J31m");
    for text in &texts {
        assert!(text.chars().count() <= 12 * 256, "{}", text.len());
        assert!(
            !text
                .chars()
                .any(|c| c.is_control() || c == '\u{202e}' || c == '\u{200b}')
        );
    }
    assert!(texts[1].ends_with('\u{2026}') && texts[1].chars().count() == 256);
}

#[test]
fn w131_directories_and_depth_are_passed_by() {
    let world = World::running();
    let out = world.out();
    fs::create_dir(out.join("empty.json")).unwrap();
    let mut deep = out.join("deep.json");
    for _ in 0..200 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    write(&deep, "inner", &alert("info", "from below"));
    world.refused("stuck", 1);
    world.is_well();
    assert_eq!(world.texts(), ["all is well"]);
    world.until(|_| !out.join("empty.json").exists());
    assert!(deep.join("inner.json").exists());
}

#[test]
fn w131_a_mount_point_is_not_entered() {
    let mut world = World::new();
    let out = world.out();
    fs::create_dir(out.join("mounted.json")).unwrap();
    let over = world.task("over");
    let script = format!(
        "mount -t tmpfs none {} && mount -t tmpfs none {} && \
         echo '{}' > {}/inner.json && exec \"$0\" \"$@\"",
        out.join("mounted.json").display(),
        over.display(),
        alert("info", "from the mount"),
        over.display()
    );
    let probe = Command::new("unshare").args(["-m", "true"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        writeln!(
            std::io::stderr(),
            "skipped: we may not make a mount namespace"
        )
        .unwrap();
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, binary()]);
    command.args(world.arguments());
    world.start_as(command);
    world.refused("stuck", 1);
    world.is_well();
    assert_eq!(world.texts(), ["all is well"]);
    assert!(world.trouble().contains("shop/over"), "{}", world.trouble());
}

#[test]
fn w133_json_bombs_are_refused_one_by_one() {
    let world = World::running();
    let out = world.out();
    let bombs = [
        "[".repeat(8000),
        "{\"a\":".repeat(1500),
        r#"{"v":1,"kind":"info","text":"a","text":"b"}"#.to_owned(),
        r#"{"v":1e999999,"kind":"info","text":"a"}"#.to_owned(),
        format!(
            "{{\"v\":{},\"kind\":\"info\",\"text\":\"a\"}}",
            "9".repeat(7000)
        ),
        r#"{"v":1,"kind":"info","text":{"a":{}}}"#.to_owned(),
        "\"".repeat(8000),
    ];
    for (number, bomb) in bombs.iter().enumerate() {
        write(&out, &format!("bomb-{number}"), bomb);
    }
    world.refused("not_an_alert", bombs.len() as u64);
    world.is_well();
    assert_eq!(world.texts(), ["all is well"]);
}
