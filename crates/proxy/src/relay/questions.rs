//! Questions in datagrams, carried to the proxy one by one on connections (RFC 7766).
//!
//! A connection for each, because its end says that there is no answer. At most [`AT_ONCE`] are under
//! way; the rest waits in the socket's own buffer, and beyond that is lost, as datagrams are.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::dial;
use crate::tasks::Tasks;

/// Questions under way at once. With the connections that ask questions
/// (`QUESTIONERS` in `worker`) they are fewer than the proxy serves.
const AT_ONCE: usize = 32;
/// The proxy answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest message of either kind; the proxy reads no longer question, and its answers are at most
/// 40 bytes longer.
const LONGEST: usize = 1540;
/// Bytes of a header (RFC 1035 §4.1.1).
const HEADER: usize = 12;

/// Answers until the process ends.
pub(super) async fn run(socket: UdpSocket, to: Arc<Path>, tasks: Tasks) -> Infallible {
    let socket = Arc::new(socket);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut buffer = vec![0; LONGEST + 1];
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            // Somebody whom we answered is gone (ICMP), or there is no memory: neither is for ever.
            sleep(Duration::from_millis(1)).await;
            continue;
        };
        // A longer one was cut and is no question.
        let Some(query) = buffer.get(..length).filter(|query| query.len() <= LONGEST) else {
            continue;
        };
        let query = query.to_vec();
        let (socket, to) = (Arc::clone(&socket), Arc::clone(&to));
        tasks.spawn("relay question", async move {
            if let Some(reply) = reply(query, &to).await {
                // It is asked again if there is no room for the answer.
                socket.try_send_to(&reply, client).ok();
            }
            drop(place);
        });
    }
}

/// The proxy's answer; where it is not there, that it failed, so that nobody waits for a time-out.
async fn reply(query: Vec<u8>, to: &Path) -> Option<Vec<u8>> {
    match timeout(PATIENCE, ask(&query, to)).await {
        Ok(Ok(reply)) => Some(reply),
        // It does not take this for a question.
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => None,
        Ok(Err(_)) | Err(_) => failure(query),
    }
}

async fn ask(query: &[u8], to: &Path) -> io::Result<Vec<u8>> {
    let mut proxy = dial::own_socket(to).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    let mut framed = Vec::with_capacity(query.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(query);
    proxy.write_all(&framed).await?;
    let length = usize::from(proxy.read_u16().await?);
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut reply = vec![0; length];
    proxy.read_exact(&mut reply).await?;
    Ok(reply)
}

/// The question again as an answer, SERVFAIL; not to what is an answer itself.
fn failure(mut query: Vec<u8>) -> Option<Vec<u8>> {
    if query.len() < HEADER {
        return None;
    }
    let [_, _, flags, code, ..] = query.as_mut_slice() else {
        return None;
    };
    if *flags & 0x80 != 0 {
        return None;
    }
    // QR, and the opcode and RD as they were; RCODE 2.
    *flags = 0x80 | (*flags & 0x79);
    *code = 2;
    Some(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_repeats_the_question_and_answers_no_answer() {
        let query = [7, 9, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1];
        let mut expected = query;
        (expected[2], expected[3]) = (0x81, 2);
        assert_eq!(failure(query.to_vec()), Some(expected.to_vec()));
        assert_eq!(failure(expected.to_vec()), None);
        assert_eq!(failure(query[..11].to_vec()), None);
    }
}
