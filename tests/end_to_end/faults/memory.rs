//! K6: a secret that is not in use any more is not in the memory of the host either.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::figure::{figure, not_measurable};
use crate::http;
use crate::main_job::webhooks;
use crate::simulator::eventually;
use crate::stage::Stage;

/// After this long without a call the host keeps no session: every five seconds those of ten seconds are dropped.
const AT_REST: Duration = Duration::from_secs(17);

/// How many runs there are, each with one call at least.
const RUNS: usize = 20;

const TEST: &str = "serve works with a token, then rests; its writable memory is searched from outside";
const EXPECTED: &str = "0 copies at rest, but in heads of requests that the HTTP library freed: see docs/security.md";

const FLOW: &str = r#"
name: read
on: { event: issue-created, connection: demo }
steps:
  - { id: read, action: get-issue, connection: demo, input: { issue: '${{ event.issue.key }}' } }
"#;

/// What was found in the memory of a process.
struct Found {
    /// How many copies of each text.
    copies: Vec<usize>,
    /// How many bytes were read.
    read: u64,
}

/// Looks for texts in what a process can write to. An error where this process may not look.
fn search(id: u32, texts: &[&[u8]]) -> std::io::Result<Found> {
    const PIECE: usize = 4 << 20;
    let memory = File::open(format!("/proc/{id}/mem"))?;
    let maps = std::fs::read_to_string(format!("/proc/{id}/maps"))?;
    let longest = texts.iter().map(|text| text.len()).max().unwrap_or(1);
    let mut found = Found { copies: vec![0; texts.len()], read: 0 };
    let mut bytes = vec![0; PIECE + longest];
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        let Some((from, to)) = range.split_once('-') else { continue };
        let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16)) else { continue };
        if !rights.starts_with("rw") {
            continue;
        }
        let mut at = from;
        while at < to {
            let wanted = ((to - at) as usize).min(PIECE + longest);
            match memory.read_at(&mut bytes[..wanted], at) {
                Ok(length) => {
                    found.read += length as u64;
                    for (text, found) in texts.iter().zip(&mut found.copies) {
                        // What begins in this piece; the next one begins where it ends.
                        let places = memchr::memmem::find_iter(&bytes[..length], text);
                        *found += places.filter(|place| *place < PIECE).count();
                    }
                }
                Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(error),
                // A region that is mapped and cannot be read holds nothing.
                Err(_) => break,
            }
            at += PIECE as u64;
        }
    }
    Ok(found)
}

#[test]
fn k6_at_rest_no_secret_is_in_memory() {
    let stage = Stage::connected();
    let account = stage.jira.account("admin");
    stage.host.file("flows/read.yaml", FLOW);
    let serving = stage.host.serve(&["--flows", "flows"]);
    eventually("the webhook", || webhooks(&stage).pop());
    let user = stage.jira.authorization("user");
    for number in 0..RUNS {
        let fields =
            json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": format!("Issue {number}")});
        let url = format!("{}/rest/api/3/issue", stage.jira.url());
        http::send_json("POST", &url, std::slice::from_ref(&user), &json!({"fields": fields}));
    }
    eventually("the runs", || {
        let runs = stage.host.run(&["runs", "list"]).list();
        Some(()).filter(|()| runs.iter().filter(|run: &&Value| run["state"] == "done").count() == RUNS)
    });
    let header = STANDARD.encode(format!("{}:{}", account.email, account.token));
    let texts = [account.token.as_bytes(), header.as_bytes()];
    let busy = match search(serving.id(), &texts) {
        Ok(found) => found.copies.iter().sum::<usize>(),
        Err(error) => {
            return not_measurable("K6", TEST, EXPECTED, &format!("its memory is closed to this user: {error}"));
        }
    };
    std::thread::sleep(AT_REST);
    let rest = search(serving.id(), &texts).expect("its memory was open before");
    // The credential as it is sent stands beside the token wherever the host itself keeps it.
    let (plain, sent) = (rest.copies[0], rest.copies[1]);
    // A search that cannot find is worth nothing: what the host was told to serve at is in its memory.
    let known = search(serving.id(), &[serving.url().as_bytes()]).expect("its memory was open before");
    figure(
        "K6",
        TEST,
        EXPECTED,
        format!(
            "{plain} copies in {} MB, and {sent} as it was sent, in buffers that the HTTP library freed ({busy} just after the work); what is no secret is found {} times",
            rest.read >> 20,
            known.copies[0]
        ),
        plain == 0 && sent <= RUNS && known.copies[0] > 0,
    );
}
