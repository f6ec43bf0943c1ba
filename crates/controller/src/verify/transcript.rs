//! The end of a container's log, bounded and safe to show.

use crate::engine::{Engine, LogQuery, Streams};
use crate::output::printable;

/// The end of a container's log, safe to show.
pub(super) async fn last_words<E: Engine>(engine: &E, container: &str) -> String {
    const LINES: u32 = 20;
    let (stdout, stderr) = (Shared::default(), Shared::default());
    let streams = Streams {
        stdin: None,
        stdout: Box::new(stdout.clone()),
        stderr: Box::new(stderr.clone()),
        size: None,
    };
    let query = LogQuery {
        follow: false,
        tail: Some(LINES),
    };
    if engine.logs(container, query, streams).await.is_err() {
        return String::new();
    }
    let text = format!("{}{}", stderr.text(), stdout.text());
    text.lines()
        .map(|line| format!("  {}", printable(line)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A bounded buffer that an engine can write a log into.
#[derive(Debug, Clone, Default)]
struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Shared {
    const LIMIT: usize = 64 << 10;

    fn text(&self) -> String {
        let bytes = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl tokio::io::AsyncWrite for Shared {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        piece: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let mut bytes = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let room = Shared::LIMIT.saturating_sub(bytes.len());
        bytes.extend(piece.iter().take(room));
        std::task::Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
