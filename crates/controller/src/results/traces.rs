//! The parts that the engine and our own state have: logs, decisions, proof, environment.

use std::collections::BTreeMap;
use std::io::BufWriter;

use serde::Serialize;
use tokio::io::AsyncWriteExt;

use super::cut::Cut;
use super::listing::LeftOut;
use super::network::{Network, ProofNote};
use super::{Collector, Part, ProxyLog, most};
use crate::config::{Fence, Mode};
use crate::engine::{Engine, EngineError, LogQuery, Streams};
use crate::error::{Error, Result};
use crate::labels::Role;
use crate::paths::read_bounded;
use crate::policy::Layers;
use crate::verify::Proof;

/// `environment.json`: what the task ran on. Names of variables only, never a value.
#[derive(Debug, Serialize)]
struct Environment<'a> {
    v: u8,
    agentnet: &'a str,
    engine: BTreeMap<&'a str, String>,
    network: Mode,
    fence: Option<Fence>,
    images: BTreeMap<&'a str, String>,
}

impl<E: Engine> Collector<'_, E> {
    /// `logs/`: the last lines of the agent and its services.
    pub(super) async fn logs(&self) -> Result<Part> {
        let mut part = Part::default();
        for place in &self.record.places {
            let (name, lines) = match place.role {
                Role::Agent => ("agent", Some(most::LINES)),
                Role::Service => (place.container.as_str(), Some(most::LINES)),
                Role::Relay => ("relay", Some(most::LINES)),
                Role::Proxy
                | Role::Fence
                | Role::Egress
                | Role::Gate
                | Role::Socket
                | Role::Budgets
                | Role::Volume
                | Role::Snapshot
                | Role::Extractor
                | Role::Files
                | Role::Git => continue,
            };
            let name = format!("logs/{name}.log");
            match self.log(&place.container, &name, lines, most::LOG).await {
                Ok(true) => {}
                Ok(false) => part
                    .left_out
                    .push(LeftOut::new(&name, "it goes on: 32 MiB are here")),
                Err(e) => part.left_out.push(LeftOut::new(&name, e.to_string())),
            }
            self.shelf.drop_empty(&name)?;
        }
        Ok(part)
    }

    /// Writes a container's log; false where it was longer.
    async fn log(
        &self,
        container: &str,
        name: &str,
        tail: Option<u32>,
        limit: usize,
    ) -> Result<bool> {
        let doing = || format!("reading the log of {container}");
        let cut = Cut::new(
            tokio::fs::File::from_std(self.shelf.file(name)?.into_file()),
            limit,
        );
        let streams = Streams {
            stdin: None,
            stdout: Box::new(cut.clone()),
            stderr: Box::new(cut.clone()),
            size: None,
        };
        let query = LogQuery {
            follow: false,
            tail,
        };
        match self.engine.logs(container, query, streams).await {
            Ok(()) => {}
            Err(EngineError::NotFound(_)) => {
                return Err(Error::Failed("its container is gone".to_owned()));
            }
            Err(e) => return Err(Error::engine(doing())(e)),
        }
        let mut cut = cut;
        cut.flush().await?;
        Ok(!cut.is_over())
    }

    /// `decisions.jsonl`, `network.json` and `logs/proxy.log`
    pub(super) async fn decisions(&self) -> Result<(Network, Vec<LeftOut>)> {
        let mut left_out = Vec::new();
        let mut log = ProxyLog::default();
        let mut complete = false;
        if let Some(proxy) = self.record.container(Role::Proxy) {
            let raw = "decisions.part";
            match self.log(proxy, raw, None, most::DECISIONS).await {
                Ok(whole) => {
                    complete = whole;
                    if !whole {
                        let why = "there are more than 256 MiB of them: the first are here";
                        left_out.push(LeftOut::new("decisions.jsonl", why));
                    }
                    log = ProxyLog::read(
                        fs_err::File::open(self.shelf.at(raw))?,
                        BufWriter::new(self.shelf.file("decisions.jsonl")?),
                        BufWriter::new(self.shelf.file("logs/proxy.log")?),
                    )?;
                    self.shelf.drop_empty("logs/proxy.log")?;
                }
                Err(e) => left_out.push(LeftOut::new("decisions.jsonl", e.to_string())),
            }
            crate::paths::remove_if_there(&self.shelf.at(raw))?;
        }
        let proof = Proof::read(&self.dir).map(|proof| ProofNote {
            at: proof.at,
            sealed: proof.sealed,
            rows: proof.proven(),
        });
        let task = self.record.task.task.to_string();
        // A task that is down has none any more.
        let policy = Layers::read(&self.dir).ok().map(|layers| layers.digest());
        let network = log.tally.network(task, policy, complete, proof);
        self.shelf.json("network.json", &network)?;
        if let Ok(text) = read_bounded(&self.dir.verify(), 16 << 20) {
            std::io::Write::write_all(&mut self.shelf.file("verify.json")?, text.as_bytes())?;
        }
        Ok((network, left_out))
    }

    /// `environment.json`
    pub(super) fn environment(&self) -> Result<()> {
        let facts = &self.facts;
        let engine = BTreeMap::from([
            ("product", facts.product.clone()),
            ("version", facts.version.clone()),
            ("api", facts.api.to_string()),
            ("rootless", facts.rootless.to_string()),
            ("cpus", facts.cpus.to_string()),
            ("memory", facts.memory.to_string()),
        ]);
        let images = self.record.images.iter();
        let environment = Environment {
            v: 1,
            agentnet: env!("CARGO_PKG_VERSION"),
            engine,
            network: self.record.mode,
            fence: self.record.fence,
            images: images
                .map(|(name, image)| (name.as_str(), image.clone()))
                .collect(),
        };
        self.shelf.json("environment.json", &environment)
    }
}
