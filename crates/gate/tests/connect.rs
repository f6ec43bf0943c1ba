//! `connect`: a program's two streams through a proxy, and the proxy's own words where it refuses.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;

const GATE: &str = env!("CARGO_BIN_EXE_agentnet-gate");

/// Answers one connection, and gives back what came of it.
fn once<T: Send + 'static>(
    answer: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (String, thread::JoinHandle<T>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = thread::spawn(move || answer(listener.accept().unwrap().0));
    (address, thread)
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

fn connect(words: &[&str], variables: &[(&str, &str)], input: &[u8]) -> Output {
    let mut gate = Command::new(GATE);
    gate.arg("connect").args(words).env_clear();
    gate.envs(variables.iter().copied());
    gate.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut gate = gate.spawn().unwrap();
    let mut stdin = gate.stdin.take().unwrap();
    // One that ends before it reads is a test's own matter.
    drop(stdin.write_all(input));
    drop(stdin);
    gate.wait_with_output().unwrap()
}

#[test]
fn both_directions_arrive_whole_and_the_end_of_one_is_not_the_end_of_the_other() {
    let (proxy, served) = once(|mut stream| {
        let head = head(&mut stream);
        // The first bytes of the far side come with the answer.
        stream
            .write_all(b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0-x\r\n")
            .unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        stream.write_all(&said).unwrap();
        head
    });
    let input: Vec<u8> = (0..=255u8).cycle().take(1_000_000).collect();
    let proxy = format!("http://{proxy}");
    let output = connect(
        &["--", "git.example", "22"],
        &[("https_proxy", &proxy)],
        &input,
    );
    assert_eq!(output.status.code(), Some(0));
    let echoed = output.stdout.strip_prefix(b"SSH-2.0-x\r\n").unwrap();
    assert!(echoed == input, "{} bytes came back", echoed.len());
    let head = served.join().unwrap();
    assert!(
        head.starts_with("CONNECT git.example:22 HTTP/1.1\r\nHost: git.example:22\r\n"),
        "{head}"
    );
}

#[test]
fn a_refusal_is_told_in_the_proxys_words_and_nothing_is_printed() {
    let (proxy, served) = once(|mut stream| {
        head(&mut stream);
        stream
            .write_all(b"HTTP/1.1 403 Blocked \x1b[1m not_listed\r\nContent-Length: 4\r\n\r\nbody")
            .unwrap();
    });
    let proxy = format!("http://{proxy}");
    let output = connect(&["no.example", "22"], &[("https_proxy", &proxy)], b"");
    served.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("agentnet-gate: the proxy refused no.example:22: 403 Blocked "),
        "{said}"
    );
    assert!(
        said.ends_with("not_listed\n") && !said.contains('\x1b'),
        "{said}"
    );
}

#[test]
fn what_no_proxy_names_is_reached_without_the_proxy_and_without_a_proxy_everything() {
    let excepted = [
        ("https_proxy", "http://192.0.2.1:1"),
        ("no_proxy", "127.0.0.1"),
    ];
    for variables in [&excepted[..], &[]] {
        let (origin, served) = once(|mut stream| stream.write_all(b"direct").unwrap());
        let (host, port) = origin.split_once(':').unwrap();
        let output = connect(&[host, port], variables, b"");
        served.join().unwrap();
        assert_eq!(
            (output.status.code(), output.stdout),
            (Some(0), b"direct".to_vec()),
            "{variables:?}"
        );
    }
}

#[test]
fn a_proxy_that_hangs_up_and_a_variable_that_is_missing_are_said() {
    let (proxy, served) = once(|mut stream| drop(head(&mut stream)));
    let url = format!("http://{proxy}");
    let output = connect(&["a.example", "22"], &[("https_proxy", &url)], b"");
    served.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&proxy));

    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = nobody.local_addr().unwrap().port().to_string();
    drop(nobody);
    let output = connect(&["127.0.0.1", &port], &[], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("https_proxy"));
    assert_eq!(
        connect(&["a.example", "0"], &[], b"").status.code(),
        Some(2)
    );
}
