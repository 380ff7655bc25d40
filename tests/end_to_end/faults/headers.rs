//! A16: a credential is written into its header as its scheme has it, or not at all.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use host_harness::authorize::{Access, Credential};
use host_harness::clock::SystemClock;
use host_harness::egress::{Network, Policy};
use host_harness::store::Store;
use host_harness::vault::{LockoutGuard, Secret, Space, Vault};
use serde_json::{Value, json};

use super::cell::{call, hostile, patient, pinned, run_with};
use crate::draw::Draw;
use crate::figure::{exceptions, figure};
use crate::runtime::wait_for;
use crate::service::{Reply, Request, Service};

/// How many credentials are drawn.
const DRAWN: usize = 1_500;

/// What a header may hold, and what may end it, begin another, or not be one.
const GOOD: &[u8] = b"abcABC0189-._~+/=!#$%&'*^`|(){}[]<>@,;?\"\\";
const BAD: [&str; 14] =
    ["\r\n", "\n", "\r", " ", "\t", "\0", "\u{7f}", "ä", "\u{2028}", "🔑", "\r\nx-more: y", "\n x", "\u{85}", "\u{a0}"];

/// A secret, and whether it fits into a header.
fn drawn(draw: &mut Draw) -> (String, bool) {
    let mut secret: String =
        (0..8 + draw.below(40)).map(|_| char::from(GOOD[draw.below(GOOD.len() as u64) as usize])).collect();
    let fits = !draw.next().is_multiple_of(3);
    if !fits {
        let place = draw.below(secret.len() as u64 + 1) as usize;
        secret.insert_str(place, BAD[draw.below(BAD.len() as u64) as usize]);
    }
    (secret, fits)
}

#[test]
fn a16_a_credential_is_written_as_its_scheme_has_it_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = SystemClock::shared();
    let store = Arc::new(Store::open(&folder.path().join("store.db")).expect("a store"));
    let vault = Vault::open(&folder.path().join("key"), Arc::clone(&store), clock.clone()).expect("a vault");
    let last = Arc::<Mutex<Option<Request>>>::default();
    let kept = Arc::clone(&last);
    let service = Service::start(move |request| {
        *kept.lock().expect("nothing panicked here") = Some(request.clone());
        Reply::json(200, &json!({}))
    });
    let base = format!("{}/", service.url());
    let (plugin, network) = (hostile(patient()), Network::new().expect("TLS"));
    let call = call("c", &json!({"base-url": base}));
    let guard = LockoutGuard::new(store, clock);
    let scheme = |json: Value| serde_json::from_value(json).expect("a scheme");
    let schemes = [
        scheme(json!({"type": "bearer", "token": {"secret": "token"}})),
        scheme(json!({"type": "basic", "username": {"field": "name"}, "password": {"secret": "token"}})),
        scheme(json!({"type": "api-key", "in": "header", "name": "x-key", "key": {"secret": "token"}})),
    ];
    let names = |request: &Request| -> BTreeSet<String> {
        request.headers.iter().map(|(name, _)| name.to_lowercase()).collect()
    };
    let (mut draw, mut wrong, mut sent, mut refused) = (Draw(6750), Vec::new(), 0, 0);
    let mut usual = None;
    for number in 0..DRAWN {
        let (secret, fits) = drawn(&mut draw);
        vault.put(Space::Connection, "c", "token", &Secret::new(&secret)).expect("the vault takes it");
        let which = number % schemes.len();
        let built = Credential::from_vault(&schemes[which], &json!({"name": "somebody"}), &vault, "c");
        // Of a password only what controls is no text; the rest is Base64's.
        let allowed = fits || (which == 1 && !secret.chars().any(char::is_control));
        let Ok(credential) = built else {
            refused += 1;
            wrong.extend(allowed.then(|| format!("refused: {secret:?}")));
            continue;
        };
        wrong.extend((!allowed).then(|| format!("taken: {secret:?}")));
        let (header, due) = match which {
            0 => ("authorization", format!("Bearer {secret}")),
            1 => ("authorization", format!("Basic {}", STANDARD.encode(format!("somebody:{secret}")))),
            _ => ("x-key", secret.clone()),
        };
        let access = Access::new(network.clone(), Policy::new(vec![pinned(&base)], true), "c").with_credential(
            credential,
            Vec::new(),
            guard.clone(),
            "tenant/account",
        );
        let answer = wait_for(run_with(&plugin, &access, &call, "send", &json!({"request": {"path": "/"}})));
        let arrived = last.lock().expect("nothing panicked here").take();
        sent += usize::from(arrived.is_some());
        let Some(arrived) = arrived else {
            wrong.push(format!("not sent: {secret:?}: {answer:?}"));
            continue;
        };
        let values: Vec<&str> =
            arrived.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(header)).map(|(_, v)| &**v).collect();
        let mut others = names(&arrived);
        others.remove(header);
        let usual = usual.get_or_insert_with(|| others.clone());
        if values != [due.as_str()] || others != *usual || !arrived.body.is_empty() {
            wrong.push(format!("{secret:?}: {:?}", arrived.headers));
        }
    }
    figure(
        "A16",
        "drawn tokens, passwords and keys, a third with line ends, blanks, controls or letters in them, through the guest to a service",
        "`Bearer`, one blank, the token; no CR or LF: 0 bad",
        format!(
            "{} bad of {DRAWN}: {sent} arrived as due, {refused} were refused before{}",
            wrong.len(),
            exceptions(&wrong[..wrong.len().min(3)])
        ),
        wrong.is_empty() && sent > DRAWN / 2 && refused > DRAWN / 6,
    );
}
