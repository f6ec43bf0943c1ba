//! A screen that nobody sees: Xvfb, whose frame buffer is a file.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;

use super::{PATIENCE, Part, program};
use crate::wait::until;

/// An X server.
#[derive(Debug)]
pub(super) struct Screen {
    /// `:N`.
    pub(super) display: String,
    buffer: PathBuf,
    dir: PathBuf,
    _server: Part,
}

impl Screen {
    pub(super) fn start(root: &Path, dir: &Path) -> Self {
        let keyboards = root.join("usr/share/X11/xkb");
        fs::write(dir.join("fonts.conf"), fonts(root, dir)).unwrap();
        let mut child = program(root, "Xvfb", dir)
            .args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0"])
            .arg("520x352x24")
            .arg("-xkbdir")
            .arg(&keyboards)
            .arg("-fbdir")
            .arg(dir)
            .stdout(Stdio::piped())
            .stderr(
                fs::File::create(dir.join("xvfb.log"))
                    .unwrap()
                    .into_parts()
                    .0,
            )
            .spawn()
            .expect("Xvfb");
        // It chooses a free number, and says which one when clients can come.
        let mut said = child.stdout.take().expect("piped");
        let server = Part(child);
        let mut number = String::new();
        let mut byte = [0];
        while said.read(&mut byte).is_ok_and(|read| read == 1) && byte != *b"\n" {
            number.push(char::from(byte[0]));
        }
        let log = || fs::read_to_string(dir.join("xvfb.log")).unwrap_or_default();
        assert!(!number.is_empty(), "Xvfb did not start: {}", log());
        let buffer = dir.join("Xvfb_screen0");
        until("the screen's frame buffer", PATIENCE, || {
            buffer.exists().then_some(())
        });
        Self {
            display: format!(":{number}"),
            buffer,
            dir: dir.to_owned(),
            _server: server,
        }
    }

    pub(super) fn picture(&self, root: &Path) -> Vec<u8> {
        let pnm = convert(program(root, "xwdtopnm", &self.dir).arg(&self.buffer));
        fs::write(self.dir.join("screen.pnm"), pnm).unwrap();
        convert(program(root, "pnmtopng", &self.dir).args(["-compression=9", "screen.pnm"]))
    }
}

fn convert(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("a converter of pictures");
    assert!(output.status.success(), "{command:?}: {output:?}");
    output.stdout
}

fn fonts(root: &Path, dir: &Path) -> String {
    format!(
        r#"<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{}</dir><cachedir>{}</cachedir></fontconfig>
"#,
        root.join("usr/share/fonts").display(),
        dir.join("fonts").display()
    )
}
