//! Authorizing in a browser: the test goes where the printed address leads.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::Stage;
use crate::beacon::sign_in::{CLIENT, CLIENT_SECRET};
use crate::built;
use crate::harness::{Outcome, free_address};
use crate::http;
use crate::simulator::{eventually, text};

const NOTE: &str = "name: note
on: { event: beacon-lit, connection: harbour, filter: { colours: [red] } }
steps:
  - { id: note, action: light-beacon, connection: harbour, input: { name: noted, colour: green } }
";

impl Stage {
    /// A stage with the OAuth client `app` and two harbours to choose from.
    pub(super) fn with_client() -> Self {
        let stage = Self::new();
        stage.beacon.sign_in().reaches(&[("north", "Twin"), ("south", "Twin")]);
        stage.client("app", "sign-in", &["--set", &format!("client-id={CLIENT}")]);
        stage
    }

    fn client(&self, name: &str, method: &str, more: &[&str]) {
        let component = built::component("guest_beacon");
        let component = component.to_string_lossy();
        let callback = format!("http://{}/callback", free_address());
        let secret = format!("client-secret=@{}", self.host.file("client-secret", CLIENT_SECRET).display());
        let mut arguments =
            vec!["oauth-client", "add", name, "--connector", &component, "--method", method, "--callback", &callback];
        if method == "sign-in" {
            arguments.extend(["--secret", &secret]);
        }
        arguments.extend(more);
        self.host.run(&arguments).expect(0);
    }

    /// Runs a command that waits for a browser, which goes where the printed address leads.
    fn with_browser(&self, arguments: &[&str]) -> (Outcome, http::Answer) {
        let (command, told) = self.host.start_telling(arguments);
        let page = http::browse(&address(&told));
        (command.finish(), page)
    }

    fn sign_in(&self, name: &str, more: &[&str]) -> (Outcome, http::Answer) {
        let component = built::component("guest_beacon");
        let component = component.to_string_lossy();
        let login = format!("login-url={}", self.beacon.url());
        let arguments =
            ["connection", "add", name, "--connector", &component, "--method", "sign-in", "--allow-private"];
        self.with_browser(&[&arguments[..], &["--set", &login], more].concat())
    }
}

/// The address that a command told to open.
pub(crate) fn address(told: &Path) -> String {
    eventually("the address to open", || {
        let told = std::fs::read_to_string(told).unwrap_or_default();
        let (_, rest) = told.split_once("open this address")?;
        // A whole line: the rest of it may be on its way.
        let line = rest.split_inclusive('\n').map(str::trim_start).find(|line| line.starts_with("http"));
        line.filter(|line| line.ends_with('\n')).map(|line| line.trim_end().to_owned())
    })
}

#[test]
fn a_person_signs_in_and_the_site_is_chosen_by_its_address_or_id_only() {
    let stage = Stage::with_client();
    let (added, page) = stage.sign_in("harbour", &[]);
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("go back to the terminal"), "{page:?}");
    assert_eq!(stage.beacon.sign_in().asked(), "read write offline");
    // Signed in, and nobody chose for the person.
    let open = added.fails(2, "host.site-open");
    for part in ["north", "south", "--site URL"] {
        assert!(text(&open["remedy"]).contains(part), "{open:#}");
    }
    stage.host.run(&["connection", "check", "harbour"]).fails(2, "host.site-open");
    assert_eq!(stage.shown("harbour")["state"], "no site chosen");
    let reauthorize = |site: &str| stage.host.run(&["connection", "reauthorize", "harbour", "--site", site]);
    reauthorize("Twin").fails(2, "host.site-unknown");
    let chosen = reauthorize("south").expect(0);
    assert_eq!(chosen["connections"][0]["health"]["identity"]["tenant"], "workspace-south", "{chosen:#}");
    assert_eq!(stage.shown("harbour")["settings"]["site-id"], "south");
    let light = json!({"name": "mole", "colour": "red"}).to_string();
    stage.host.run(&["run", "light-beacon", "--connection", "harbour", "--input", &light]).expect(0);

    // The same person, another site: no browser.
    let north = format!("{}north/", stage.beacon.url());
    let second = stage.add("second", &["--share", "harbour", "--set", &login(&stage), "--site", &north]).expect(0);
    assert_eq!(second["health"]["identity"]["tenant"], "workspace-north", "{second:#}");
    for secret in ["fake-access", "fake-refresh", "fake-code", CLIENT_SECRET] {
        assert!(!stage.host.said().contains(secret), "{secret} was shown");
    }
}

fn login(stage: &Stage) -> String {
    format!("login-url={}", stage.beacon.url())
}

#[test]
fn the_only_site_is_chosen_and_named() {
    let stage = Stage::with_client();
    stage.beacon.sign_in().reaches(&[("north", "Only one")]);
    let (added, _) = stage.sign_in("harbour", &[]);
    let added = added.expect(0);
    assert_eq!(added["connection"]["settings"]["site-id"], "north", "{added:#}");
    stage.beacon.sign_in().reaches(&[]);
    let none = stage.add("none", &["--share", "harbour", "--set", &login(&stage)]);
    none.fails(2, "host.site-none");
}

#[test]
fn no_site_brings_tokens_to_another_address_than_they_were_got_at() {
    let stage = Stage::with_client();
    let inside = format!("{}elsewhere/", stage.beacon.url());
    for (elsewhere, word) in [
        ("http://127.0.0.1:9/", "the credential to http://127.0.0.1:9/, which nobody has confirmed"),
        (inside.as_str(), "renewed"),
    ] {
        stage.beacon.sign_in().reaches_one_that_lies(elsewhere);
        let (added, _) = stage.sign_in("harbour", &[]);
        let error = added.fails(1, "host.site-outside");
        assert!(text(&error["message"]).contains(word), "{error:#}");
        assert_eq!(stage.shown("harbour")["settings"]["login-url"], stage.beacon.url());
        assert_eq!(stage.shown("harbour")["state"], "no site chosen");
        stage.host.run(&["connection", "remove", "harbour"]).expect(0);
    }
}

#[test]
fn who_says_no_leaves_a_connection_that_can_be_authorized_later() {
    let stage = Stage::with_client();
    stage.beacon.sign_in().refuses(true);
    let (refused, _) = stage.sign_in("harbour", &["--site", "north"]);
    assert_eq!(refused.code, 2, "{refused:#?}");
    let error = refused.json()["error"].clone();
    assert!(text(&error["message"]).contains("not authorized"), "{error:#}");
    assert!(text(&error["remedy"]).contains("connection reauthorize harbour"), "{error:#}");
    assert_eq!(stage.shown("harbour")["state"], "not authorized");
    let check = stage.host.run(&["connection", "check", "harbour"]).fails(2, "host.not-authorized");
    assert!(text(&check["remedy"]).contains("connection reauthorize"), "{check:#}");

    stage.beacon.sign_in().refuses(false);
    let (authorized, _) = stage.with_browser(&["connection", "reauthorize", "harbour", "--site", "north"]);
    assert_eq!(authorized.expect(0)["connections"][0]["health"]["proven"], true);
    assert_eq!(stage.shown("harbour")["state"], "proven");
}

#[test]
fn authorizing_anew_heals_all_that_share_a_grant_that_ended() {
    let stage = Stage::with_client();
    let (added, _) = stage.sign_in("harbour", &["--site", "north"]);
    added.expect(0);
    stage.add("south", &["--share", "harbour", "--set", &login(&stage), "--site", "south"]).expect(0);
    stage.beacon.sign_in().revoke();
    for name in ["harbour", "south"] {
        let broken = stage.host.run(&["connection", "check", name]);
        assert_eq!(broken.code, 3, "{broken:#?}");
    }
    let over = || stage.host.run(&["alarms"]).list().iter().filter(|one| one["code"] == "host.grant-dead").count();
    assert_eq!(over(), 1);
    let (again, _) = stage.with_browser(&["connection", "reauthorize", "south"]);
    assert_eq!(over(), 0, "whichever of them it was told of");
    let again = again.expect(0);
    let reports = again["connections"].as_array().cloned().unwrap_or_default();
    assert_eq!(reports.len(), 2, "{again:#}");
    assert!(reports.iter().all(|one| one["health"]["proven"] == true), "{again:#}");
    let settled = stage.host.run(&["connection", "show", "harbour"]).expect(0);
    assert_eq!(settled["settings"]["site-id"], "north", "the site that was chosen stays: {settled:#}");
}

#[test]
fn runs_wait_for_an_authorization_that_is_over_until_somebody_renews_it() {
    let stage = Stage::with_client();
    stage.beacon.sign_in().lasts(2);
    let (added, _) = stage.sign_in("harbour", &["--site", "north"]);
    added.expect(0);
    stage.host.file("flows/note.yaml", NOTE);
    let _serving = stage.host.serve(&["--flows", "flows"]);
    eventually("the webhook", || Some(()).filter(|()| stage.beacon.hooks().len() == 1));
    stage.beacon.sign_in().revoke();
    // The time of its last tokens passes.
    std::thread::sleep(Duration::from_millis(2500));
    stage.beacon.light_one();
    let run = |state: &str| {
        let runs = stage.host.run(&["runs", "list"]).list();
        assert!(runs.iter().all(|run| run["state"] != "failed"), "{runs:#?}");
        runs.into_iter().find(|run| run["state"] == state)
    };
    let waits = eventually("the run to wait", || run("waiting"));
    assert_eq!(waits["failure"]["code"], "host.grant-dead", "{waits:#}");
    assert_eq!(stage.shown("harbour")["state"], "to be reauthorized");
    stage.with_browser(&["connection", "reauthorize", "harbour"]).0.expect(0);
    eventually("the run to go on", || run("done"));
    assert!(stage.beacon.beacons().iter().any(|beacon| beacon["name"] == "noted"));
}

#[test]
fn a_flow_whose_connection_is_authorized_while_the_host_serves_runs_from_then_on() {
    let stage = Stage::with_client();
    stage.beacon.sign_in().refuses(true);
    let (refused, _) = stage.sign_in("harbour", &["--site", "north"]);
    assert_ne!(refused.code, 0, "{refused:#?}");
    assert_eq!(stage.shown("harbour")["state"], "not authorized");
    stage.host.file("flows/note.yaml", NOTE);
    let serving = stage.host.serve(&["--flows", "flows", "--admin", "127.0.0.1:0"]);
    let aside = || {
        let alarms = stage.host.run(&["alarms"]).list();
        alarms.into_iter().filter(|alarm| alarm["code"] == "host.flow-set-aside").count()
    };
    assert_eq!(aside(), 1);
    let troubles = || serving.admin("/readyz").json()["troubles"].to_string();
    assert!(troubles().contains("host.flow-set-aside"), "{}", troubles());
    stage.beacon.sign_in().refuses(false);
    stage.with_browser(&["connection", "reauthorize", "harbour", "--site", "north"]).0.expect(0);
    eventually("the webhook", || Some(()).filter(|()| stage.beacon.hooks().len() == 1));
    assert!(aside() == 0 && !troubles().contains("host.flow-set-aside"), "{}", troubles());
    stage.beacon.light_one();
    let done = || stage.host.run(&["runs", "list"]).list().into_iter().find(|run| run["state"] == "done");
    eventually("the run", done);
}

#[test]
fn a_sign_in_that_is_away_for_now_is_said_so_and_when_it_is_asked_again() {
    let stage = Stage::with_client();
    stage.beacon.sign_in().lasts(1);
    let (added, _) = stage.sign_in("harbour", &["--site", "north"]);
    added.expect(0);
    stage.beacon.sign_in().is_away(true);
    std::thread::sleep(Duration::from_millis(1500));
    let light = json!({"name": "mole", "colour": "red"}).to_string();
    let run = || stage.host.run(&["run", "light-beacon", "--connection", "harbour", "--input", &light]);
    let failed = run().fails(4, "host.not-renewed-now");
    let message = text(&failed["message"]);
    assert!(message.contains("could not be renewed just now") && message.contains("again in 7 s"), "{failed:#}");
    assert!(!message.contains("reach"), "{failed:#}");
    assert!(stage.beacon.beacons().is_empty());
    stage.beacon.sign_in().is_away(false);
    // Nobody asks again so soon, unless a person says that it is put right.
    run().fails(4, "host.not-renewed-now");
    stage.host.run(&["connection", "check", "harbour", "--release"]).expect(0);
    run().expect(0);
}

#[test]
fn a_client_whose_secret_was_changed_at_the_service_is_named_with_what_to_do() {
    let stage = Stage::with_client();
    stage.beacon.sign_in().lasts(1);
    let (added, _) = stage.sign_in("harbour", &["--site", "north"]);
    added.expect(0);
    stage.beacon.sign_in().has_another_secret("a-new-secret-not-real");
    std::thread::sleep(Duration::from_millis(1500));
    let command = "harness oauth-client edit app --secret client-secret=@FILE";
    let light = json!({"name": "mole", "colour": "red"}).to_string();
    let run = || stage.host.run(&["run", "light-beacon", "--connection", "harbour", "--input", &light]);
    let check = || stage.host.run(&["connection", "check", "harbour"]);
    for outcome in [run(), check(), run()] {
        let failed = outcome.fails(3, "host.client-refused");
        assert!(text(&failed["remedy"]).contains(command) && failed["who"] == "user", "{failed:#}");
        assert!(text(&failed["message"]).contains("invalid_client"), "{failed:#}");
    }
    let report = check().json();
    let findings = report["health"]["findings"].as_array().or(report["findings"].as_array()).expect("findings");
    let bad: Vec<_> = findings.iter().filter(|one| one["outcome"] != "passed").collect();
    assert!(bad.len() == 1 && bad[0]["outcome"] == "failed", "{report:#}");
    let secret = format!("client-secret=@{}", stage.host.file("new-secret", "a-new-secret-not-real").display());
    stage.host.run(&["oauth-client", "edit", "app", "--secret", &secret]).expect(0);
    run().expect(0);
    check().expect(0);
}

#[test]
fn with_a_detour_the_browser_is_sent_where_requests_go() {
    let mut stage = Stage::with_client();
    let beacon = stage.beacon.url().trim_end_matches('/').to_owned();
    stage.host.set("HARNESS_CONNECT_TO", &format!("https://harbour.example.test={beacon}"));
    let component = built::component("guest_beacon");
    let component = component.to_string_lossy();
    let set = ["--set", "login-url=https://harbour.example.test/"];
    let add = ["connection", "add", "far", "--connector", &component, "--method", "sign-in", "--site", "north"];
    let (command, told) = stage.host.start_telling(&[&add[..], &set].concat());
    let shown = address(&told);
    assert!(shown.starts_with(&format!("{beacon}/authorize?")), "{shown}");
    assert_eq!(http::browse(&shown).status, 200);
    command.finish().expect(0);
    let origins = stage.shown("far")["origins"].to_string();
    assert!(origins.contains("https://harbour.example.test/") && !origins.contains("127.0.0.1"), "{origins}");
    let (command, told) = stage.host.start_telling(&["connection", "reauthorize", "far"]);
    let shown = address(&told);
    assert!(shown.starts_with(&format!("{beacon}/authorize?")), "{shown}");
    http::browse(&shown);
    command.finish().expect(0);
}

#[test]
fn an_answer_that_is_not_awaited_changes_nothing() {
    let stage = Stage::with_client();
    let component = built::component("guest_beacon");
    let (component, login) = (component.to_string_lossy(), login(&stage));
    let arguments = ["connection", "add", "harbour", "--connector", &component, "--method", "sign-in"];
    let (command, told) =
        stage.host.start_telling(&[&arguments[..], &["--set", &login, "--site", "north", "--allow-private"]].concat());
    let address = address(&told);
    let back = http::leads_to(&address);
    let mut forged = url::Url::parse(&back).expect("an address");
    forged.set_query(Some("code=fake-code-1&state=forged"));
    assert_eq!(http::browse(forged.as_str()).status, 400);
    forged.set_path("/elsewhere");
    assert_eq!(http::browse(forged.as_str()).status, 404);
    assert_eq!(http::browse(&back).status, 200);
    command.finish().expect(0);
}

#[test]
fn without_a_browser_here_the_address_is_pasted() {
    let stage = Stage::new();
    stage.beacon.sign_in().reaches(&[("north", "North")]);
    stage.client("app", "sign-in", &["--set", &format!("client-id={CLIENT}")]);
    let component = built::component("guest_beacon");
    let component = component.to_string_lossy();
    let login = login(&stage);
    let arguments = ["connection", "add", "harbour", "--connector", &component, "--method", "sign-in", "--paste"];
    let arguments = [&arguments[..], &["--set", &login, "--allow-private"]].concat();
    let nothing = stage.host.run(&arguments);
    assert_eq!(nothing.fails(2, "host.callback")["kind"], "bad-input");
    assert_eq!(stage.shown("harbour")["state"], "not authorized");
    let other = stage.host.run_with(&["connection", "reauthorize", "harbour", "--paste"], "http://127.0.0.1:1/?code=x");
    other.fails(2, "host.callback");
}

#[test]
fn an_application_link_is_made_with_a_key_pair_of_the_hosts() {
    let stage = Stage::new();
    stage.client("link", "link", &[]);
    let component = built::component("guest_beacon");
    let (component, base) = (component.to_string_lossy(), format!("base-url={}", stage.beacon.url()));
    let arguments = ["connection", "add", "harbour", "--connector", &component, "--method", "link"];
    let (added, page) = stage.with_browser(&[&arguments[..], &["--set", &base, "--allow-private"]].concat());
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(added.expect(0)["health"]["identity"]["tenant"], "workspace-1");
}
