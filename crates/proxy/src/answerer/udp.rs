//! Questions in datagrams.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::{Answerer, Asker};

/// No question that is answered is longer; a longer datagram is cut and so not a question.
const LONGEST: usize = 1500;

/// Answers until the drain begins. The work of a question is bounded and done here: a queue would only
/// hold more of them.
pub(super) async fn run(socket: UdpSocket, answerer: Arc<Answerer>) {
    let drain = answerer.tasks().drain().clone();
    let mut buffer = vec![0; LONGEST];
    loop {
        let received = tokio::select! {
            biased;
            () = drain.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        let Ok((length, client)) = received else {
            // Somebody whom we answered is gone (ICMP), or there is no memory: neither is for ever.
            sleep(Duration::from_millis(1)).await;
            continue;
        };
        let query = buffer.get(..length).unwrap_or_default();
        if let Some(reply) = answerer.answer(query, &Asker::Datagram(client)) {
            // It is asked again if there is no room for the answer.
            socket.try_send_to(&reply, client).ok();
        }
    }
}
