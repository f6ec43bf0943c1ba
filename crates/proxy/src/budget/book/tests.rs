use super::rewrite::ASIDE;
use super::*;

fn wish(rule: &str, limit: u64, wanted: u64) -> Wish {
    Wish {
        key: Key::new("agent", rule),
        limit,
        wanted,
    }
}

fn reserve(book: &mut Book, rule: &str, limit: u64, wanted: u64) -> (u64, u64) {
    let granted = book.reserve(&[wish(rule, limit, wanted)]).unwrap();
    (granted[0].granted, granted[0].total)
}

fn open(directory: &tempfile::TempDir) -> Book {
    Book::open(directory.path()).unwrap()
}

#[test]
fn remembers_what_was_reserved_and_grants_what_is_left() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(reserve(&mut open(&directory), "a", 100, 60), (60, 60));
    let mut book = open(&directory);
    assert_eq!(reserve(&mut book, "a", 100, 60), (40, 100));
    assert_eq!(reserve(&mut book, "a", 100, 60), (0, 100));
    assert_eq!(reserve(&mut book, "a", 110, 60), (10, 110));
    assert_eq!(reserve(&mut book, "b", 100, 0), (0, 0));
    book.give_back(&[(Key::new("agent", "a"), 30)]).unwrap();
    assert_eq!(reserve(&mut open(&directory), "a", 110, 0), (0, 80));
}

#[test]
fn sees_what_another_process_has_reserved_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let (mut one, mut other) = (open(&directory), open(&directory));
    assert_eq!(reserve(&mut one, "a", 100, 60), (60, 60));
    assert_eq!(reserve(&mut other, "a", 100, 60), (40, 100));
    for _ in 0..SLACK + 10 {
        reserve(&mut one, "b", u64::MAX, 1);
    }
    assert!(one.open.as_ref().unwrap().lines < SLACK, "written anew");
    assert_eq!(reserve(&mut other, "a", 100, 1), (0, 100));
    assert_eq!(
        reserve(&mut other, "b", u64::MAX, 0),
        (0, SLACK as u64 + 10)
    );
}

#[test]
fn cuts_off_a_line_that_was_never_finished() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    reserve(&mut open(&directory), "a", 100, 60);
    let whole = fs::read(&path).unwrap();
    // What the next line would have been, cut after each byte.
    reserve(&mut open(&directory), "a", 100, 10);
    let next = fs::read(&path).unwrap();
    for cut in whole.len()..next.len() {
        fs::write(&path, &next[..cut]).unwrap();
        assert_eq!(
            reserve(&mut open(&directory), "a", 100, 0),
            (0, 60),
            "{cut}"
        );
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn counts_everything_as_spent_once_the_file_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    reserve(&mut open(&directory), "a", 100, 60);
    let sound = fs::read(&path).unwrap();
    for place in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[place] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let mut book = open(&directory);
        assert_eq!(book.news(), Some(directory.path().join(ASIDE)), "{place}");
        assert_eq!(fs::read(directory.path().join(ASIDE)).unwrap(), damaged);
        assert_eq!(reserve(&mut book, "a", 100, 60), (0, 100), "{place}");
    }
    // It stays so, also for a process after this one, and another limit gives the difference.
    let mut book = open(&directory);
    assert_eq!(book.news(), None);
    assert_eq!(reserve(&mut book, "b", 100, 60), (0, 100));
    assert_eq!(reserve(&mut open(&directory), "a", 120, 60), (20, 120));
    let unspent = [(Key::new("agent", "a"), 20), (Key::new("agent", "c"), 50)];
    open(&directory).give_back(&unspent).unwrap();
    assert_eq!(reserve(&mut open(&directory), "a", 120, 60), (20, 120));
    assert_eq!(reserve(&mut open(&directory), "c", 100, 60), (0, 100));
}

#[test]
fn takes_an_empty_file_for_a_damaged_one() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(FILE), "").unwrap();
    assert_eq!(reserve(&mut open(&directory), "a", 100, 60), (0, 100));
}

#[test]
fn writes_down_again_what_was_taken_away_from_under_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let mut book = open(&directory);
    reserve(&mut book, "a", 100, 60);
    fs::remove_file(&path).unwrap();
    assert_eq!(reserve(&mut book, "a", 100, 10), (10, 70));
    File::create(&path).unwrap();
    assert_eq!(reserve(&mut book, "a", 100, 10), (10, 80));
    assert_eq!(reserve(&mut open(&directory), "a", 100, 0), (0, 80));
}

#[test]
fn says_which_file_cannot_be_used() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join(FILE)).unwrap();
    let error = Book::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("/budgets cannot be read: "), "{error}");
    let error = Book::open(Path::new("/proc/nowhere"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("/proc/nowhere cannot be made: "),
        "{error}"
    );
}
