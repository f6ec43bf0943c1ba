use super::*;

fn memory() -> Purses {
    Purses::new("default", None)
}

fn taken(charge: &Charge) -> usize {
    match charge {
        Charge::Taken(bytes) => *bytes,
        Charge::Spent => 0,
        Charge::Wait(_) => panic!("nothing to wait for"),
    }
}

/// Charges as a tunnel does: waits, and goes on with what it got.
async fn spend(purse: &Arc<Budget>, bytes: usize) -> usize {
    let mut sent = 0;
    while sent < bytes {
        match purse.charge(bytes - sent) {
            Charge::Taken(more) => sent += more,
            Charge::Spent => break,
            Charge::Wait(wait) => timeout(PATIENCE, wait).await.unwrap(),
        }
    }
    sent
}

fn state(spent: u64, limit: u64) -> State {
    State { spent, limit }
}

#[test]
fn lets_exactly_the_limit_through() {
    let purse = memory().purse("cdn.example.net up=10B", 10);
    assert_eq!(taken(&purse.charge(4)), 4);
    assert_eq!(taken(&purse.charge(9)), 6);
    assert!(purse.is_spent());
    assert_eq!(taken(&purse.charge(1)), 0);
    purse.refund(3);
    assert_eq!(taken(&purse.charge(5)), 3);
    assert_eq!(purse.state(), state(10, 10));
}

#[test]
fn takes_all_or_nothing_where_a_part_is_of_no_use() {
    let purse = memory().purse("a up=10B", 10);
    assert_eq!(taken(&purse.charge_all(11)), 0);
    assert_eq!(taken(&purse.charge_all(7)), 7);
    assert_eq!(taken(&purse.charge_all(4)), 0);
    assert_eq!(taken(&purse.charge_all(3)), 3);
}

#[test]
fn keeps_what_was_spent_when_the_same_rule_comes_again() {
    let mut purses = memory();
    assert_eq!(taken(&purses.purse("a", 10).charge(8)), 8);
    assert_eq!(taken(&purses.purse("a", 10).charge(8)), 2);
    assert_eq!(taken(&purses.purse("b", 10).charge(8)), 8);
}

#[test]
fn applies_a_new_limit_to_what_was_spent_before() {
    let mut purses = memory();
    assert_eq!(
        taken(&purses.purse("a.example up=10B raw", 10).charge(8)),
        8
    );
    let raised = purses.purse("a.example  raw up=12B", 12);
    assert_eq!(taken(&raised.charge(8)), 4);
    assert!(purses.purse("a.example up=5B raw", 5).is_spent());
    assert_eq!(purses.state("a.example raw"), Some(state(12, 5)));
    assert_eq!(purses.state("b.example"), None);
}

const MB: u64 = 1_000_000;

#[tokio::test]
async fn lets_exactly_the_limit_through_with_a_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path()).unwrap();
    let purse = Purses::new("agent", Some(ledger)).purse("a up=1MB", MB);
    purse.known().await;
    assert!(!purse.is_spent());
    assert_eq!(spend(&purse, 2_000_000).await, 1_000_000);
    assert!(purse.is_spent());
    assert_eq!(purse.trouble(), None);
    assert_eq!(purse.state(), state(MB, MB));
}

#[tokio::test]
async fn loses_a_small_part_in_a_crash_and_refills_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut sent = 0;
    // Each round is a process that is killed: nothing is given back.
    for round in 1..=3 {
        let ledger = Ledger::open(directory.path()).unwrap();
        let purse = Purses::new("agent", Some(ledger)).purse("a up=1MB", MB);
        sent += spend(&purse, 100_000).await as u64;
        assert_eq!(sent, round * 100_000);
    }
    let ledger = Ledger::open(directory.path()).unwrap();
    let purse = Purses::new("agent", Some(ledger)).purse("a up=1MB", MB);
    purse.known().await;
    let before = purse.state().spent;
    assert!(
        before >= sent && before <= sent + 3 * MB / PARTS,
        "{before}"
    );
    sent += spend(&purse, 2_000_000).await as u64;
    assert!((MB - 3 * MB / PARTS..=MB).contains(&sent), "{sent}");
}

#[tokio::test]
async fn gives_back_at_a_clean_end_what_it_did_not_spend() {
    let directory = tempfile::tempdir().unwrap();
    for round in 1..=2 {
        let ledger = Ledger::open(directory.path()).unwrap();
        let mut purses = Purses::new("agent", Some(Arc::clone(&ledger)));
        let purse = purses.purse("a up=1MB", MB);
        assert_eq!(spend(&purse, 1000).await, 1000);
        ledger.close(purses.all()).await;
        assert_eq!(purse.state().spent, round * 1000);
        assert_eq!(
            spend(&purse, 1).await,
            0,
            "nothing goes once it was given back"
        );
    }
}

#[tokio::test]
async fn shares_one_purse_between_two_processes() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let ledger = Ledger::open(directory.path()).unwrap();
        Purses::new("agent", Some(ledger)).purse("a up=1MB", MB)
    };
    let (old, new) = (open(), open());
    let (first, second) = tokio::join!(spend(&old, 2_000_000), spend(&new, 2_000_000));
    assert_eq!((first + second) as u64, MB);
    assert!(old.is_spent() && new.is_spent());
}

#[tokio::test]
async fn lets_nothing_go_where_nothing_can_be_recorded_until_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("not").join("there");
    let ledger = Ledger::open(&missing).unwrap();
    let purse = Purses::new("agent", Some(ledger)).purse("a up=1MB", MB);
    purse.known().await;
    assert!(purse.is_spent());
    assert!(purse.trouble().is_some());
    assert_eq!(spend(&purse, 10).await, 0);
    std::fs::create_dir(directory.path().join("not")).unwrap();
    let works = async {
        while purse.is_spent() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, works).await.unwrap();
    assert_eq!(spend(&purse, 10).await, 10);
    assert_eq!(purse.trouble(), None);
}
