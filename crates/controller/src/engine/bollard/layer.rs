//! A container's own layer: what it changed, archives of it, images of it, and containers like it.

use bollard::models;
use bollard::query_parameters as query;
use bytes::BytesMut;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Bollard, BollardEngine, podman, request};
use crate::engine::{Change, EngineError, EngineResult};
use crate::labels::Labels;

/// Bytes of an engine's list of changes that are read: some half a million paths.
const CHANGES: u64 = 64 << 20;
/// Bytes that travel at once.
const PIECE: usize = 256 << 10;
/// Seconds that a container has to end by itself.
const GRACE: i32 = 2;

/// A line of the engine's list.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "Path")]
    path: String,
    #[serde(rename = "Kind")]
    kind: u8,
}

impl BollardEngine {
    /// The library reads such a list whole, however long an agent made it: over a unix socket it is asked
    /// for by hand, and no more than [`CHANGES`] of it is taken.
    pub(super) async fn layer_changes(
        &self,
        container: &str,
    ) -> EngineResult<Vec<(String, Change)>> {
        let Some(socket) = self.endpoint.strip_prefix("unix://") else {
            let all = self.docker.container_changes(container).await;
            let all = all.map_err(|e| self.failed(e))?.unwrap_or_default();
            let made = |change: models::FilesystemChange| {
                let kind = match change.kind {
                    models::ChangeType::_0 => Change::Modified,
                    models::ChangeType::_1 => Change::Added,
                    models::ChangeType::_2 => Change::Deleted,
                };
                (change.path, kind)
            };
            return Ok(all.into_iter().map(made).collect());
        };
        let broken = |e: std::io::Error| EngineError::Broken(e.to_string());
        let mut stream = UnixStream::connect(socket).await.map_err(broken)?;
        // Of HTTP 1.0 the end of the connection is the end of the answer.
        let question =
            format!("GET /containers/{container}/changes HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream
            .write_all(question.as_bytes())
            .await
            .map_err(broken)?;
        let mut answer = Vec::new();
        let mut bounded = stream.take(CHANGES + 1);
        bounded.read_to_end(&mut answer).await.map_err(broken)?;
        if answer.len() as u64 > CHANGES {
            return Err(EngineError::Broken(format!(
                "the list of what it changed is longer than {} MiB",
                CHANGES >> 20
            )));
        }
        changes_in(&answer)
    }

    pub(super) async fn download(
        &self,
        container: &str,
        path: &str,
        mut to: Box<dyn AsyncWrite + Send + Unpin>,
    ) -> EngineResult<()> {
        let options = query::DownloadFromContainerOptionsBuilder::new()
            .path(path)
            .build();
        let pieces = self
            .docker
            .download_from_container(container, Some(options));
        let mut pieces = std::pin::pin!(pieces);
        let lost = |e: std::io::Error| EngineError::Broken(format!("keeping an archive: {e}"));
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|e| self.failed(e))?;
            to.write_all(&piece).await.map_err(lost)?;
        }
        to.flush().await.map_err(lost)
    }

    pub(super) async fn upload(
        &self,
        container: &str,
        directory: &str,
        from: Box<dyn AsyncRead + Send + Unpin>,
    ) -> EngineResult<()> {
        let options = query::UploadToContainerOptionsBuilder::new()
            .path(directory)
            .build();
        let pieces = futures_util::stream::try_unfold(from, |mut from| async move {
            let mut piece = BytesMut::with_capacity(PIECE);
            let got = from.read_buf(&mut piece).await?;
            Ok::<_, std::io::Error>((got > 0).then(|| (piece.freeze(), from)))
        });
        let body = bollard::body_try_stream(pieces);
        let done = self
            .docker
            .upload_to_container(container, Some(options), body);
        done.await.map_err(|e| self.failed(e))
    }

    pub(super) async fn image_of(&self, container: &str, labels: &Labels) -> EngineResult<String> {
        let options = query::CommitContainerOptionsBuilder::new()
            .container(container)
            .pause(false)
            .build();
        let config = models::ContainerConfig {
            labels: Some(request::map(labels)),
            ..Default::default()
        };
        let made = self.docker.commit_container(options, config).await;
        made.map(|made| made.id).map_err(|e| self.failed(e))
    }

    /// What it was made from stays, even where that lost its name meanwhile.
    pub(super) async fn forget_image(&self, id: &str) -> Result<(), Bollard> {
        let options = query::RemoveImageOptionsBuilder::new()
            .noprune(true)
            .build();
        self.docker
            .remove_image(id, Some(options), None)
            .await
            .map(drop)
    }

    pub(super) async fn end(&self, container: &str) -> EngineResult<()> {
        let options = query::StopContainerOptionsBuilder::new().t(GRACE).build();
        let done = self.docker.stop_container(container, Some(options)).await;
        match done.map_err(|e| self.failed(e)) {
            // It did not run.
            Err(EngineError::Refused { status: 304, .. }) => Ok(()),
            other => other,
        }
    }

    pub(super) async fn create_like(
        &self,
        like: &str,
        name: &str,
        image: &str,
    ) -> EngineResult<String> {
        let found = self.docker.inspect_container(like, None).await;
        let mut body = request::like(found.map_err(|e| self.failed(e))?, image)?;
        if self.is_podman().await? {
            podman::again(&mut body);
        }
        let body = self.adapted(body).await?;
        let options = query::CreateContainerOptionsBuilder::new()
            .name(name)
            .build();
        let made = self.docker.create_container(Some(options), body).await;
        made.map(|made| made.id).map_err(|e| self.failed(e))
    }
}

/// The list in an answer of HTTP 1.0.
fn changes_in(answer: &[u8]) -> EngineResult<Vec<(String, Change)>> {
    const END: &[u8] = b"\r\n\r\n";
    let nonsense = || EngineError::Broken("what it changed is not told in words of the API".into());
    let at = answer.windows(END.len()).position(|part| part == END);
    let (head, body) = answer.split_at(at.ok_or_else(nonsense)? + END.len());
    let head = String::from_utf8_lossy(head);
    let status: u16 = head
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .ok_or_else(nonsense)?;
    if status != 200 {
        let message = String::from_utf8_lossy(body).trim().to_owned();
        return Err(super::cause::refused(status, message));
    }
    // Nothing was changed: null.
    let lines: Option<Vec<Line>> = serde_json::from_slice(body).map_err(|_| nonsense())?;
    let lines = lines.unwrap_or_default().into_iter().map(|line| {
        let kind = match line.kind {
            0 => Change::Modified,
            1 => Change::Added,
            2 => Change::Deleted,
            _ => return Err(nonsense()),
        };
        Ok((line.path, kind))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_changes_is_read_and_anything_else_refused() {
        let read =
            |body: &str| changes_in(format!("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{body}").as_bytes());
        let list = r#"[{"Path":"/tmp","Kind":0},{"Path":"/tmp/a","Kind":1},{"Path":"/etc/motd","Kind":2}]"#;
        let wanted = [
            ("/tmp".to_owned(), Change::Modified),
            ("/tmp/a".to_owned(), Change::Added),
            ("/etc/motd".to_owned(), Change::Deleted),
        ];
        assert_eq!(read(list).unwrap(), wanted);
        assert_eq!(read("null").unwrap(), []);
        for bad in ["", "{}", r#"[{"Path":"/a","Kind":3}]"#] {
            assert!(matches!(read(bad), Err(EngineError::Broken(_))), "{bad}");
        }
        let gone = changes_in(b"HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"No such container\"}");
        assert!(matches!(gone, Err(EngineError::NotFound(_))), "{gone:?}");
        assert!(changes_in(b"HTTP/1.0 200").is_err());
    }
}
