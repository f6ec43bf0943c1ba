//! `agentnet`: parse, run, say what went wrong.

use std::process::ExitCode;

use agentnet_controller::cli;

fn main() -> ExitCode {
    ExitCode::from(cli::main())
}
