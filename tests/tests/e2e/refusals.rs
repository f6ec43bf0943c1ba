//! What cannot be done is said in one sentence, with a documented exit code, and nothing is left behind.

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::command::Outcome;
use agentnet_e2e::engine::{BASE_IMAGE, Engine, Thing};
use agentnet_e2e::on_engines;
use agentnet_e2e::origin::whitelist;

fn checkout(engine: &Engine) -> Checkout<'_> {
    Checkout::new(engine, None, &whitelist())
}

/// This exit code, an error that holds these words, and no trace in the engine.
#[track_caller]
fn refused(checkout: &Checkout<'_>, words: &[&str], code: i32, sentence: &[&str]) -> Outcome {
    let before = checkout.leftovers();
    let outcome = checkout.agentnet(words);
    assert_eq!(outcome.code(), Some(code), "{outcome}");
    assert!(outcome.stderr.contains("error: "), "{outcome}");
    for part in sentence {
        assert!(
            outcome.stderr.contains(part),
            "{part:?} is not said: {outcome}"
        );
    }
    assert!(!outcome.stderr.contains("panicked"), "{outcome}");
    assert_eq!(checkout.leftovers(), before, "{outcome}");
    outcome
}

on_engines! {
    [current, old] fn an_engine_that_does_not_answer_is_named(engine) {
        let checkout = checkout(engine);
        refused(&checkout, &["--engine", "unix:///nonexistent/docker.sock", "up", "t"], 3, &["/nonexistent/docker.sock"]);
    }

    [old] fn an_engine_that_cannot_isolate_is_refused_for_a_network_fence(engine) {
        refused(&checkout(engine), &["up", "--fence", "network", "t"], 3, &["28", "socket"]);
    }

    [current, old] fn an_unknown_task_is_named(engine) {
        let checkout = checkout(engine);
        for words in [["verify", "nobody"], ["status", "nobody"], ["logs", "nobody"]] {
            refused(&checkout, &words, 7, &["nobody"]);
        }
        refused(&checkout, &["exec", "nobody", "--", "true"], 125, &["nobody"]);
    }

    [current, old] fn a_name_that_a_stranger_uses_is_left_to_the_stranger(engine) {
        let checkout = checkout(engine);
        let name = format!("agentnet-{}-t-proxy", checkout.project);
        let stranger = Thing::container(engine, &name, &["--init", BASE_IMAGE, "sleep", "infinity"]);
        refused(&checkout, &["up", "t"], 8, &[&name]);
        let running = engine.docker(["inspect", "--format", "{{.State.Running}}", &name]).expect();
        assert_eq!(running, "true");
        drop(stranger);
        checkout.agentnet(&["up", "t"]).expect();
        checkout.agentnet(&["down", "t"]).expect();
    }

    [current, old] fn a_full_address_pool_is_said_before_anything_exists(engine) {
        let checkout = checkout(engine);
        // Room for the two blocks of one task.
        checkout.add_config("pool = \"10.217.7.0/27\"\n");
        checkout.agentnet(&["up", "one"]).expect();
        refused(&checkout, &["up", "two"], 9, &["10.217.7.0/27"]);
        checkout.agentnet(&["down", "one"]).expect();
    }

    [current, old] fn an_image_that_is_nowhere_is_named(engine) {
        let checkout = checkout(engine);
        let image = "agentnet-e2e/no-such-image:1";
        refused(&checkout, &["up", "--image", image, "t"], 1, &[image]);
    }
}
