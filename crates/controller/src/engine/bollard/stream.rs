//! Commands in containers and their streams.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as Bollard;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models;
use bollard::query_parameters as query;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::BollardEngine;
use crate::engine::{Engine, EngineError, EngineResult, Output, Streams};
use crate::spec::ExecSpec;

/// The engine's own complaint is the first thing a command that never ran "says", and short.
const NOT_FOUND_WITHIN: usize = 512;

impl BollardEngine {
    /// Runs a command and keeps what it says, up to a limit.
    pub(super) async fn capture(&self, container: &str, spec: &ExecSpec) -> EngineResult<Output> {
        let (id, started) = self.begin_exec(container, spec).await?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(piece) = output.next().await {
                let (into, bytes) = match piece.map_err(|e| self.failed(e))? {
                    LogOutput::StdErr { message } => (&mut stderr, message),
                    LogOutput::StdOut { message }
                    | LogOutput::StdIn { message }
                    | LogOutput::Console { message } => (&mut stdout, message),
                };
                let room = Output::LIMIT.saturating_sub(into.len());
                into.extend(bytes.iter().take(room));
            }
        }
        Ok(Output {
            code: self.exec_code(&id).await?,
            stdout,
            stderr,
        })
    }

    /// Runs a command joined to these streams.
    pub(super) async fn join(
        &self,
        container: &str,
        spec: &ExecSpec,
        streams: Streams,
    ) -> EngineResult<i64> {
        let (id, started) = self.begin_exec(container, spec).await?;
        let StartExecResults::Attached { output, input } = started else {
            return self.exec_code(&id).await;
        };
        let Streams {
            stdin,
            mut stdout,
            mut stderr,
            size,
        } = streams;
        let feed = async move {
            let mut input = input;
            if let Some(mut stdin) = stdin {
                // The command may end first and take its input with it: not our failure.
                drop(tokio::io::copy(&mut stdin, &mut input).await);
                drop(input.shutdown().await);
            }
            std::future::pending::<()>().await;
        };
        let resize = async {
            let Some(mut size) = size else {
                return std::future::pending().await;
            };
            loop {
                let (width, height) = *size.borrow_and_update();
                let options = query::ResizeExecOptionsBuilder::new()
                    .w(i32::from(width))
                    .h(i32::from(height))
                    .build();
                drop(self.docker.resize_exec(&id, options).await);
                if size.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        let mut first = Vec::new();
        let output = output.inspect(|piece| {
            if let (true, Ok(piece)) = (first.is_empty(), piece) {
                first.extend(piece.as_ref().iter().take(NOT_FOUND_WITHIN));
            }
        });
        tokio::select! {
            done = self.pour(output, &mut stdout, &mut stderr) => done?,
            () = feed => {}
            () = resize => {}
        }
        // Docker 20.10 says 126 for both.
        match self.exec_code(&id).await? {
            126 if String::from_utf8_lossy(&first).contains("executable file not found") => Ok(127),
            code => Ok(code),
        }
    }

    /// Starts a container joined to these streams. Attached first, so that nothing it says is missed.
    pub(super) async fn start_joined(
        &self,
        container: &str,
        streams: Streams,
    ) -> EngineResult<i64> {
        let Streams {
            stdin,
            mut stdout,
            mut stderr,
            ..
        } = streams;
        let options = query::AttachContainerOptionsBuilder::new()
            .stream(true)
            .stdin(stdin.is_some())
            .stdout(true)
            .stderr(true)
            .build();
        let attached = self.docker.attach_container(container, Some(options)).await;
        let attached = attached.map_err(|e| self.failed(e))?;
        self.start(container).await?;
        let mut input = attached.input;
        let feed = async move {
            if let Some(mut stdin) = stdin {
                drop(tokio::io::copy(&mut stdin, &mut input).await);
                drop(input.shutdown().await);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            done = self.pour(attached.output, &mut stdout, &mut stderr) => done?,
            () = feed => {}
        }
        let options = query::WaitContainerOptionsBuilder::new()
            .condition("not-running")
            .build();
        let mut ended = std::pin::pin!(self.docker.wait_container(container, Some(options)));
        match ended.next().await {
            Some(Ok(answer)) => Ok(answer.status_code),
            Some(Err(Bollard::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(e)) => Err(self.failed(e)),
            None => Err(EngineError::Broken(
                "the container ended but the engine does not say how".into(),
            )),
        }
    }

    async fn begin_exec(
        &self,
        container: &str,
        spec: &ExecSpec,
    ) -> EngineResult<(String, StartExecResults)> {
        let config = models::ExecConfig {
            attach_stdin: Some(spec.stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(spec.tty),
            cmd: Some(spec.command.clone()),
            env: Some(spec.env.iter().map(|(k, v)| format!("{k}={v}")).collect()),
            user: spec.user.clone(),
            working_dir: spec.workdir.clone(),
            ..Default::default()
        };
        let id = self
            .docker
            .create_exec(container, config)
            .await
            .map_err(|e| self.failed(e))?
            .id;
        let options = StartExecOptions {
            detach: false,
            tty: spec.tty,
            output_capacity: None,
        };
        let started = self.docker.start_exec(&id, Some(options)).await;
        // An engine says "not found" and "not executable" in the answer or in the stream.
        let started = started.map_err(|e| {
            let error = self.failed(e);
            let text = error.to_string();
            if text.contains("executable file not found") {
                EngineError::CommandNotFound(text)
            } else if text.contains("permission denied") {
                EngineError::NotExecutable(text)
            } else {
                error
            }
        })?;
        Ok((id, started))
    }

    /// The stream can end a moment before the engine has noted the exit code.
    async fn exec_code(&self, id: &str) -> EngineResult<i64> {
        const TRIES: u32 = 100;
        for _ in 0..TRIES {
            let state = self
                .docker
                .inspect_exec(id)
                .await
                .map_err(|e| self.failed(e))?;
            match state.exit_code {
                Some(code) if state.running != Some(true) => return Ok(code),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        Err(EngineError::Broken(
            "the command ended but the engine does not say how".into(),
        ))
    }

    pub(super) async fn pour(
        &self,
        output: impl Stream<Item = Result<LogOutput, Bollard>>,
        stdout: &mut (dyn AsyncWrite + Send + Unpin),
        stderr: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> EngineResult<()> {
        let broken = |e: std::io::Error| {
            if e.kind() == std::io::ErrorKind::BrokenPipe {
                EngineError::ReaderGone
            } else {
                EngineError::Broken(format!("writing its output: {e}"))
            }
        };
        let mut output = std::pin::pin!(output);
        while let Some(piece) = output.next().await {
            match piece.map_err(|e| self.failed(e))? {
                LogOutput::StdErr { message } => {
                    stderr.write_all(&message).await.map_err(broken)?;
                    stderr.flush().await.map_err(broken)?;
                }
                LogOutput::StdOut { message }
                | LogOutput::StdIn { message }
                | LogOutput::Console { message } => {
                    stdout.write_all(&message).await.map_err(broken)?;
                    stdout.flush().await.map_err(broken)?;
                }
            }
        }
        Ok(())
    }
}
