//! Trying ways out from inside a container.

use crate::engine::Engine;

const SCRIPT: &str = include_str!("../scripts/probe.py");

/// Tries every target (`ADDRESS,PORT`) from inside `container` and returns the ways that worked.
pub fn reached(engine: &Engine, container: &str, targets: &[String]) -> Vec<String> {
    assert!(!targets.is_empty(), "nothing to try");
    let words = ["exec", container, "python3", "-c", SCRIPT];
    let targets = targets.iter().map(String::as_str);
    let output = engine.docker(words.into_iter().chain(targets)).expect();
    output.lines().map(str::to_owned).collect()
}

/// Addresses of the internet, the metadata services and the engines' names for their host.
pub fn outside() -> Vec<String> {
    [
        "1.1.1.1,443",
        "8.8.8.8,53",
        "2606:4700:4700::1111,443",
        "169.254.169.254,80",
        "fd00:ec2::254,80",
        "192.168.65.7,2375",
    ]
    .map(str::to_owned)
    .to_vec()
}
