//! N: the way out leads to the pinned origins and nowhere else.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;

use host_harness::authorize::Access;
use host_harness::egress::{Network, Recorder, Resolver, reserved};
use host_harness::plugin::Plugin;
use serde_json::{Value, json};

use super::cell::{call, hostile, patient, pinned, run_with, with_token};
use crate::figure::figure;
use crate::runtime::wait_for;
use crate::service::{Reply, Service};

const TOKEN: &str = "fake-token-that-must-not-travel";

/// Addresses that lead inside: private, shared, link-local, metadata, translated, tunnelled,
/// mapped, documentation, reserved; with the edges of their ranges.
const INSIDE: &[&str] = &[
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.0.0.5",
    "10.255.255.255",
    "100.64.0.0",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.0.0.53",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::10.0.0.1",
    "::ffff:0.0.0.0",
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "::ffff:169.254.169.254",
    "::ffff:192.168.1.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::10.0.0.1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",
    "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ff05::1:3",
    "4000::1",
];

/// Public addresses, many of them next door to a refused range.
const OUTSIDE: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00::1",
    "::ffff:8.8.8.8",
];

/// Says that every name has one address.
struct Always(IpAddr);

impl Resolver for Always {
    fn resolve(&self, _: &str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        let address = self.0;
        Box::pin(async move { Ok(vec![address]) })
    }
}

/// Lets the guest send one request, and answers with what it got.
fn send(plugin: &Plugin, access: &Access, base: &str, request: &Value) -> Value {
    let call = call("c", &json!({"base-url": base}));
    let sent = wait_for(run_with(plugin, access, &call, "send", &json!({"request": request})));
    match sent {
        Ok(answer) => answer["answers"][0].clone(),
        Err(error) => json!({"refused": error.to_string()}),
    }
}

#[test]
fn n1_no_address_that_leads_inside_is_connected_to() {
    let plugin = hostile(patient());
    let mut wrong = Vec::new();
    for text in INSIDE {
        let address: IpAddr = text.parse().expect("an address");
        let written = if address.is_ipv6() { format!("https://[{address}]/") } else { format!("https://{address}/") };
        for (network, base) in [
            // Written as an address, which no resolver is asked about; and behind a name.
            (Network::new(), written),
            (Network::with_resolver(Always(address)), "https://inside.example.test/".to_owned()),
        ] {
            let recorder = Recorder::default();
            let access = with_token(network.expect("TLS"), vec![pinned(&base)], false, TOKEN);
            let answer = send(&plugin, &access.with_recorder(recorder.clone()), &base, &json!({"path": "/"}));
            // Refused by the host: not merely unreachable from here.
            if recorder.snapshot().denial().is_none() || answer["refused"].is_null() {
                wrong.push(format!("{base} → {text}: {answer}, {:?}", recorder.snapshot().requests));
            }
        }
    }
    let parse = |text: &&&str| text.parse::<IpAddr>().expect("an address");
    wrong
        .extend(OUTSIDE.iter().filter(|text| reserved(parse(text)).is_some()).map(|text| format!("{text} is refused")));
    let (inside, outside) = (INSIDE.len(), OUTSIDE.len());
    figure(
        "N1",
        "the guest's origin has an address that leads inside, as text and behind a name",
        "exact for ≥ 60 addresses",
        format!(
            "{inside} refused, {outside} let through, {} wrong{}",
            wrong.len(),
            wrong.iter().take(3).map(|w| format!("; {w}")).collect::<String>()
        ),
        wrong.is_empty() && inside + outside >= 60,
    );
}

#[test]
fn n3_a_redirect_is_shown_and_never_followed() {
    let plugin = hostile(patient());
    let trap = Service::start(|_| Reply::json(200, &json!({"trapped": true})));
    let trap_url = trap.url();
    let port = trap.port();
    let places = vec![
        format!("{trap_url}/stolen"),
        format!("http://localhost:{port}/stolen"),
        format!("http://127.0.0.1:{port}/stolen"),
        format!("//127.0.0.1:{port}/stolen"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "https://elsewhere.example.test/".to_owned(),
        "/again".to_owned(),
    ];
    let targets = places.clone();
    let service = Service::start(move |request| {
        let query = request.target.split_once('?').map_or("", |(_, query)| query);
        let (status, place) = query.split_once('-').unwrap_or(("302", "6"));
        Reply::redirect(status.parse().unwrap_or(302), &targets[place.parse::<usize>().unwrap_or(6)])
    });
    let base = format!("{}/", service.url());
    let access = with_token(Network::new().expect("TLS"), vec![pinned(&base)], true, TOKEN);
    let (mut shown, mut asked, mut let_out) = (0, 0, Vec::new());
    for status in [301, 302, 303, 307, 308] {
        for (number, place) in places.iter().enumerate() {
            for method in ["GET", "POST"] {
                asked += 1;
                let answer = send(
                    &plugin,
                    &access,
                    &base,
                    &json!({"method": method, "path": format!("/from?{status}-{number}")}),
                );
                let location = answer["headers"].as_array().into_iter().flatten().find(|pair| pair[0] == "location");
                shown += usize::from(answer["status"] == status && location.is_some_and(|pair| pair[1] == **place));
            }
            // The guest may try the next hop itself: it is a new request, and checked.
            let Some((scheme, rest)) = place.split_once("://") else { continue };
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let hop = json!({"scheme": scheme, "authority": authority, "path": format!("/{path}")});
            if send(&plugin, &access, &base, &hop)["refused"].is_null() {
                let_out.push(place.clone());
            }
        }
    }
    let leaked = trap.requests().len();
    let followed = service.requests().len() - asked;
    let carried = service.requests().iter().filter(|request| request.header("authorization").is_some()).count();
    figure(
        "N3",
        "301, 302, 303, 307, 308 to other hosts, inside, down to http, in a loop",
        "credentials leaked: 0; nothing followed",
        format!(
            "{shown} of {asked} shown to the guest, {followed} followed, {leaked} arrived elsewhere, {} hops let out",
            let_out.len()
        ),
        shown == asked && followed == 0 && leaked == 0 && let_out.is_empty() && carried == asked,
    );
}

/// Ways to write another place so that it may pass for `http://127.0.0.1:PORT/jira/`, as scheme,
/// authority and path. PORT is replaced.
const TRICKS: &[(&str, &str, &str)] = &[
    ("http", "localhost:PORT", "/jira/x"),
    ("http", "LOCALHOST:PORT", "/jira/x"),
    ("http", "127.0.0.1.:PORT", "/jira/x"),
    ("http", "localhost.:PORT", "/jira/x"),
    ("http", "127.1:PORT", "/jira/x"),
    ("http", "127.0.1:PORT", "/jira/x"),
    ("http", "2130706433:PORT", "/jira/x"),
    ("http", "0x7f000001:PORT", "/jira/x"),
    ("http", "0x7f.0.0.1:PORT", "/jira/x"),
    ("http", "0177.0.0.1:PORT", "/jira/x"),
    ("http", "127.0.0.2:PORT", "/jira/x"),
    ("http", "0.0.0.0:PORT", "/jira/x"),
    ("http", "[::1]:PORT", "/jira/x"),
    ("http", "[::ffff:127.0.0.1]:PORT", "/jira/x"),
    ("http", "user@127.0.0.1:PORT", "/jira/x"),
    ("http", "user:word@127.0.0.1:PORT", "/jira/x"),
    ("http", "@127.0.0.1:PORT", "/jira/x"),
    ("http", "127.0.0.1:PORT@localhost:PORT", "/jira/x"),
    ("http", "127.0.0.1@localhost:PORT", "/jira/x"),
    ("http", "127.0.0.1:PORT%40localhost:PORT", "/jira/x"),
    ("http", "127.0.0.1%2eexample.test:PORT", "/jira/x"),
    ("http", "127.0.0.1.example.test:PORT", "/jira/x"),
    ("http", "127.0.0.1:PORT.example.test", "/jira/x"),
    ("http", "127.0.0.1:PORT#localhost", "/jira/x"),
    ("http", "127.0.0.1:PORT?localhost", "/jira/x"),
    ("http", "127.0.0.1:PORT\\localhost", "/jira/x"),
    ("http", "127.0.0.1:0PORT", "/jira/x"),
    ("http", "127.0.0.1:", "/jira/x"),
    ("http", "127.0.0.1", "/jira/x"),
    ("http", "127.0.0.1:0", "/jira/x"),
    ("http", "127.0.0.1:80", "/jira/x"),
    ("http", "127.0.0.1:PORT ", "/jira/x"),
    ("http", " 127.0.0.1:PORT", "/jira/x"),
    ("http", "127。0。0。1:PORT", "/jira/x"),
    ("http", "１２７.0.0.1:PORT", "/jira/x"),
    ("https", "127.0.0.1:PORT", "/jira/x"),
    ("ftp", "127.0.0.1:PORT", "/jira/x"),
    ("file", "127.0.0.1:PORT", "/jira/x"),
    ("HTTP ", "127.0.0.1:PORT", "/jira/x"),
    ("http", "127.0.0.1:PORT", "/"),
    ("http", "127.0.0.1:PORT", "/jira"),
    ("http", "127.0.0.1:PORT", "/jirax/x"),
    ("http", "127.0.0.1:PORT", "/Jira/x"),
    ("http", "127.0.0.1:PORT", "/admin"),
    ("http", "127.0.0.1:PORT", "//jira/x"),
    ("http", "127.0.0.1:PORT", "//localhost:PORT/jira/x"),
    ("http", "127.0.0.1:PORT", "/jira/../admin"),
    ("http", "127.0.0.1:PORT", "/jira/./../admin"),
    ("http", "127.0.0.1:PORT", "/jira/.."),
    ("http", "127.0.0.1:PORT", "/jira/%2e%2e/admin"),
    ("http", "127.0.0.1:PORT", "/jira/%2E./admin"),
    ("http", "127.0.0.1:PORT", "/jira/.%2e/admin"),
    ("http", "127.0.0.1:PORT", "/jira/%252e%252e/admin"),
    ("http", "127.0.0.1:PORT", "/jira/..;/admin"),
    ("http", "127.0.0.1:PORT", "/jira/..%2fadmin"),
    ("http", "127.0.0.1:PORT", "/jira/..%5cadmin"),
    ("http", "127.0.0.1:PORT", "/jira/..\\admin"),
    ("http", "127.0.0.1:PORT", "/%6aira/x"),
    ("http", "127.0.0.1:PORT", "/jira%2fx"),
    ("http", "127.0.0.1:PORT", "?/jira/"),
    ("http", "127.0.0.1:PORT", "http://localhost:PORT/jira/"),
    ("http", "127.0.0.1:PORT", "@localhost:PORT/jira/"),
];

#[test]
fn n5_no_spelling_of_another_place_passes_for_the_pinned_one() {
    let plugin = hostile(patient());
    let service = Service::start(|_| Reply::json(200, &json!({})));
    let base = format!("{}/jira/", service.url());
    let access = with_token(Network::new().expect("TLS"), vec![pinned(&base)], true, TOKEN);
    let port = service.port().to_string();
    let fine = send(&plugin, &access, &base, &json!({"path": "/jira/x"}));
    assert_eq!(fine["status"], 200, "the pinned place itself is reached: {fine}");
    let reached = service.requests().len();
    let (mut bypassed, mut denied) = (Vec::new(), 0);
    for (scheme, authority, path) in TRICKS {
        let place = |text: &str| text.replace("PORT", &port);
        let request = json!({"scheme": scheme, "authority": place(authority), "path": place(path)});
        let recorder = Recorder::default();
        let answer = send(&plugin, &access.clone().with_recorder(recorder.clone()), &base, &request);
        // Either no such request can be made, or the host denied it: that nothing listens there is no merit.
        let record = recorder.snapshot();
        denied += usize::from(record.denial().is_some());
        if answer["refused"].is_null() || (record.denial().is_none() && !record.requests.is_empty()) {
            bypassed.push(format!("{scheme}://{authority}{path}"));
        }
    }
    let arrived = service.requests().len() - reached;
    figure(
        "N5",
        "the guest spells other places so that they may pass for the pinned one",
        "0 bypasses of ≥ 50",
        format!(
            "{} bypasses of {} ({denied} denied by the host, the others cannot be written), {arrived} requests arrived{}",
            bypassed.len(),
            TRICKS.len(),
            if bypassed.is_empty() { String::new() } else { format!(": {bypassed:?}") }
        ),
        bypassed.is_empty() && arrived == 0 && denied >= 30 && TRICKS.len() >= 50,
    );
}
