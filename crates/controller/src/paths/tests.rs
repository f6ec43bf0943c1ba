use super::*;

#[test]
fn two_ways_to_one_directory_are_one_installation() {
    let dir = tempfile::tempdir().unwrap();
    let plain = StateDir::open(Some(&dir.path().join("s"))).unwrap();
    let odd = StateDir::open(Some(&dir.path().join("s/../s"))).unwrap();
    let other = StateDir::open(Some(&dir.path().join("t"))).unwrap();
    assert_eq!(plain.id(), odd.id());
    assert_ne!(plain.id(), other.id());
}

#[test]
fn lists_tasks_and_ignores_what_is_not_one() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(Some(dir.path())).unwrap();
    assert_eq!(state.tasks().unwrap(), []);
    for name in ["shop/b", "shop/a", "shop/NOT", "api/x"] {
        fs_err::create_dir_all(dir.path().join("tasks").join(name)).unwrap();
    }
    let names: Vec<_> = state
        .tasks()
        .unwrap()
        .iter()
        .map(|t| format!("{}/{}", t.project, t.task))
        .collect();
    assert_eq!(names, ["api/x", "shop/a", "shop/b"]);
}

#[test]
fn what_containers_read_can_be_read_by_anybody_whatever_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
    let below = dir.path().join("policy");
    make_shared(&below).unwrap();
    // As a umask of 077 leaves it.
    fs_err::set_permissions(&below, Permissions::from_mode(0o700)).unwrap();
    make_shared(&below).unwrap();
    assert_eq!(mode(&below), 0o755);
    let file = below.join("x");
    write_atomically(&file, "x").unwrap();
    assert_eq!(mode(&file), 0o644);
    // The user's own file keeps what the user gave it.
    fs_err::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    write_atomically(&file, "y").unwrap();
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn a_secret_can_be_read_by_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let me = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
    let path = dir.path().join("secrets/env");
    for text in ["one", "two"] {
        write_for(&path, me, text).unwrap();
        assert_eq!(
            (fs_err::read_to_string(&path).unwrap().as_str(), mode(&path)),
            (text, 0o600)
        );
    }
    let login = dir.path().join("logins/codex");
    make_for(&login, me).unwrap();
    assert_eq!(mode(&login), 0o700);
    fs_err::write(login.join("auth.json"), "x").unwrap();
    make_for(&login, me).unwrap();
    assert!(login.join("auth.json").exists());
}

#[test]
fn a_spool_is_made_anew_and_only_its_out_is_for_the_agent_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let me = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
    let spool = dir.path().join("task").join(SPOOL);
    make_spool(&spool, me).unwrap();
    fs_err::create_dir_all(spool.join("out/a/b")).unwrap();
    fs_err::write(spool.join("in/x.json"), "an answer to somebody else").unwrap();
    make_spool(&spool, me).unwrap();
    for (name, expected) in [("out", 0o700), ("in", 0o755)] {
        assert_eq!(mode(&spool.join(name)), expected, "{name}");
        assert_eq!(fs_err::read_dir(spool.join(name)).unwrap().count(), 0);
    }
}

#[test]
fn an_atomic_write_that_fails_leaves_no_temporary_file() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("taken");
    fs_err::create_dir(&target).unwrap();
    assert!(write_atomically(&target, "x").is_err());
    assert!(!dir.path().join("taken.new").exists());
}
