//! The effective policy as JSON: every line in force, and where it came from.

use std::sync::Arc;

use agentnet_policy::event::RuleLine;
use serde_json::{Value, json};

use crate::budget::State;
use crate::listener::Listener;
use crate::upstream::{Parent, Route, Via};

/// All listeners.
pub(super) fn describe(listeners: &[Arc<Listener>]) -> Value {
    let listeners: Vec<Value> = listeners.iter().map(|listener| one(listener)).collect();
    json!({ "v": 1, "listeners": listeners })
}

fn one(listener: &Listener) -> Value {
    let active = listener.policy.now();
    let rules: Vec<Value> = active
        .policy
        .rules()
        .map(|rule| {
            let mut line = json!(RuleLine::from(rule));
            if let Some(line) = line.as_object_mut() {
                line.insert("layer".to_owned(), json!(rule.layer()));
                if let Some(State { spent, limit }) = listener.policy.budget(rule.text()) {
                    line.insert("up".to_owned(), json!({ "spent": spent, "limit": limit }));
                }
            }
            line
        })
        .collect();
    let routes: Vec<Value> = active.conduct.routes.iter().map(route).collect();
    json!({
        "name": listener.name,
        "mode": active.policy.mode(),
        "generation": active.generation,
        "fingerprint": format!("{:016x}", active.policy.fingerprint()),
        "rules": rules,
        "routes": routes,
    })
}

/// No credentials: a label has none.
fn route(route: &Route) -> Value {
    let remote = match &route.via {
        Via::Parents(parents) => parents.iter().any(Parent::remote_dns),
        Via::Direct | Via::Nowhere => false,
    };
    json!({ "to": route.targets(), "via": route.via.labels(), "remote_dns": remote })
}
