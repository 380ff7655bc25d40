//! Every answer of the simulator against Atlassian's own OpenAPI documents.
//!
//! Every end-to-end test counts: a simulated Jira is judged when its log is forgotten and when it
//! ends (see `simulator`). Left out are answers that a test's fault made.
//!
//! The documents are not part of this repository: they are looked for in `../shared/data`, and
//! where they are absent the check says so and passes. What recordings of real answers do
//! otherwise than the documents say is tolerated by name, here and in `document`.

mod document;
mod session;

use std::io::Write;
use std::sync::OnceLock;

use serde_json::Value;

use crate::simulator::{Jira, text};
use document::{Document, Listed};

/// The documents in the order they are asked; none where the folder is absent.
fn documents() -> Option<&'static [Document]> {
    static DOCUMENTS: OnceLock<Option<Vec<Document>>> = OnceLock::new();
    let found = DOCUMENTS.get_or_init(|| {
        let found: Option<Vec<_>> =
            ["jira-cloud-platform-v3.json.gz", "jira-software-cloud.json", "jira-service-management-cloud.json"]
                .into_iter()
                .map(Document::load)
                .collect();
        if found.is_none() {
            // Past the capture of the test framework, which would keep it to itself.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: no answer is checked, Atlassian's OpenAPI documents are not in ../shared/data/jira/openapi"
            );
        }
        found
    });
    found.as_deref()
}

/// Why an answer that no document lists may be right.
fn tolerated(path: &str, status: u16) -> Option<&'static str> {
    match status {
        _ if path.starts_with("/rest/webhooks/1.0/webhook") => Some("the API of admin webhooks is described in prose"),
        _ if path == "/_edge/tenant_info" => {
            Some("the gateway before Jira answers this, and no document is of the gateway")
        }
        _ if path.starts_with("/rest/api/2/") => Some("Atlassian's own document of version 2 is not among them"),
        401 | 403 => Some("a credential that is not accepted is refused everywhere, in the shape of all refusals"),
        _ => None,
    }
}

/// What the documents say of a Jira's answers.
struct Verdict {
    /// What is not as they say, one line each.
    violations: Vec<String>,
    /// How many answers were held against a schema.
    validated: usize,
}

/// Holds every answer in a Jira's wire log against the documents; none where these are absent.
fn judge(jira: &Jira) -> Option<Verdict> {
    let documents = documents()?;
    let mut verdict = Verdict { violations: Vec::new(), validated: 0 };
    for mut entry in jira.wire() {
        // The documents are of Jira's paths; servers of logins and other products have others.
        if entry["site"].is_null() || entry["door"] == "csm" {
            continue;
        }
        entry["path"] = entry["route"].take();
        // Left out: answers that a test's fault made, calls that were cut, and routes that the
        // simulator says it lacks.
        if !entry["fault"].is_null() || entry["status"] == 0 || entry["missing_route"] == true {
            continue;
        }
        match check(documents, &entry) {
            Ok(true) => verdict.validated += 1,
            Ok(false) => {}
            Err(why) => verdict.violations.push(why),
        }
    }
    verdict.violations.sort();
    verdict.violations.dedup();
    Some(verdict)
}

/// Fails the test where a Jira answered otherwise than Atlassian's documents say.
#[track_caller]
pub(crate) fn assert_answers_as_documented(jira: &Jira) {
    let Some(verdict) = judge(jira) else { return };
    assert!(verdict.violations.is_empty(), "not as documented:\n{}", verdict.violations.join("\n"));
}

/// Whether one answer was held against a schema, or what is wrong with it.
fn check(documents: &[Document], entry: &Value) -> Result<bool, String> {
    let (method, path) = (text(&entry["method"]), text(&entry["path"]));
    let status = entry["status"].as_u64().unwrap_or_default() as u16;
    let place = format!("{method} {path} {status}");
    let body = text(&entry["response_body"]);
    let listed = documents.iter().find_map(|document| document.answer(&method, &path, status));
    let validator = match listed {
        None | Some(Listed::Not) if tolerated(&path, status).is_none() => {
            return Err(format!("{place}: no document lists this answer"));
        }
        Some(Listed::WithSchema(validator)) => Some(validator),
        // The documents say in words only what most refusals look like; all that were recorded look alike.
        // The gateway refuses in a shape of its own what does not reach Jira.
        _ if is_refusal(&path, status)
            && is_json(entry)
            && !(entry["door"] == "gateway" && matches!(status, 401 | 403)) =>
        {
            documents[0].refusal()
        }
        _ => None,
    };
    let Some(validator) = validator.filter(|_| status != 204 || !body.is_empty()) else { return Ok(false) };
    let body: Value = serde_json::from_str(&body).map_err(|_| format!("{place}: not JSON: {body}"))?;
    let wrong: Vec<_> = validator.iter_errors(&body).map(|e| format!("{e} at {}", e.instance_path())).take(3).collect();
    if wrong.is_empty() { Ok(true) } else { Err(format!("{place}: {}", wrong.join("; "))) }
}

/// Whether an answer is a refusal of Jira's platform, which has one shape for all of them.
fn is_refusal(path: &str, status: u16) -> bool {
    path.starts_with("/rest/api/") && (400..500).contains(&status)
}

fn is_json(entry: &Value) -> bool {
    entry["response_headers"]["content-type"].as_str().is_some_and(|kind| kind.starts_with("application/json"))
}
