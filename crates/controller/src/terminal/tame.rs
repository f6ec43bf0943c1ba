//! What a container printed, for a person's terminal: text and colours reach it, nothing else does. A sequence can put words
//! on the clipboard (OSC 52), rename the window, or have the terminal type an answer into the person's shell.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Parameters of a colour have fewer bytes; what is longer is shown as text.
const LONGEST: usize = 64;
const ESCAPE: u8 = 0x1b;

/// Writes on what may pass, and shows the rest as `\u{1b}`.
#[derive(Debug)]
pub struct Tame<W> {
    inner: W,
    seen: Seen,
    /// What is to be written, from `written` on.
    out: Vec<u8>,
    written: usize,
}

/// What a chunk ended with.
#[derive(Debug, Default)]
enum Seen {
    #[default]
    Text,
    /// The first byte of a character that may be one of the controls U+0080 to U+009F.
    C2,
    /// ESC, and what followed.
    Escape(Vec<u8>),
}

impl<W> Tame<W> {
    /// In front of a terminal.
    pub fn new(inner: W) -> Tame<W> {
        Tame {
            inner,
            seen: Seen::Text,
            out: Vec::new(),
            written: 0,
        }
    }

    fn take(&mut self, byte: u8) {
        match std::mem::take(&mut self.seen) {
            Seen::Text => self.text(byte),
            Seen::C2 if (0x80..0xa0).contains(&byte) => self.show(byte),
            Seen::C2 => {
                self.out.push(0xc2);
                self.text(byte);
            }
            Seen::Escape(mut held) => match (held.as_slice(), byte) {
                ([], b'[') | ([b'[', ..], b'0'..=b'9' | b';' | b':') if held.len() < LONGEST => {
                    held.push(byte);
                    self.seen = Seen::Escape(held);
                }
                ([b'[', ..], b'm') => {
                    self.out.push(ESCAPE);
                    self.out.append(&mut held);
                    self.out.push(b'm');
                }
                _ => {
                    self.show(ESCAPE);
                    self.out.append(&mut held);
                    self.text(byte);
                }
            },
        }
    }

    fn text(&mut self, byte: u8) {
        match byte {
            ESCAPE => self.seen = Seen::Escape(Vec::new()),
            0xc2 => self.seen = Seen::C2,
            b'\n' | b'\t' | b'\r' => self.out.push(byte),
            0..0x20 | 0x7f => self.show(byte),
            _ => self.out.push(byte),
        }
    }

    fn show(&mut self, byte: u8) {
        self.out
            .extend(char::from(byte).escape_default().map(|c| c as u8));
    }
}

impl<W: AsyncWrite + Unpin> Tame<W> {
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Tame<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // What came before is written first, so that no more than one chunk is held.
        ready!(self.drain(cx))?;
        for byte in bytes {
            self.take(*byte);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// What passes, whole and byte by byte, which must not matter.
    async fn passed(printed: &[u8]) -> String {
        let mut whole = Tame::new(Vec::new());
        whole.write_all(printed).await.unwrap();
        whole.flush().await.unwrap();
        let mut cut = Tame::new(Vec::new());
        for byte in printed {
            cut.write_all(&[*byte]).await.unwrap();
        }
        cut.flush().await.unwrap();
        assert_eq!(whole.inner, cut.inner);
        String::from_utf8(whole.inner).unwrap()
    }

    #[tokio::test]
    async fn text_and_colours_pass_as_they_are() {
        for text in [
            "plain\r\n\ttext",
            "\u{1b}[1;31mred\u{1b}[m",
            "\u{1b}[38:2::1:2:3mtrue colour",
            "grüße, 日本語, £, \u{a0}",
        ] {
            assert_eq!(passed(text.as_bytes()).await, text);
        }
    }

    #[tokio::test]
    async fn what_a_terminal_obeys_is_shown_and_not_passed_on() {
        for (printed, shown) in [
            // The clipboard, the title, a report that is typed into the shell, another screen.
            ("\u{1b}]52;c;ZXZpbA==\u{7}", "\\u{1b}]52;c;ZXZpbA==\\u{7}"),
            ("\u{1b}]0;title\u{1b}\\", "\\u{1b}]0;title\\u{1b}\\"),
            (
                "\u{1b}[6n\u{1b}[21t\u{1b}[c",
                "\\u{1b}[6n\\u{1b}[21t\\u{1b}[c",
            ),
            ("\u{1b}[?1049h", "\\u{1b}[?1049h"),
            ("\u{1b}[>4;2m", "\\u{1b}[>4;2m"),
            ("\u{1b}P+q\u{1b}c", "\\u{1b}P+q\\u{1b}c"),
            ("\u{9b}6n\u{9d}0;x\u{9c}", "\\u{9b}6n\\u{9d}0;x\\u{9c}"),
            ("\u{1b}\u{1b}[6n\u{8}\u{0}", "\\u{1b}\\u{1b}[6n\\u{8}\\u{0}"),
        ] {
            assert_eq!(passed(printed.as_bytes()).await, shown);
        }
        let long = format!("\u{1b}[{}m", "1;".repeat(1000));
        assert!(passed(long.as_bytes()).await.starts_with("\\u{1b}[1;1;"));
    }
}
