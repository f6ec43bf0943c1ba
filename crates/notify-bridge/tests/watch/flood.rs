//! A hundred thousand files at once.

use std::fs;

use crate::harness::{World, alert, write};

#[test]
fn w124_a_hundred_thousand_files_are_ten_notices_and_a_line_in_sixteen_megabytes() {
    let world = World::running();
    let out = world.out();
    let other = world.task("other");
    let noise = alert("info", "noise");
    for number in 0..100_000 {
        write(&out, &format!("n-{number}"), &noise);
    }
    world.until(World::is_empty);
    world.until(|world| world.texts().iter().any(|text| text.starts_with("and ")));
    let texts = world.texts();
    let lines: Vec<&String> = texts.iter().filter(|text| *text != "noise").collect();
    assert!(texts.len() - lines.len() <= 10, "{}", texts.len());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        world.memory("VmHWM") <= 16 * 1024,
        "{} KiB",
        world.memory("VmHWM")
    );
    // Somebody else is heard, and at once again.
    write(&other, "a", &alert("error", "signal"));
    world.until(|world| world.texts().contains(&"signal".to_owned()));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}
