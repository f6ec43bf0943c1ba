//! dunst, from its package.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;

use super::{PATIENCE, Part, Received, program};
use crate::command::run;
use crate::wait::until;

/// A running dunst. It prints every notification that arrives.
#[derive(Debug)]
pub struct Dunst {
    root: PathBuf,
    dir: PathBuf,
    address: String,
    said: PathBuf,
    _process: Part,
}

impl Dunst {
    pub(super) fn start(
        root: &Path,
        dir: &Path,
        address: &str,
        display: &str,
        markup: bool,
    ) -> Self {
        fs::write(dir.join("dunstrc"), configuration(dir, markup)).unwrap();
        let menu = dir.join("menu.sh");
        fs::write(&menu, MENU).unwrap();
        fs::set_permissions(&menu, PermissionsExt::from_mode(0o755)).unwrap();
        let said = dir.join("dunst.log");
        let out = fs::File::create(&said).unwrap().into_parts().0;
        let child = program(root, "dunst", dir)
            .args(["-print", "-conf"])
            .arg(dir.join("dunstrc"))
            .env("DISPLAY", display)
            .env("DBUS_SESSION_BUS_ADDRESS", address)
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .expect("dunst");
        let dunst = Self {
            root: root.to_owned(),
            dir: dir.to_owned(),
            address: address.to_owned(),
            said,
            _process: Part(child),
        };
        until("dunst on the bus", PATIENCE, || {
            run(dunst.ctl().arg("is-paused")).ok().then_some(())
        });
        dunst
    }

    pub(super) fn received(&self) -> Vec<Received> {
        let text = fs::read_to_string(&self.said).unwrap_or_default();
        Received::printed(&format!("\n{text}"))
    }

    pub(super) fn displayed(&self) -> usize {
        let said = run(self.ctl().args(["count", "displayed"])).expect();
        said.trim().parse().expect("a number")
    }

    /// `dunstctl action` opens the menu of the uppermost notification, which is a script of ours: it picks the line of
    /// the wanted button, and dunst does what it does for a person who picked it.
    #[track_caller]
    pub(super) fn click(&self, label: &str) {
        fs::write(self.dir.join("wanted"), format!("#{label} (")).unwrap();
        fs::remove_file(self.dir.join("picked")).ok();
        run(self.ctl().args(["action", "0"])).expect();
        until("the menu", PATIENCE, || {
            self.dir.join("picked").exists().then_some(())
        });
        let picked = fs::read_to_string(self.dir.join("picked")).unwrap();
        let offered = fs::read_to_string(self.dir.join("offered")).unwrap_or_default();
        assert!(!picked.is_empty(), "no button {label} in: {offered}");
    }

    /// Opens the menu of the uppermost notification on the screen, and leaves it there: with dmenu itself.
    pub fn open_menu(&self) {
        fs::write(self.dir.join("menu.sh"), MENU_ON_SCREEN).unwrap();
        run(self.ctl().args(["action", "0"])).expect();
    }

    pub(super) fn close_all(&self) {
        run(self.ctl().arg("close-all")).expect();
    }

    /// What `dunstctl history` says of what was closed, newest first.
    pub fn history(&self) -> Vec<serde_json::Value> {
        let said = run(self.ctl().arg("history")).expect();
        let all: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        all["data"][0].as_array().expect("a list").clone()
    }

    fn ctl(&self) -> Command {
        let mut command = program(&self.root, "dunstctl", &self.dir);
        command
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .stdout(Stdio::piped());
        command
    }
}

/// Takes the place of dmenu: one line of what is offered. The file appears complete.
const MENU: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
cat >offered
grep -F "$(cat wanted)" offered | head -n 1 >picked.new
mv picked.new picked
cat picked
"#;

/// What a person has in its place.
const MENU_ON_SCREEN: &str = r#"#!/bin/sh
exec dmenu -b -l 3 -fn 'DejaVu Sans:size=10' -nb '#20262d' -nf '#eef2f6' -sb '#2f6f4f' -sf '#ffffff' -p dunst
"#;

/// As the package comes, but for the size, and for what a script needs.
fn configuration(dir: &Path, markup: bool) -> String {
    let markup = if markup { "full" } else { "no" };
    format!(
        r##"[global]
width = (300, 480)
height = 200
origin = top-right
offset = 20x20
notification_limit = 20
frame_width = 1
frame_color = "#5b6a7a"
separator_color = frame
gap_size = 8
padding = 12
horizontal_padding = 14
font = DejaVu Sans 10
markup = {markup}
format = "<b>%s</b>\n%b"
alignment = left
show_age_threshold = -1
show_indicators = yes
word_wrap = yes
ellipsize = end
sort = no
stack_duplicates = false
idle_threshold = 0
sticky_history = yes
history_length = 100
dmenu = {menu}
enable_recursive_icon_lookup = true
icon_theme = hicolor
icon_path = {dir}/icons
min_icon_size = 32
max_icon_size = 48

[urgency_low]
background = "#20262d"
foreground = "#c3ccd5"
timeout = 0
[urgency_normal]
background = "#2a333d"
foreground = "#eef2f6"
timeout = 0
[urgency_critical]
background = "#5a1d1d"
foreground = "#ffffff"
timeout = 0
"##,
        menu = dir.join("menu.sh").display(),
        dir = dir.display(),
    )
}
