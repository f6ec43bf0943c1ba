//! What the tests stand on: a real proxy in this process, an origin, a resolver and a dialer that map
//! public names and addresses to loopback, and a client that sends bytes.

mod client;
mod hello;
mod origin;
mod parent;
mod process;
mod proxy;
mod world;

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

pub use self::client::{Answer, Client};
pub use self::hello::{ech, fragmented, hello, hello_of, large_key_share, nameless, server_name};
pub use self::origin::Origin;
pub use self::parent::{Mood, Parent, tls_file};
pub use self::process::{Exited, Program};
pub use self::proxy::Proxy;
pub use self::world::World;

/// How long anything may take that has to happen.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Asks again and again, for a bounded time, until the answer is `Some`.
pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "did not happen: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for something that must happen.
pub async fn within<T>(what: &str, happening: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, happening).await {
        Ok(happened) => happened,
        Err(_) => panic!("did not happen: {what}"),
    }
}
