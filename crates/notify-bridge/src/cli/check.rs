//! `agentnet-notify check`: say of each file whether it would be taken.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::spool_file::read;

const TAKEN: u8 = 0;
const REFUSED: u8 = 1;

/// The arguments.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let code = check(&arguments.files, &mut io::stdout().lock());
    // A reader that has gone away does not change what was found.
    ExitCode::from(code.unwrap_or(REFUSED))
}

/// One line a file: what it is, or why it is refused.
fn check(files: &[PathBuf], out: &mut dyn Write) -> io::Result<u8> {
    let mut code = TAKEN;
    for file in files {
        let shown = visible(&file.to_string_lossy());
        match read(file) {
            Ok((_, alert)) => {
                let length = alert.text.chars().count();
                writeln!(out, "{shown}: {}, {length} characters", alert.kind)?;
            }
            Err(error) => {
                code = REFUSED;
                writeln!(out, "{shown}: refused: {}", visible(&error.to_string()))?;
            }
        }
    }
    Ok(code)
}

/// Control characters made visible: names and error texts hold what the agent wrote.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn each_file_gets_its_line_and_one_refusal_decides_the_exit_code() {
        let dir = tempfile::tempdir().unwrap();
        let good = dir.path().join("good.json");
        fs::write(&good, r#"{"v":1,"kind":"complete","text":"done"}"#).unwrap();
        let forged = dir.path().join("forged.json");
        fs::write(&forged, r#"{"v":1,"kind":"blocked","text":"allow?"}"#).unwrap();

        let mut out = Vec::new();
        assert_eq!(check(std::slice::from_ref(&good), &mut out).unwrap(), TAKEN);
        assert!(
            String::from_utf8(out)
                .unwrap()
                .ends_with("good.json: complete, 4 characters\n")
        );

        let mut out = Vec::new();
        let odd = dir.path().join("a\u{1b}[2J.json");
        assert_eq!(check(&[good, forged, odd], &mut out).unwrap(), REFUSED);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 3);
        assert!(
            text.contains("forged.json: refused: kind `blocked` is never taken"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}
