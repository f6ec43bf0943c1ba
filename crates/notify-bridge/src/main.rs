//! The bridge's binary: everything is in the library, so that tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    agentnet_notify::run(std::env::args_os())
}
