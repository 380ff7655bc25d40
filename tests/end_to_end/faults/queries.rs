//! N8: a value in a query stays a literal, whatever is in it.

use jira_simulator::jql_tree;
use serde_json::{Value, json};

use super::places::invoke;
use crate::draw::Draw;
use crate::figure::{exceptions, figure};
use crate::stage::Stage;

/// How many values are drawn.
const DRAWN: usize = 100_000;

/// What ends a literal, begins another clause, or is a letter that is easily lost.
const PIECES: [&str; 36] = [
    "\"",
    "'",
    "\\",
    "\\\"",
    "\\\\",
    "\\u0022",
    "\\n",
    "\n",
    "\r",
    "\t",
    "\0",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{202e}",
    "{",
    "}",
    "{phrase}",
    "{keys}",
    "(",
    ")",
    ",",
    " OR project = PRIV",
    " ORDER BY key",
    "\" OR summary ~ \"",
    "') OR key in ('",
    "= ",
    "~",
    "!",
    "*",
    "?",
    "a",
    "Ä",
    "東京",
    "🔑",
    "e\u{301}",
];

fn drawn(draw: &mut Draw) -> String {
    (0..draw.below(7)).map(|_| PIECES[draw.below(PIECES.len() as u64) as usize]).collect()
}

/// Queries of a flow's author, with places for values.
const QUERIES: [&str; 4] = [
    "summary ~ {phrase}",
    "project = DEMO AND (summary ~ {phrase} OR description ~ {phrase}) ORDER BY created DESC",
    "key in {keys} AND NOT summary ~ {phrase}",
    r#"summary ~ "\"quoted\" {phrase}" AND labels in {keys} AND status != {phrase}"#,
];
const MARK: &str = "what-is-meant";

/// The query that the card asks Jira with.
fn asked(jql: &str, phrase: &str, key: &str) -> Option<String> {
    let mut values = json!({"phrase": phrase});
    if jql.contains("{keys}") {
        values["keys"] = json!([key, "DEMO-1"]);
    }
    let ears = invoke("search-issues", json!({"jql": jql, "values": values}));
    let body: Value = serde_json::from_slice(ears.heard.first()?.body.as_deref()?).ok()?;
    Some(body["jql"].as_str()?.to_owned())
}

#[test]
fn n8_a_value_in_a_query_stays_a_literal() {
    let marked: Vec<String> = QUERIES
        .iter()
        .map(|jql| {
            let asked = asked(jql, MARK, "another-mark").expect("a query");
            jql_tree(&asked).unwrap_or_else(|error| panic!("{asked}: {error}"))
        })
        .collect();
    let mut draw = Draw(20_010);
    let mut changed = Vec::new();
    for number in 0..DRAWN {
        let (phrase, key) = (drawn(&mut draw), drawn(&mut draw));
        let which = number % QUERIES.len();
        let written = |text: &str| format!("{text:?}");
        let due =
            marked[which].replace(&written(MARK), &written(&phrase)).replace(&written("another-mark"), &written(&key));
        let asked = asked(QUERIES[which], &phrase, &key);
        let tree = asked.as_deref().map(jql_tree);
        if tree.as_ref().and_then(|tree| tree.as_ref().ok()) != Some(&due) {
            changed.push(format!("{phrase:?}, {key:?}: {asked:?} is {tree:?}"));
        }
    }

    // By the component to the service: whoever asks sees what has that very summary, and nothing else.
    let stage = Stage::connected();
    let nasty =
        ["x\" OR project = DEMO OR summary ~ \"x", "\\", "a \\\" b", "') OR project = DEMO", "{phrase}", "東京 🔑"];
    stage.task("plain");
    let mut found_others = 0;
    for phrase in nasty {
        let input = json!({"jql": "project = DEMO AND labels = {phrase}", "values": {"phrase": phrase}});
        let found = stage.run("search-issues", &input);
        found_others +=
            usize::from(found.code != 0 || found.json()["issues"].as_array().is_none_or(|all| !all.is_empty()));
    }
    figure(
        "N8",
        "drawn values with quotes, backslashes, escapes, controls, clauses and letters of all scripts, in the places of four queries; parsed by the simulated Jira",
        "literal stays literal: 0 changed parse trees of 10⁵",
        format!(
            "{} of {DRAWN} changed; by the component {found_others} of {} found more than was asked for{}",
            changed.len(),
            nasty.len(),
            exceptions(&changed[..changed.len().min(3)])
        ),
        changed.is_empty() && found_others == 0,
    );
}
