//! agentnet's controller: a worktree, containers and a sealed network per task.
//!
//! `plan` decides, `apply` follows, `journal` remembers, `teardown` undoes; `engine` is the seam to
//! Docker. The binary is a thin `main` over [`cli`].

pub mod agents;
pub mod apply;
pub mod ceiling;
pub mod cli;
pub mod compose;
pub mod config;
pub mod credentials;
pub mod decisions;
pub mod diagnosis;
pub mod disk;
pub mod engine;
pub mod environment;
pub mod error;
pub mod exit;
pub mod extractor;
pub mod facts;
pub mod gc;
pub mod images;
pub mod interrupt;
pub mod journal;
pub mod labels;
pub mod link;
pub mod lock;
pub mod notices;
pub mod output;
pub mod passwords;
pub mod paths;
pub mod plan;
pub mod policy;
pub mod pool;
pub mod record;
pub mod results;
pub mod scan;
pub mod secret;
pub mod snapshot;
pub mod spec;
pub mod ssh_agent;
pub mod stats;
pub mod sync;
pub mod targets;
pub mod task;
pub mod teardown;
pub mod terminal;
pub mod up;
pub mod verify;
pub mod watch;
pub mod workspace;
