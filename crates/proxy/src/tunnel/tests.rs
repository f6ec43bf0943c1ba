use std::cell::Cell;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const SILENCE: Silence = Silence {
    idle: Duration::from_secs(900),
    half_closed: Duration::from_secs(60),
};

/// Counts, and lets `purse` bytes go up.
struct Book {
    purse: Cell<usize>,
    up: Cell<u64>,
    down: Cell<u64>,
}

impl Book {
    fn with(purse: usize) -> Self {
        Self {
            purse: Cell::new(purse),
            up: Cell::new(0),
            down: Cell::new(0),
        }
    }
}

impl Overseer for Book {
    fn moved(&self, direction: Direction, bytes: u64) {
        let counter = match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        };
        counter.set(counter.get() + bytes);
    }

    fn charge(&self, bytes: usize) -> Charge {
        let allowed = bytes.min(self.purse.get());
        self.purse.set(self.purse.get() - allowed);
        match allowed {
            0 => Charge::Spent,
            _ => Charge::Taken(allowed),
        }
    }

    fn refund(&self, bytes: usize) {
        self.purse.set(self.purse.get() + bytes);
    }

    fn poll_stop(&self, _: &mut Context<'_>) -> Poll<Reason> {
        Poll::Pending
    }
}

/// Both ends of a tunnel, and the far sides of them.
struct Rig {
    client: DuplexStream,
    upstream: DuplexStream,
    near: DuplexStream,
    far: DuplexStream,
}

fn rig() -> Rig {
    let (near, client) = duplex(64);
    let (far, upstream) = duplex(64);
    Rig {
        client,
        upstream,
        near,
        far,
    }
}

async fn tunnel(rig: &mut Rig, book: &Book, early: &'static str) -> Account {
    let early = (Bytes::from_static(early.as_bytes()), Bytes::new());
    run(&mut rig.client, &mut rig.upstream, early, SILENCE, book).await
}

#[tokio::test(start_paused = true)]
async fn ends_after_the_time_of_silence_and_not_before() {
    let mut rig = rig();
    let book = Book::with(usize::MAX);
    let since = Instant::now();
    let account = tunnel(&mut rig, &book, "").await;
    assert!(matches!(account.ending, Ending::Silent));
    assert_eq!(since.elapsed().as_secs(), 900);
}

#[tokio::test(start_paused = true)]
async fn counts_silence_from_the_last_byte_of_either_side() {
    let mut rig = rig();
    let book = Book::with(usize::MAX);
    let (mut near, mut far) = (rig.near, rig.far);
    (rig.near, rig.far) = (duplex(1).0, duplex(1).0);
    let since = Instant::now();
    let talk = async {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(800)).await;
            far.write_all(b"x").await.unwrap();
            near.read_exact(&mut [0]).await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    let account = tokio::select! {
        account = tunnel(&mut rig, &book, "") => account,
        () = talk => unreachable!(),
    };
    assert!(matches!(account.ending, Ending::Silent));
    assert_eq!(since.elapsed().as_secs(), 5 * 800 + 900, "no total limit");
    assert_eq!((account.up, account.down), (0, 5));
}

#[tokio::test(start_paused = true)]
async fn gives_the_other_half_a_shorter_time_once_one_side_has_ended() {
    let mut rig = rig();
    let book = Book::with(usize::MAX);
    let mut near = rig.near;
    rig.near = duplex(1).0;
    let since = Instant::now();
    near.write_all(b"last words").await.unwrap();
    near.shutdown().await.unwrap();
    let account = tunnel(&mut rig, &book, "").await;
    assert!(matches!(account.ending, Ending::Silent));
    assert_eq!(since.elapsed().as_secs(), 60);
    let mut heard = Vec::new();
    drop(rig.upstream);
    rig.far.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"last words");
}

#[tokio::test]
async fn ends_when_both_sides_are_done() {
    let mut rig = rig();
    let book = Book::with(usize::MAX);
    let (mut near, mut far) = (rig.near, rig.far);
    (rig.near, rig.far) = (duplex(1).0, duplex(1).0);
    let talk = async {
        let mut heard = Vec::new();
        near.write_all(b"question").await.unwrap();
        near.shutdown().await.unwrap();
        far.read_to_end(&mut heard).await.unwrap();
        far.write_all(b"answer").await.unwrap();
        far.shutdown().await.unwrap();
        let mut back = Vec::new();
        near.read_to_end(&mut back).await.unwrap();
        (heard, back)
    };
    let (account, (heard, back)) = tokio::join!(tunnel(&mut rig, &book, "early "), talk);
    assert_eq!(
        (heard.as_slice(), back.as_slice()),
        (&b"early question"[..], &b"answer"[..])
    );
    assert!(matches!(account.ending, Ending::Finished));
    assert_eq!((account.up, account.down), (14, 6));
    assert_eq!((book.up.get(), book.down.get()), (14, 6));
}

#[tokio::test]
async fn lets_exactly_the_purse_through() {
    let mut rig = rig();
    let book = Book::with(8);
    let (mut near, mut far) = (rig.near, rig.far);
    (rig.near, rig.far) = (duplex(1).0, duplex(1).0);
    near.write_all(b"0123456789").await.unwrap();
    let account = tunnel(&mut rig, &book, "abc").await;
    assert!(matches!(
        account.ending,
        Ending::Stopped(Reason::BudgetSpent)
    ));
    assert_eq!(account.up, 8);
    drop(rig);
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"abc01234");
}

#[tokio::test(start_paused = true)]
async fn gives_back_what_was_charged_and_never_left() {
    let mut rig = rig();
    let book = Book::with(1000);
    let (mut near, far) = (rig.near, rig.far);
    (rig.near, rig.far) = (duplex(1).0, duplex(1).0);
    // Nobody reads at the far side: 64 bytes fit into the pipe.
    let fill = async {
        near.write_all(&[7; 64]).await.unwrap();
        near.write_all(&[7; 64]).await.unwrap();
        std::future::pending::<()>().await;
    };
    let account = tokio::select! {
        account = tunnel(&mut rig, &book, "") => account,
        () = fill => unreachable!(),
    };
    assert_eq!(account.up, 64);
    assert_eq!(book.purse.get(), 1000 - 64);
    drop(far);
}

#[tokio::test]
async fn says_which_side_was_lost() {
    let mut rig = rig();
    let book = Book::with(usize::MAX);
    let mut near = rig.near;
    rig.near = duplex(1).0;
    rig.far = duplex(1).0;
    near.write_all(b"x").await.unwrap();
    let account = tunnel(&mut rig, &book, "").await;
    assert!(
        matches!(account.ending, Ending::UpstreamLost(_)),
        "{account:?}"
    );
}

#[test]
fn is_small_while_it_waits() {
    let mut rig = rig();
    let book = Book::with(0);
    let early = (Bytes::new(), Bytes::new());
    let waiting = run(&mut rig.client, &mut rig.upstream, early, SILENCE, &book);
    let size = size_of_val(&waiting);
    assert!(
        size <= 640,
        "{size} bytes; ten thousand of these may be idle"
    );
}
