//! N4 and N7: where requests may go is the operator's and the connector's to say, never an input's.

use jira_connector::action;
use jira_connector::contract::{Call, Connection};
use jira_connector::host::{Host, Request, Response, SendError};
use serde_json::{Value, json};

use crate::draw::Draw;
use crate::figure::{exceptions, figure};
use crate::stage::Stage;

/// How many inputs are drawn.
const DRAWN: usize = 100_000;

/// Addresses inside, of all kinds, as a self-hosted Jira may have one.
const INSIDE: [&str; 10] = [
    "http://10.0.0.5/",
    "https://10.0.0.5:8443/jira/",
    "https://172.16.4.4/",
    "https://192.168.1.20/",
    "https://100.64.0.9/",
    "https://169.254.169.254/",
    "https://[fd00::5]/",
    "https://[::1]/",
    "https://localhost/",
    "https://127.0.0.1/",
];

#[test]
fn n4_an_address_inside_is_reached_by_the_connection_alone_that_the_operator_allowed_it() {
    let stage = Stage::new();
    let account = stage.jira.account("admin");
    let connector = crate::built::connector().display().to_string();
    let token = format!("token=@{}", stage.host.file("token", &account.token).display());
    let add = |name: &str, site: &str, more: &[&str]| {
        let (site, email) = (format!("site={site}"), format!("email={}", account.email));
        let arguments = ["connection", "add", name, "--connector", &connector, "--method", "api-token"];
        stage.host.run(&[&arguments[..], &["--set", &site, "--set", &email, "--secret", &token], more].concat())
    };
    let (mut wrong, mut denied) = (Vec::new(), 0);
    let mut refused = |what: &str, outcome: &crate::harness::Outcome| {
        let says = outcome.stdout.contains("--allow-private") || outcome.stdout.contains("egress-denied");
        let closed = outcome.code != 0 && stage.jira.wire().is_empty();
        denied += usize::from(closed && says);
        wrong.extend((!closed || !says).then(|| format!("{what}: {} {}", outcome.code, outcome.stdout)));
    };
    for (number, site) in INSIDE.into_iter().enumerate() {
        refused(site, &add(&format!("inside-{number}"), site, &[]));
    }
    // The Jira that is there, by its address: without the operator's word, before and after another has it.
    refused("without", &add("without", stage.jira.url(), &[]));
    add("allowed", stage.jira.url(), &["--allow-private"]).expect(0);
    let works = || stage.run_as("allowed", "call-api", &json!({"path": "myself"})).code == 0;
    let first = works();
    stage.jira.forget_wire();
    refused("beside", &add("beside", stage.jira.url(), &[]));
    refused(
        "shared",
        &stage.host.run(&[
            "connection",
            "add",
            "shared",
            "--share",
            "allowed",
            "--set",
            &format!("site={}", stage.jira.url()),
        ]),
    );
    // Those with https were kept as unproven; with plain http there is nothing to keep.
    for connection in ["inside-1", "inside-2", "inside-9"] {
        refused(connection, &stage.run_as(connection, "call-api", &json!({"path": "myself"})));
    }
    let asked = INSIDE.len() + 6;
    let still = works();
    figure(
        "N4",
        "sites at private, shared, link-local and loopback addresses, with and without --allow-private, side by side",
        "only with the operator's entry for that connection; others denied",
        format!(
            "{denied} of {asked} denied with nothing sent; the one with an entry {}{}",
            if first && still { "works" } else { "does not work" },
            exceptions(&wrong)
        ),
        wrong.is_empty() && first && still && denied == asked,
    );
}

const SITE: &str = "https://demo.atlassian.net/";

/// A Jira that has nothing, and keeps what it was asked for.
#[derive(Default)]
pub(super) struct Ears {
    pub(super) heard: Vec<Request>,
    draws: u64,
}

impl Host for Ears {
    fn send(&mut self, requests: Vec<Request>) -> Vec<Result<Response, SendError>> {
        let answers = requests
            .iter()
            .map(|_| {
                let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
                Ok(Response { status: 404, headers, body: b"{}".to_vec() })
            })
            .collect();
        self.heard.extend(requests);
        answers
    }

    fn now_ms(&self) -> u64 {
        1_792_007_200_000
    }

    fn random(&mut self) -> u64 {
        self.draws += 1;
        self.draws
    }
}

/// Pieces of which keys and paths are drawn: what leads upwards, ends a path, or is decoded into that.
const PIECES: [&str; 44] = [
    "DEMO-1",
    "10000",
    "a",
    "-",
    "_",
    "..",
    "../",
    "../../admin",
    "/",
    "//",
    "\\",
    "..\\",
    "%2e",
    "%2E%2e",
    "%2f",
    "%2F",
    "%5c",
    "%252e",
    "%252f",
    "%00",
    "%0d%0a",
    "?",
    "?x=1",
    "#",
    "#x",
    ";",
    ";a=b",
    "&",
    "=",
    "@",
    ":",
    "://",
    "evil.test",
    "@evil.test/",
    " ",
    "\t",
    "\n",
    "\r\nHost: evil.test",
    "\0",
    "．．",
    "／",
    "ä",
    "\u{202e}",
    "%c0%ae",
];

fn drawn(draw: &mut Draw, most: u64) -> String {
    (0..1 + draw.below(most)).map(|_| PIECES[draw.below(PIECES.len() as u64) as usize]).collect()
}

/// The part of a URL that the input may decide, where the rest is as the card has it; none where it left its place.
fn within<'u>(url: &'u url::Url, raw: &str, prefix: &str) -> Option<&'u str> {
    let home = url.scheme() == "https" && url.host_str() == Some("demo.atlassian.net") && url.port().is_none();
    let alone = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    // A URL that reads otherwise once it was put in order had something to put in order.
    let settled = url.as_str() == raw;
    (home && alone && settled).then(|| url.path().strip_prefix(prefix)).flatten()
}

/// What became of an input: nothing was sent, or it stayed in its place; else what was asked for.
fn judged(ears: &Ears, prefix: &str, segments: usize, query: Option<&[(String, String)]>) -> Result<bool, String> {
    for request in &ears.heard {
        let escaped = || Err(format!("{} {}", request.method, request.url));
        let Ok(url) = url::Url::parse(&request.url) else { return escaped() };
        let Some(rest) = within(&url, &request.url, prefix) else { return escaped() };
        let decoded = percent_decode(rest);
        // One segment, which no server takes for several or for one that leads upwards.
        let parts = rest.strip_suffix('/').filter(|_| segments == 0).unwrap_or(rest);
        let plain = parts.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if !plain || (segments > 0 && rest.split('/').count() != segments) || decoded.iter().any(|byte| *byte < 32) {
            return escaped();
        }
        if let Some(query) = query
            && url.query_pairs().into_owned().collect::<Vec<_>>() != query
        {
            return escaped();
        }
    }
    Ok(!ears.heard.is_empty())
}

fn percent_decode(text: &str) -> Vec<u8> {
    let form = text.replace('+', "%2B");
    url::form_urlencoded::parse(format!("v={form}").as_bytes())
        .next()
        .map_or(Vec::new(), |(_, v)| v.into_owned().into())
}

pub(super) fn invoke(card: &str, input: Value) -> Ears {
    let call = Call {
        connection: Connection {
            id: "demo".to_owned(),
            settings: json!({"site": SITE, "email": "administrator@example.test", "account-id": "acc-1"}),
            authorization: None,
            generation: None,
        },
        deadline_ms: 30_000,
        idempotency_key: None,
        held: Vec::new(),
        granted_scopes: None,
        memo: None,
    };
    let mut ears = Ears::default();
    // What it answers says nothing here: nothing was found.
    let _ = action::invoke(&mut ears, &call, card, input, None);
    ears
}

#[test]
fn n7_no_input_becomes_another_path() {
    let mut draw = Draw(3986);
    let (mut wrong, mut sent, mut refused) = (Vec::new(), 0_usize, 0_usize);
    for number in 0..DRAWN {
        let (input, judgement) = match number % 6 {
            kind @ 0..3 => {
                let key = drawn(&mut draw, 4);
                let (card, more, prefix, segments) = [
                    ("get-issue", json!({}), "/rest/api/3/issue/", 1),
                    ("update-issue", json!({"fields": {"summary": "x"}}), "/rest/api/3/issue/", 0),
                    ("add-comment", json!({"body": "x"}), "/rest/api/3/issue/", 2),
                ][kind]
                    .clone();
                let mut input = more;
                input["issue"] = json!(key);
                (key, judged(&invoke(card, input), prefix, segments, None))
            }
            3 => {
                let project = drawn(&mut draw, 4);
                let input = json!({"project": project, "issue-type": drawn(&mut draw, 3), "summary": "x"});
                (project, judged(&invoke("create-issue", input), "/rest/api/3/", 0, None))
            }
            4 => {
                let path = drawn(&mut draw, 5);
                // What begins with /rest/ is taken whole; nothing drawn does.
                let input = json!({"path": format!("issue/{path}")});
                (path, judged(&invoke("call-api", input), "/rest/api/3/", 0, Some(&[])))
            }
            _ => {
                let (name, value) = (drawn(&mut draw, 3), drawn(&mut draw, 4));
                let pairs = vec![(name.clone(), value.clone())];
                let input = json!({"path": "myself", "query": {&name: &value}});
                let ears = invoke("call-api", input);
                (format!("{name}={value}"), judged(&ears, "/rest/api/3/", 1, Some(&pairs)))
            }
        };
        match judgement {
            Ok(true) => sent += 1,
            Ok(false) => refused += 1,
            Err(url) => wrong.push(format!("{input:?} → {url}")),
        }
    }

    // The same by the component and the host, to the service.
    let stage = Stage::connected();
    stage.jira.forget_wire();
    let nasty = [
        "../../admin",
        "DEMO-1/../../x",
        "%2e%2e%2fadmin",
        "DEMO-1?x=1",
        "DEMO-1#x",
        "DEMO-1\r\nx: y",
        "..",
        "DEMO-1;x",
    ];
    for key in nasty {
        stage.run("get-issue", &json!({"issue": key})).expect(3);
        stage.run("call-api", &json!({"path": format!("issue/{key}")}));
    }
    let arrived = stage.jira.wire();
    let paths: Vec<_> = arrived.iter().filter_map(|entry| entry["path"].as_str()).collect();
    let strayed = paths.iter().filter(|path| !path.starts_with("/rest/api/3/issue/") || path.contains("..")).count();
    figure(
        "N7",
        "drawn keys, paths and parameters with what leads upwards, ends a path or is decoded into that; some by the component to the service",
        "encoded or refused: 0 escapes of 10⁵",
        format!(
            "{} escapes of {DRAWN}: {sent} stayed in their place, {refused} were refused; {strayed} of {} strayed at the service{}",
            wrong.len(),
            nasty.len() * 2,
            exceptions(&wrong[..wrong.len().min(3)])
        ),
        wrong.is_empty() && strayed == 0 && sent > DRAWN / 10 && refused > DRAWN / 10,
    );
}
