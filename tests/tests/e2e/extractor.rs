//! What looks at an agent's files, on real engines.

use std::time::Duration;

use agentnet_controller::engine::Engine as _;
use agentnet_controller::engine::bollard::BollardEngine;
use agentnet_controller::extractor::{Extractor, Job, Sink};
use agentnet_controller::paths::StateDir;
use agentnet_controller::record::Record;
use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::on_engines;

/// What it can do beyond reading, a line each.
const TRY: &str = r#"
cat "$AGENTNET_TREE/README"
touch "$AGENTNET_TREE/x" 2>/dev/null && echo "wrote the tree"
touch /x 2>/dev/null && echo "wrote the root"
touch /tmp/x || echo "has no scratch space"
grep -q '^CapEff:.*[1-9a-f]' /proc/self/status && echo "has capabilities"
grep -q '^NoNewPrivs:.*1' /proc/self/status || echo "may gain privileges"
[ "$(id -u)" = 0 ] && echo "is root"
[ "$(ls /sys/class/net)" = lo ] || echo "has a network"
cat
"#;

on_engines! {
    [current, old] fn a_job_reads_a_tasks_files_and_can_do_nothing_else(engine) {
        let checkout = Checkout::new(engine, None, "");
        checkout.agentnet(&["up", "t"]).expect();
        let before = checkout.leftovers();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let state = StateDir::open(Some(&checkout.state())).unwrap();
            let task = state.tasks().unwrap().pop().unwrap();
            let record = Record::read(&state.task(&task)).unwrap().unwrap();
            let docker = BollardEngine::new(&record.engine).unwrap();
            let facts = docker.facts().await.unwrap();
            let extractor = Extractor::of(&docker, &state, &facts, &record).unwrap();

            let sink = Sink::new(1 << 16);
            let input: &[u8] = b"from the host\n";
            let job = Job::script("trying", TRY);
            let ended = extractor.run(job, Some(Box::new(input)), sink.clone()).await.unwrap();
            ended.ok("trying").unwrap();
            let said = String::from_utf8(sink.take()).unwrap();
            assert_eq!(said, "a sample project\nfrom the host\n");

            // Bytes arrive as they are, and as many as there are.
            let job = Job::script("counting", "head -c 20000000 /dev/zero").at_most(20_000_000);
            assert_eq!(extractor.capture(job).await.unwrap().len(), 20_000_000);
            let job = Job::script("counting", "cat /dev/zero").at_most(1 << 20);
            let error = extractor.capture(job).await.unwrap_err().to_string();
            assert_eq!(error, "counting: there is more than 1048576 bytes of it");
            let job = Job::script("waiting", "sleep 100").within(Duration::from_secs(1));
            let error = extractor.capture(job).await.unwrap_err().to_string();
            assert_eq!(error, "waiting: it took longer than 1 s and was stopped");
            let error = extractor.capture(Job::script("failing", "echo why >&2; exit 4")).await;
            assert_eq!(error.unwrap_err().to_string(), "failing: why");
        });
        assert_eq!(checkout.leftovers(), before);
    }
}
