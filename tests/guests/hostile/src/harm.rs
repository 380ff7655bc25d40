//! What each card does. A card that comes back answers what it found, so that a test can tell what
//! the host allowed.

use crate::contract::action::{Continuation, Progress, Step};
use crate::contract::types::{Aside, Call, Error, Failure, FieldFailure, Notice, Severity};
use crate::{failure, memory, refused, wire::Shot};
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::hint::black_box;
use wasip2::clocks::monotonic_clock;

/// Every action card: its id, whether it only reads, and what it does with its input.
pub(crate) const CARDS: &[(&str, bool, &str)] = &[
    ("spin", true, "Never comes back."),
    ("grow", true, "Takes memory, `step` bytes at a time, up to 4 GiB; answers how many `bytes` it got."),
    ("recurse", true, "Calls itself without an end."),
    ("panic", true, "Panics with `text`."),
    ("remember", true, "Keeps `text` in a static; answers what it `found` there and how many calls came `before`."),
    ("search", true, "Sends `first`, then looks for `patterns` in all its memory; echoes what it was given."),
    ("send", false, "Sends `request`, `times` times one after the other; then `then`: `panic`, `spin` or nothing."),
    ("flood-requests", true, "Starts `request` `times` times and waits for none; answers how many were `started`."),
    ("flood-random", true, "Asks for `bytes` of randomness in one call."),
    ("flood-timers", true, "Makes `times` timers and keeps them."),
    ("flood-notices", true, "Leaves `times` notices of `bytes` each."),
    ("huge-output", true, "Answers `bytes` of text."),
    ("huge-memo", true, "Leaves a memo of `bytes`."),
    ("huge-state", true, "Is not done, with a state of `bytes`."),
    ("huge-failure", true, "Fails with a sentence of `bytes` that has line ends and control characters."),
    ("bad-json", true, "Answers text that is no JSON `at` output, memo, state or extra."),
    ("bad-text", true, "Answers `text`, which may be `hex:…` and no text at all, `at` any place of a result."),
    ("bad-output", true, "Answers JSON that its schema does not allow."),
    ("reserved-error", true, "Answers the error that is reserved for hosts."),
    ("endless", true, "Is never done, and wants `wait` milliseconds each time."),
];

/// The inputs of all cards.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Input {
    text: String,
    step: usize,
    bytes: usize,
    times: usize,
    wait: u64,
    at: String,
    then: String,
    patterns: Vec<String>,
    first: Vec<Shot>,
    request: Shot,
}

thread_local! {
    /// What earlier calls left, if the host lets an instance live on.
    static KEPT: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Runs a card.
pub(crate) fn run(call: &Call, card: &str, text: &str, state: Option<&str>) -> Result<(Step, Aside), Error> {
    let input: Input = serde_json::from_str(text).map_err(|error| refused(&error.to_string()))?;
    let base = crate::base_url(call);
    let mut aside = crate::aside();
    let output = match card {
        "spin" => spin(),
        "grow" => grow(input.step.max(1 << 20)),
        "recurse" => json!(deeper(1)),
        "panic" => panic!("{}", input.text),
        "remember" => remember(input.text),
        "search" => {
            let answers: Vec<_> = input.first.into_iter().map(|shot| shot.fire(&base)).collect();
            let found = memory::search(&input.patterns);
            json!({"found": found, "given": format!("{call:?} {text} {state:?}"), "answers": answers})
        }
        "send" => {
            let shots = std::iter::repeat_n(input.request, input.times.max(1));
            let answers: Vec<_> = shots.map(|shot| shot.fire(&base)).collect();
            match input.then.as_str() {
                "panic" => panic!("after {} requests", answers.len()),
                "spin" => spin(),
                _ => json!({"answers": answers}),
            }
        }
        "flood-requests" => {
            let shots = std::iter::repeat_n(input.request, input.times);
            let started: Vec<_> = shots.map(|shot| shot.start(&base)).take_while(Result::is_ok).collect();
            json!({"started": started.len()})
        }
        "flood-random" => json!({"bytes": wasip2::random::random::get_random_bytes(input.bytes as u64).len()}),
        "flood-timers" => {
            let timers: Vec<_> = (0..input.times).map(|_| monotonic_clock::subscribe_duration(u64::MAX)).collect();
            json!({"timers": timers.len()})
        }
        "flood-notices" => {
            let notice = Notice {
                severity: Severity::Warning,
                code: "hostile.flood".to_owned(),
                message: "n".repeat(input.bytes),
            };
            aside.notices = vec![notice; input.times];
            json!({})
        }
        "huge-output" => json!("o".repeat(input.bytes)),
        "huge-memo" => {
            aside.memo = Some(json!("m".repeat(input.bytes)).to_string());
            json!({})
        }
        "huge-state" => return Ok((more(json!("s".repeat(input.bytes)).to_string(), 0), aside)),
        "huge-failure" => {
            let message = "forged log line\r\n\u{1b}[2J\u{202e}".chars().cycle().take(input.bytes).collect::<String>();
            return Err(Error::Permanent(failure(&message)));
        }
        "bad-json" => {
            let bad = "{\"never\": closed".to_owned();
            match input.at.as_str() {
                "memo" => aside.memo = Some(bad),
                "extra" => aside.extra = bad,
                "state" => return Ok((more(bad, 0), aside)),
                _ => return Ok((Step::Done(bad), aside)),
            }
            json!({})
        }
        "bad-text" => {
            let bad = memory::raw(&input.text);
            let notice = |code: &str, message: &str| Notice {
                severity: Severity::Info,
                code: code.to_owned(),
                message: message.to_owned(),
            };
            match input.at.as_str() {
                "memo" => aside.memo = Some(bad),
                "extra" => aside.extra = bad,
                "notice-code" => aside.notices.push(notice(&bad, "said")),
                "notice-message" => aside.notices.push(notice("said", &bad)),
                "state" => return Ok((more(bad, 0), aside)),
                "failure-message" => return Err(Error::Permanent(failure(&bad))),
                "failure-code" => {
                    return Err(Error::Permanent(Failure { code: bad, ..failure("said") }));
                }
                "failure-field" => {
                    let fields = vec![FieldFailure { pointer: bad.clone(), name: bad.clone(), message: bad }];
                    return Err(Error::Permanent(Failure { fields, ..failure("said") }));
                }
                _ => return Ok((Step::Done(bad), aside)),
            }
            json!({})
        }
        "bad-output" => json!({"no": "text"}),
        "reserved-error" => return Err(Error::ExecutionFailed),
        "endless" => {
            let before: u64 = state.and_then(|state| state.parse().ok()).unwrap_or(0);
            return Ok((more((before + 1).to_string(), input.wait), aside));
        }
        _ => return Err(refused("there is no such card")),
    };
    Ok((Step::Done(output.to_string()), aside))
}

/// Does what a delivery or a filter asks for by name, on the way to its answer.
pub(crate) fn act(wish: &Value) {
    match wish["do"].as_str() {
        Some("spin") => {
            spin();
        }
        Some("panic") => panic!("as asked"),
        Some("grow") => {
            grow(1 << 20);
        }
        _ => {}
    }
}

fn more(state: String, after_ms: u64) -> Step {
    let progress = Progress { done: u64::MAX, total: Some(1), message: "nearly there".to_owned() };
    Step::More(Continuation { state, after_ms, progress })
}

fn spin() -> Value {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Takes memory until none is given, and writes to each page so that it is really there.
fn grow(step: usize) -> Value {
    let mut taken: Vec<Vec<u8>> = Vec::with_capacity(4096);
    let mut bytes = 0_usize;
    while taken.len() < taken.capacity() {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(step).is_err() {
            break;
        }
        piece.resize(step, 0xff);
        bytes = bytes.saturating_add(piece.len());
        taken.push(black_box(piece));
    }
    json!({"bytes": bytes})
}

#[inline(never)]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    if black_box(depth) == 0 {
        return 0;
    }
    deeper(depth + 1) + frame[31]
}

fn remember(text: String) -> Value {
    KEPT.with_borrow_mut(|(before, kept)| {
        let answer = json!({"before": *before, "found": &*kept});
        *before += 1;
        *kept = text;
        answer
    })
}
