//! Where Prometheus reads: a listener on loopback, and a file for a node exporter.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;

/// Scrapers at once.
const MOST: usize = 8;

/// Longest time of one connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two writings of the file.
const PERIOD: Duration = Duration::from_secs(15);

/// A listener that is bound.
pub(crate) struct Door {
    listener: TcpListener,
    metrics: Arc<Metrics>,
}

impl Door {
    /// Binds; the configuration has checked that it is loopback.
    ///
    /// # Errors
    /// When the address is taken.
    pub(crate) async fn bind(address: SocketAddr, metrics: Arc<Metrics>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|e| io::Error::new(e.kind(), format!("metrics on {address}: {e}")))?;
        Ok(Self { listener, metrics })
    }

    /// Answers for ever.
    pub(crate) async fn serve(self) {
        let tasks = TaskTracker::new();
        let room = Arc::new(Semaphore::new(MOST));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors, most likely: not in a circle.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let metrics = Arc::clone(&self.metrics);
            tasks.spawn(async move {
                let answer = service_fn(move |request| answer(request, Arc::clone(&metrics)));
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new()).keep_alive(false);
                let serving = server.serve_connection(TokioIo::new(stream), answer);
                // A scraper that breaks off has its reasons.
                drop(tokio::time::timeout(PATIENCE, serving).await);
                drop(permit);
            });
        }
    }

    /// Where it listens.
    #[cfg(test)]
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn answer(
    request: http::Request<Incoming>,
    metrics: Arc<Metrics>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, metrics.render()),
        _ => (StatusCode::NOT_FOUND, "GET /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, kind);
    Ok(response)
}

/// Writes the file for ever, so that a reader sees the old figures or the new ones.
pub(crate) async fn write(path: &Path, metrics: &Metrics) {
    let new = path.with_extension("new");
    loop {
        let written = std::fs::write(&new, metrics.render())
            .and_then(|()| std::fs::rename(&new, path))
            .map_err(|e| format!("metrics_file {}: {e}", path.display()));
        if let Err(e) = written {
            metrics.trouble(&e);
        }
        tokio::time::sleep(PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Names and labels as `docs/metrics.md` has them.
    fn documented() -> Vec<(String, String, Vec<String>)> {
        let text = include_str!("../../../docs/metrics.md");
        let rows = text
            .lines()
            .filter(|line| line.starts_with("| `agentnet_notify_"));
        let mut rows: Vec<_> = rows
            .map(|line| {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                let labels = cells[3].split(',').map(|w| w.trim().trim_matches('`'));
                let mut labels: Vec<String> = labels
                    .filter(|w| !w.is_empty() && *w != "–")
                    .map(str::to_owned)
                    .collect();
                labels.sort();
                (
                    cells[1].trim_matches('`').to_owned(),
                    cells[2].to_owned(),
                    labels,
                )
            })
            .collect();
        rows.sort();
        rows
    }

    fn exposed(text: &str) -> Vec<(String, String, Vec<String>)> {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut found: Vec<_> = types
            .map(|line| {
                let (name, kind) = line.split_once(' ').unwrap();
                let of = |line: &&str| {
                    line.starts_with(&format!("{name}{{"))
                        || line.starts_with(&format!("{name}_bucket{{"))
                };
                let labels = text.lines().find(of).map_or(Vec::new(), |line| {
                    let inside = line.split_once('{').unwrap().1.split_once('}').unwrap().0;
                    let names = inside.split("\",").map(|p| p.split_once('=').unwrap().0);
                    let mut names: Vec<String> =
                        names.filter(|n| *n != "le").map(str::to_owned).collect();
                    names.sort();
                    names
                });
                (name.to_owned(), kind.to_owned(), labels)
            })
            .collect();
        found.sort();
        found
    }

    #[tokio::test]
    async fn what_is_served_is_what_is_documented() {
        let metrics = Arc::new(Metrics::new(&["desktop".to_owned()]).unwrap());
        let door = Door::bind("127.0.0.1:0".parse().unwrap(), metrics)
            .await
            .unwrap();
        let address = door.address().unwrap();
        let ask = async |path: &str| {
            #[expect(clippy::disallowed_methods, reason = "the test is a client")]
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            text
        };
        tokio::select! {
            () = door.serve() => panic!("it serves for ever"),
            text = ask("/metrics") => {
                assert!(text.starts_with("HTTP/1.1 200"), "{text}");
                assert_eq!(exposed(&text), documented());
            }
        }
    }

    #[tokio::test]
    async fn the_file_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify.prom");
        let metrics = Metrics::new(&["desktop".to_owned()]).unwrap();
        tokio::select! {
            biased;
            () = write(&path, &metrics) => panic!("it writes for ever"),
            () = tokio::task::yield_now() => {}
        }
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(exposed(&text), documented());
    }
}
