//! The program; everything it does is in the library.

use std::process::ExitCode;

use agentnet_proxy::cli;
use agentnet_proxy::environment::ProcessEnvironment;

fn main() -> ExitCode {
    cli::run(std::env::args_os().collect(), &ProcessEnvironment)
}
