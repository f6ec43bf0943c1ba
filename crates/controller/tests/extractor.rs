//! Looking at a task's files, on a fake engine whose containers answer as told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod harness;

use std::time::Duration;

use agentnet_controller::engine::fake::Fault;
use agentnet_controller::engine::{EngineError, Output};
use agentnet_controller::extractor::{Extractor, Job, Sink};
use agentnet_controller::gc::collect;
use agentnet_controller::record::Record;
use agentnet_controller::spec::{ContainerNetwork, Mount};
use harness::{Bed, said};

fn job() -> Job {
    Job::script("looking at the files", "echo hello")
}

/// A task that is up.
async fn record(bed: &Bed) -> Record {
    bed.up(&bed.setup("t", "")).await.unwrap().record
}

fn extractor<'a>(
    bed: &'a Bed,
    record: &Record,
) -> Extractor<'a, agentnet_controller::engine::fake::FakeEngine> {
    let facts = agentnet_controller::engine::fake::FakeEngine::docker28();
    Extractor::of(&bed.engine, &bed.state, &facts, record).unwrap()
}

#[tokio::test]
async fn a_job_has_no_network_no_rights_and_nothing_to_write_but_memory() {
    let bed = Bed::docker28();
    bed.engine.on_run(|spec, _| {
        assert_eq!(spec.network, ContainerNetwork::None);
        assert!(spec.read_only && spec.attached && spec.capabilities.is_empty());
        assert!(spec.limits.memory.is_some() && spec.limits.pids.is_some());
        assert_eq!(spec.labels["agentnet.role"], "extractor");
        for mount in &spec.mounts {
            match mount {
                Mount::Bind { writable, .. } | Mount::Volume { writable, .. } => assert!(!writable),
                Mount::Memory { target, .. } => assert_eq!(target, "/tmp"),
                Mount::Frame { target } => panic!("{target}"),
            }
        }
        said("hello")
    });
    let record = record(&bed).await;
    let before = bed.engine.everything();
    let output = extractor(&bed, &record).capture(job()).await.unwrap();
    assert_eq!(output, b"hello");
    assert_eq!(bed.engine.everything(), before);
}

#[tokio::test]
async fn input_goes_in_and_an_exit_code_comes_out() {
    let bed = Bed::docker28();
    bed.engine.on_run(|spec, input| {
        assert!(spec.stdin_open);
        Output {
            code: 3,
            stdout: input.to_vec(),
            stderr: b"fatal: \x1b[2Jno\n".to_vec(),
        }
    });
    let record = record(&bed).await;
    let (extractor, sink) = (extractor(&bed, &record), Sink::new(100));
    let input: &[u8] = b"question";
    let ended = extractor.run(job(), Some(Box::new(input)), sink.clone());
    let ended = ended.await.unwrap();
    assert_eq!((ended.code, sink.take()), (3, b"question".to_vec()));
    // What an agent can make git say moves no cursor.
    let error = ended.ok("looking").unwrap_err().to_string();
    assert_eq!(error, "looking: [2Jno");
}

#[tokio::test]
async fn more_than_the_limit_is_refused_and_the_container_goes() {
    let bed = Bed::docker28();
    bed.engine.on_run(|_, _| said("0123456789"));
    let record = record(&bed).await;
    let before = bed.engine.everything();
    let error = extractor(&bed, &record).capture(job().at_most(9)).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "looking at the files: there is more than 9 bytes of it"
    );
    assert_eq!(bed.engine.everything(), before);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_does_not_end_is_stopped_and_removed() {
    let bed = Bed::docker28();
    let record = record(&bed).await;
    let before = bed.engine.everything();
    // The start after the creation.
    bed.engine.fault_at(bed.engine.calls() + 1, Fault::Hang);
    let job = job().within(Duration::from_secs(7));
    let error = extractor(&bed, &record).capture(job).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "looking at the files: it took longer than 7 s and was stopped"
    );
    assert_eq!(bed.engine.everything(), before);
}

#[tokio::test]
async fn a_failure_at_any_call_leaves_no_container() {
    let bed = Bed::docker28();
    bed.engine.on_run(|_, _| said("hello"));
    let record = record(&bed).await;
    let before = bed.engine.everything();
    for call in 0..2 {
        let broken = EngineError::Broken("no".into());
        bed.engine
            .fault_at(bed.engine.calls() + call, Fault::Refuse(broken));
        extractor(&bed, &record).capture(job()).await.unwrap_err();
        bed.engine.heal();
        assert_eq!(bed.engine.everything(), before, "call {call}");
    }
}

#[tokio::test]
async fn gc_finds_one_whose_reader_was_killed_although_its_task_lives() {
    let bed = Bed::docker28();
    bed.engine.on_run(|_, _| said("hello"));
    let record = record(&bed).await;
    let before = bed.engine.everything();
    // The removal is never answered, and never done.
    let broken = EngineError::Broken("killed".into());
    bed.engine
        .fault_at(bed.engine.calls() + 2, Fault::Refuse(broken));
    extractor(&bed, &record).capture(job()).await.unwrap_err();
    bed.engine.heal();
    assert_eq!(bed.engine.everything().len(), before.len() + 1);
    let (found, errors) = collect(&bed.engine, &bed.state, true).await.unwrap();
    assert_eq!((found.len(), errors), (1, vec![]));
    assert!(found[0].objects[0].1.contains("-extractor-"));
    assert_eq!(bed.engine.everything(), before);
}
