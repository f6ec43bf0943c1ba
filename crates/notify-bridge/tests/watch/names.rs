//! Names, and directories full of them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use crate::harness::{World, alert};

#[test]
fn w130_names_that_no_writer_of_ours_uses_are_removed_and_counted() {
    let world = World::running();
    let out = world.out();
    let names: [&[u8]; 12] = [
        b"a\nb.json",
        b"-rf",
        b"-rf.json.exe",
        b"UPPER.json",
        b"a.b.json",
        b".json",
        b".hidden",
        b"..x.json",
        b"\xff\xfe.json",
        b"a .json",
        b"$(id).json",
        &[b'a'; 255],
    ];
    for name in names {
        fs::write(
            out.join(OsStr::from_bytes(name)),
            alert("info", "by a bad name"),
        )
        .unwrap();
    }
    world.refused("bad_name", names.len() as u64);
    world.is_well();
    assert_eq!(world.texts(), ["all is well"]);
    world.until(World::is_empty);
}

#[test]
fn w130_what_is_being_written_is_left_alone_unless_it_is_one_of_many() {
    let world = World::running();
    let out = world.out();
    fs::write(out.join("young.tmp"), "half").unwrap();
    fs::write(out.join("young.json.tmp"), "half").unwrap();
    world.is_well();
    assert!(out.join("young.tmp").exists() && out.join("young.json.tmp").exists());
    for number in 0..200 {
        fs::write(out.join(format!("t-{number}.tmp")), "half").unwrap();
    }
    world.refused("bad_name", 150);
    world.until(|_| fs::read_dir(&out).unwrap().count() <= 32);
    assert_eq!(world.texts(), ["all is well"]);
}

#[test]
fn w131_a_directory_with_very_many_names_is_worked_off_in_steps() {
    let world = World::running();
    let out = world.out();
    let other = world.task("other");
    for number in 0..20_000 {
        symlink("x", out.join(format!("n-{number}"))).unwrap();
    }
    // Meanwhile, and not behind it.
    crate::harness::write(&other, "a", &alert("info", "from another task"));
    world.until(|world| world.texts() == ["from another task"]);
    world.until(World::is_empty);
    world.refused("bad_name", 20_000);
    assert!(
        world.memory("VmHWM") <= 16 * 1024,
        "{} KiB",
        world.memory("VmHWM")
    );
}

#[test]
fn w131_directories_that_cannot_be_removed_do_not_hide_an_alert() {
    let world = World::running();
    let out = world.out();
    for number in 0..3000 {
        let made = world.path("made");
        fs::create_dir_all(made.join("x")).unwrap();
        fs::rename(made, out.join(format!("d-{number}"))).unwrap();
    }
    world.refused("stuck", 3000);
    world.is_well();
}
