//! W13: bodies that are too large, endless, or take for ever.

use std::thread;
use std::time::{Duration, Instant};

use super::sender::{all_read, watching};
use super::wire::{Wire, place};
use crate::figure::figure;

/// The largest body that is taken.
const LARGEST: usize = 25 << 20;
/// How many connections do harm at once.
const AT_ONCE: usize = 20;

/// The memory of a process that is in use, in MiB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory is told");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") >> 10
}

/// The most memory that a process uses while something is done.
fn most_resident<T: Send>(process: u32, work: impl FnOnce() -> T + Send) -> (T, u64) {
    thread::scope(|scope| {
        let work = scope.spawn(work);
        let mut most = 0;
        while !work.is_finished() {
            most = most.max(resident(process));
            thread::sleep(Duration::from_millis(5));
        }
        (work.join().expect("the work ends"), most)
    })
}

/// Sends one chunk after the other until the other side has enough; the status of its answer.
fn endless(url: &str) -> Option<u16> {
    let (address, path) = place(url);
    let mut wire = Wire::to(url);
    wire.push(format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes());
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    // Twice what is taken: more would be endless for the test as well.
    for _ in 0..2 * LARGEST / 0x10000 {
        if !wire.push(&chunk) {
            break;
        }
    }
    wire.answer().map(|(status, _)| status)
}

/// Sends the head of a request byte by byte, one in a second; how long that is let go on.
fn slowly(url: &str) -> Duration {
    let mut wire = Wire::to(url);
    let begun = Instant::now();
    for byte in format!("POST {} HTTP/1.1\r\nhost: h\r\nx-slow: {}", place(url).1, "x".repeat(60)).bytes() {
        if !wire.push(&[byte]) || begun.elapsed() > Duration::from_secs(40) {
            break;
        }
        thread::sleep(Duration::from_secs(1));
    }
    begun.elapsed()
}

#[test]
fn w13_large_endless_and_slow_bodies_are_refused_in_time_and_in_little_memory() {
    let (stage, serving, sender) = watching();
    let body = vec![b' '; LARGEST + 1];
    let largest = sender.deliver("w13-largest", &body[..LARGEST]);
    let larger = sender.deliver("w13-larger", &body);
    drop(body);
    // What the largest one took, also when it was read, is given back first.
    all_read(&stage);
    std::thread::sleep(Duration::from_millis(200));
    let before = resident(serving.id());
    let all = |work: fn(&str) -> Option<u16>| {
        most_resident(serving.id(), || {
            thread::scope(|scope| {
                let started: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(|| work(&sender.callback))).collect();
                started.into_iter().map(|one| one.join().expect("a client ends")).collect::<Vec<_>>()
            })
        })
    };
    let (answers, most) = all(endless);
    // One whose connection is closed while it still sends may not get to read why.
    let wrong = answers.iter().flatten().filter(|status| ![413, 503].contains(*status)).count();
    let (_, most_slow) = all(|url| {
        let took = slowly(url);
        assert!(took <= Duration::from_secs(30), "a slow head was let go on for {took:?}");
        None
    });
    let grown = most.saturating_sub(before).max(most_slow.saturating_sub(before));
    let still = sender.deliver("w13-after", b"{}");
    figure(
        "W13",
        "25 MiB, one byte more, 20 endless bodies at once, 20 heads of 1 byte/s at once",
        "taken; 413; closed; closed ≤ 30 s; memory + ≤ 64 MiB",
        format!(
            "{largest}; {larger}; {wrong} of {AT_ONCE} answered otherwise; closed in time; + {grown} MiB; then {still}"
        ),
        largest == 200 && larger == 413 && wrong == 0 && grown <= 64 && still == 200,
    );
}
