use super::*;
use crate::decisions::made::denied;
use crate::engine::Output;
use crate::engine::fake::FakeEngine;
use crate::record::{Phase, made};

fn usage(second: i64, cpu_nanos: u64) -> Usage {
    Usage {
        at: Timestamp::from_second(second).ok(),
        cpu_nanos,
        memory: 512 << 20,
        memory_limit: Some(4 << 30),
        pids: 7,
        pids_limit: Some(512),
    }
}

#[test]
fn a_rate_is_of_one_cpu_and_absent_where_it_would_be_a_lie() {
    let rate = |then: Option<Usage>, now: Usage| load(then.as_ref(), &now).cpu_percent;
    let then = usage(100, 1_000_000_000);
    assert_eq!(rate(Some(then), usage(102, 4_000_000_000)), Some(150.0));
    assert_eq!(rate(Some(then), usage(102, 500)), None, "started again");
    assert_eq!(rate(Some(then), then), None, "no time has passed");
    assert_eq!(rate(None, then), None);
    assert_eq!(load(None, &then).cpu_seconds, 1.0);
}

#[tokio::test]
async fn a_task_is_told_with_its_use_its_traffic_and_what_it_wanted() {
    let engine = FakeEngine::new(FakeEngine::docker28());
    let record = made();
    for place in &record.places {
        engine.add_running(&place.container);
    }
    let (agent, proxy) = (
        record.task.resource(Role::Agent),
        record.task.resource(Role::Proxy),
    );
    engine.set_usage(&agent, usage(100, 3_000_000_000));
    engine.set_usage(&proxy, usage(100, 0));
    let lines: Vec<_> = [
        denied("old.example", 1),
        denied("new.example", 9),
        denied("old.example", 2),
    ]
    .iter()
    .map(|event| format!("{}\n", serde_json::to_string(event).unwrap()))
    .collect();
    engine.prints(&proxy, &lines.concat());
    engine.answer(
        "/agentnet-proxy",
        Output {
            code: 0,
            stdout: b"agentnet_proxy_tunnel_bytes_total{listener=\"a\",direction=\"up\"} 7\n"
                .to_vec(),
            stderr: Vec::new(),
        },
    );
    let mut before = Before::from([
        (agent.clone(), usage(98, 1_000_000_000)),
        (proxy.clone(), usage(98, 0)),
    ]);
    let now = Timestamp::from_second(90).unwrap();
    let stats = Stats::gather(&engine, &record, &mut before, now).await;
    assert_eq!((stats.state.as_str(), stats.age_seconds), ("up", 90));
    assert_eq!(stats.agent.unwrap().cpu_percent, Some(100.0));
    assert_eq!(stats.traffic.unwrap().up, 7);
    let denials: Vec<_> = stats
        .denials
        .iter()
        .map(|d| (d.target.as_str(), d.count))
        .collect();
    assert_eq!(denials, [("new.example:443", 1), ("old.example:443", 2)]);
    assert_eq!(before[&agent], usage(100, 3_000_000_000));
}

#[tokio::test]
async fn what_is_gone_or_resting_is_said() {
    let engine = FakeEngine::new(FakeEngine::docker28());
    let now = Timestamp::UNIX_EPOCH;
    let gone = Stats::gather(&engine, &made(), &mut Before::new(), now).await;
    assert_eq!((gone.state.as_str(), gone.traffic), ("gone", None));
    let record = Record {
        phase: Phase::Down,
        ..made()
    };
    let down = Stats::gather(&engine, &record, &mut Before::new(), now).await;
    assert_eq!((down.state.as_str(), down.containers.len()), ("down", 0));
}
