//! Connections as people make and change them: shared credentials, other secrets, names and addresses, OAuth clients,
//! the browser, and what is asked for in a terminal. With the neutral connector: none of it is Jira's.

pub(crate) mod browser;
#[cfg(target_os = "linux")]
mod terminal;

use serde_json::{Value, json};

use crate::beacon::service::{Beacon, KEY};
use crate::built;
use crate::harness::{Harness, Outcome};
use crate::simulator::text;

/// A Beacon and a host that do not know of each other.
struct Stage {
    beacon: Beacon,
    host: Harness,
}

impl Stage {
    fn new() -> Self {
        Self { beacon: Beacon::start(), host: Harness::new() }
    }

    /// With a proven connection `harbour`.
    fn connected() -> Self {
        let stage = Self::new();
        stage.connect("harbour", KEY).expect(0);
        stage
    }

    fn connect(&self, name: &str, key: &str) -> Outcome {
        let key = self.key(key);
        let base = format!("base-url={}", self.beacon.url());
        self.add(name, &["--method", "api-key", "--set", &base, "--secret", &key])
    }

    /// A secret of the form, in a file.
    fn key(&self, key: &str) -> String {
        format!("key=@{}", self.host.file("key", key).display())
    }

    fn add(&self, name: &str, more: &[&str]) -> Outcome {
        let component = built::component("guest_beacon");
        let component = component.to_string_lossy();
        let arguments = ["connection", "add", name, "--connector", &component, "--allow-private"];
        self.host.run(&[&arguments[..], more].concat())
    }

    fn shown(&self, name: &str) -> Value {
        self.host.run(&["connection", "show", name]).expect(0)
    }
}

#[test]
fn a_credential_is_kept_once_and_replacing_it_heals_all_that_share_it() {
    let stage = Stage::connected();
    let north = format!("base-url={}north/", stage.beacon.url());
    let shared = stage.add("north", &["--share", "harbour", "--set", &north]).expect(0);
    assert_eq!(shared["health"]["identity"]["tenant"], "workspace-north", "{shared:#}");
    assert_eq!(stage.shown("harbour")["credential"]["shared-with"], json!(["north"]));

    stage.beacon.change_key("another-key-not-a-real-secret");
    for name in ["harbour", "north"] {
        assert_eq!(stage.host.run(&["connection", "check", name]).code, 3);
        assert_eq!(stage.host.run(&["connection", "check", name]).code, 3);
    }
    let refused = stage.beacon.refused();
    assert_eq!(refused, 2, "however many share a dead key, it is sent twice");
    let key = stage.key("another-key-not-a-real-secret");
    let replaced = stage.host.run(&["connection", "replace-credential", "north", "--secret", &key]).expect(0);
    assert_eq!(replaced["replaced"], json!(["harbour", "north"]));
    let proven = replaced["connections"].as_array().expect("a report of each").iter();
    assert!(proven.clone().count() == 2 && proven.clone().all(|one| one["health"]["proven"] == true), "{replaced:#}");
    assert_eq!(stage.beacon.refused(), refused, "the new one was not held for what the old one did");

    // The credential goes with the last that uses it.
    stage.host.run(&["connection", "remove", "harbour"]).expect(0);
    stage.host.run(&["connection", "check", "north"]).expect(0);
}

#[test]
fn a_new_connection_that_shares_is_asked_for_its_own_fields_only() {
    let stage = Stage::connected();
    let key = stage.key(KEY);
    let base = format!("base-url={}north/", stage.beacon.url());
    let both = stage.add("north", &["--share", "harbour", "--set", &base, "--secret", &key]);
    assert_eq!(both.code, 2, "{both:#?}");
    let missing = stage.add("north", &["--share", "harbour"]).fails(2, "host.input-missing");
    assert_eq!(missing["fields"].as_array().map(Vec::len), Some(1), "{missing:#}");
    assert_eq!(missing["fields"][0]["pointer"], "/base-url");
    let other = stage.add("north", &["--share", "harbour", "--method", "link", "--set", &base]);
    other.fails(2, "host.share-other");
}

#[test]
fn all_that_is_missing_is_named_at_once_where_nobody_can_be_asked() {
    let stage = Stage::new();
    let component = built::component("guest_beacon");
    let component = component.to_string_lossy();
    let nothing = stage.host.run(&["connection", "add"]).fails(2, "host.input-missing");
    assert!(text(&nothing["message"]).contains("--connector"), "{nothing:#}");
    let no_method = stage.host.run(&["connection", "add", "--connector", &component]).fails(2, "host.input-missing");
    for part in ["NAME", "--method api-key|sign-in|link"] {
        assert!(text(&no_method["message"]).contains(part), "{no_method:#}");
    }
    let fields = stage.add("harbour", &["--method", "api-key"]).fails(2, "host.input-missing");
    for part in ["--set base-url=", "--secret key=@FILE"] {
        assert!(text(&fields["message"]).contains(part), "{fields:#}");
    }
    let client = stage.add("harbour", &["--method", "sign-in"]).fails(2, "host.input-missing");
    for part in ["oauth-client add", "--set login-url="] {
        assert!(text(&client["message"]).contains(part), "{client:#}");
    }
    assert!(stage.host.run(&["connection", "list"]).list().is_empty());
}

#[test]
fn what_came_along_with_a_pasted_secret_is_taken_off_and_said() {
    let stage = Stage::new();
    let added = stage.connect("harbour", &format!(" \"{KEY}\"\n")).expect(0);
    assert!(added["corrections"].to_string().contains("quotes around the secret `key`"), "{added:#}");
    assert!(!stage.host.said().contains(KEY));
}

#[test]
fn an_address_may_change_as_long_as_the_same_tenant_is_there() {
    let stage = Stage::connected();
    let edit = |base: &str| {
        let (base, key) = (format!("base-url={base}"), stage.key(KEY));
        // Below where it goes already nothing has to be given once more.
        let more: &[&str] = if base.ends_with("moved/") { &[] } else { &["--secret", &key] };
        stage.host.run(&[&["connection", "edit", "harbour", "--set", &base][..], more].concat())
    };
    let moved = format!("{}moved/", stage.beacon.url());
    let edited = edit(&moved).expect(0);
    assert_eq!(edited["connection"]["origins"][0]["url"], json!(moved), "{edited:#}");
    assert_eq!(edited["health"]["proven"], true);

    let refused = edit(&format!("{}north/", stage.beacon.url()));
    let error = refused.fails(2, "host.other-tenant");
    assert!(text(&error["remedy"]).contains("connection add"), "{error:#}");
    let nowhere = edit("http://127.0.0.1:9/");
    assert_eq!(nowhere.fails(2, "host.tenant-unproved")["kind"], "bad-input");
    assert_eq!(stage.shown("harbour")["origins"][0]["url"], json!(moved), "nothing was changed");
    let secret = stage.host.run(&["connection", "edit", "harbour", "--set", "key=visible"]);
    assert!(text(&secret.fails(2, "host.field-of-credential")["remedy"]).contains("replace-credential"));
}

#[test]
fn a_place_inside_is_allowed_to_a_connection_that_is_there_already() {
    let stage = Stage::new();
    let component = built::component("guest_beacon");
    let (component, key) = (component.to_string_lossy(), stage.key(KEY));
    let closed = stage.beacon.url().replace("http://", "https://");
    let (closed, open) = (format!("base-url={closed}"), format!("base-url={}", stage.beacon.url()));
    let arguments = ["connection", "add", "harbour", "--connector", &component, "--method", "api-key"];
    let added = stage.host.run(&[&arguments[..], &["--set", &closed, "--secret", &key]].concat());
    assert!(added.code == 3 && added.stdout.contains("host.egress-denied"), "{added:#?}");
    assert!(added.stdout.contains("harness connection edit harbour --allow-private"), "{added:#?}");
    let edit = ["connection", "edit", "harbour", "--set", &open, "--secret", &key];
    stage.host.run(&edit).fails(2, "host.plain-http");
    let edited = stage.host.run(&[&edit[..], &["--allow-private"]].concat()).expect(0);
    assert_eq!(edited["connection"]["allow-private"], true, "{edited:#}");
    assert_eq!(edited["health"]["proven"], true, "{edited:#}");
}

#[test]
fn a_secret_goes_to_another_place_only_where_it_is_given_once_more() {
    let (stage, stranger, same) = (Stage::connected(), Beacon::start(), Beacon::start());
    stranger.change_key("a-stranger-knows-another-key");
    let reached = |beacon: &Beacon| beacon.calls().len() + beacon.refused();
    let edit = |beacon: &Beacon, more: &[&str]| {
        let base = format!("base-url={}", beacon.url());
        stage.host.run(&[&["connection", "edit", "harbour", "--set", &base][..], more].concat())
    };
    let asked = edit(&stranger, &[]).fails(2, "host.secret-again");
    assert!(text(&asked["message"]).contains(stranger.url()), "{asked:#}");
    assert!(text(&asked["remedy"]).contains("--secret key=@FILE"), "{asked:#}");
    edit(&stranger, &["--secret", &stage.key("something-else-not-a-secret")]).fails(2, "host.secret-differs");
    let there = format!("base-url={}", stranger.url());
    stage.add("second", &["--share", "harbour", "--set", &there]).fails(2, "host.secret-again");
    assert_eq!(reached(&stranger), 0, "nothing was sent before somebody meant it");

    // Meant, and refused there: that is nothing of the account's here.
    for _ in 0..3 {
        edit(&stranger, &["--secret", &stage.key(KEY)]).fails(2, "host.tenant-unproved");
    }
    assert!((1..=2).contains(&stranger.refused()), "{} times", stranger.refused());
    assert!(stage.host.run(&["alarms"]).list().is_empty(), "who tried it was told");
    stage.host.run(&["connection", "check", "harbour"]).expect(0);

    let there = format!("base-url={}", same.url());
    let key = stage.key(KEY);
    stage.add("second", &["--share", "harbour", "--set", &there, "--secret", &key]).expect(0);
    let edited = edit(&same, &[]).expect(0);
    assert_eq!(edited["connection"]["origins"][0]["url"], json!(same.url()), "it goes there already: {edited:#}");
}

#[test]
fn the_very_secret_that_was_refused_is_not_tried_again() {
    let stage = Stage::connected();
    stage.beacon.change_key("another-key-not-a-real-secret");
    for _ in 0..3 {
        stage.host.run(&["connection", "check", "harbour"]);
    }
    let refused = stage.beacon.refused();
    let replace = |key: &str| {
        let key = stage.key(key);
        stage.host.run(&["connection", "replace-credential", "harbour", "--secret", &key])
    };
    let same = replace(KEY).fails(2, "host.secret-refused");
    assert!(text(&same["remedy"]).contains("--release"), "{same:#}");
    assert_eq!((refused, stage.beacon.refused()), (2, 2));
    stage.host.run(&[
        "run",
        "light-beacon",
        "--connection",
        "harbour",
        "--input",
        "{\"name\":\"a\",\"colour\":\"red\"}",
    ]);
    assert_eq!(stage.beacon.refused(), 2, "it is held as before");
    replace("another-key-not-a-real-secret").expect(0);
}

#[test]
fn a_credential_that_works_is_replaced_only_by_one_that_is_accepted() {
    let stage = Stage::connected();
    let north = format!("base-url={}north/", stage.beacon.url());
    stage.add("north", &["--share", "harbour", "--set", &north]).expect(0);
    let replace = |key: &str, more: &[&str]| {
        let key = stage.key(key);
        stage.host.run(&[&["connection", "replace-credential", "harbour", "--secret", &key][..], more].concat())
    };
    let kept = replace("mistyped-not-a-real-secret", &[]);
    assert_eq!((kept.code, stage.beacon.refused()), (3, 1), "{kept:#?}");
    let error = kept.json()["error"].clone();
    assert!(text(&error["message"]).contains("nothing was replaced"), "{error:#}");
    for name in ["harbour", "north"] {
        assert_eq!(stage.shown(name)["state"], "proven");
        stage.host.run(&["connection", "check", name]).expect(0);
    }

    // Nothing is tried: what was reported of the one before says nothing of this one.
    replace("another-key-not-a-real-secret", &["--no-check"]).expect(0);
    assert_eq!(stage.beacon.refused(), 1);
    for name in ["harbour", "north"] {
        let shown = stage.shown(name);
        assert_eq!((&shown["state"], &shown["health"]), (&json!("unchecked"), &Value::Null), "{shown:#}");
    }
    stage.beacon.change_key("another-key-not-a-real-secret");
    stage.host.run(&["connection", "check", "harbour"]).expect(0);
    assert_eq!(
        (stage.shown("harbour")["state"].clone(), stage.shown("north")["state"].clone()),
        (json!("proven"), json!("unchecked"))
    );
}

#[test]
fn a_hold_is_a_line_of_the_report_and_is_listed_with_the_connection_that_caused_it() {
    let stage = Stage::connected();
    stage.beacon.change_key("another-key-not-a-real-secret");
    for _ in 0..2 {
        stage.host.run(&["connection", "check", "harbour"]);
    }
    let checked = stage.host.run(&["connection", "check", "harbour"]).expect(3);
    let findings = checked["findings"].as_array().expect("a report");
    let hold = findings.last().expect("a line");
    assert_eq!(
        (&hold["code"], &hold["outcome"], &hold["who"]),
        (&json!("host.account-held"), &json!("failed"), &json!("user"))
    );
    assert!(text(&hold["remedy"]).contains("replace-credential harbour"), "{hold:#}");
    let holds = stage.host.run(&["holds", "list"]).list();
    assert!(holds.iter().any(|one| one["connection"] == "harbour" && one["scope"]["kind"] == "account"), "{holds:?}");
    let alarms = stage.host.run(&["alarms"]).list();
    let told = alarms.iter().filter(|one| one["code"] == "host.account-held").count();
    assert_eq!(told, 1, "{alarms:#?}");
    stage.host.run(&["connection", "remove", "harbour"]).expect(0);
    assert!(stage.host.run(&["holds", "list"]).list().is_empty());
}

#[test]
fn a_connection_that_answers_for_another_tenant_proves_nothing_and_is_not_taken_over() {
    let stage = Stage::connected();
    let identity = stage.shown("harbour")["identity"].clone();
    // What the address leads to may change behind it.
    stage.beacon.become_another("workspace-2");
    let checked = stage.host.run(&["connection", "check", "harbour"]).expect(3);
    assert_eq!(checked["findings"][0]["code"], "host.other-tenant", "{checked:#}");
    assert_eq!(stage.shown("harbour")["identity"], identity);
}

#[test]
fn another_name_is_known_everywhere_at_once() {
    let stage = Stage::connected();
    stage.host.file(
        "flows/answer.yaml",
        r#"
name: answer-red
on: { event: beacon-lit, connection: harbour, filter: { colours: [red] } }
steps:
  - { id: answer, action: light-beacon, connection: harbour, input: { name: "to ${{ event.beacon }}", colour: green } }
"#,
    );
    let mut serving = stage.host.serve(&["--flows", "flows"]);
    crate::simulator::eventually("the webhook", || Some(()).filter(|()| stage.beacon.hooks().len() == 1));
    let red = json!({"name": "mole", "colour": "red"}).to_string();
    stage.host.run(&["run", "light-beacon", "--connection", "harbour", "--input", &red]).expect(0);
    let run = crate::simulator::eventually("the run", || {
        stage.host.run(&["runs", "list"]).list().into_iter().find(|run| run["state"] == "done")
    });
    serving.terminate();
    serving.ended();

    stage.host.run(&["connection", "rename", "harbour", "no good name"]).fails(2, "host.connection-name");
    stage.connect("other", KEY).expect(0);
    let taken = stage.host.run(&["connection", "rename", "harbour", "other"]).fails(2, "host.connection-exists");
    assert_eq!(taken["remedy"], "Choose another name.", "nobody loses a connection for a name: {taken:#}");
    let taken = stage.connect("other", KEY).fails(2, "host.connection-exists");
    assert!(!text(&taken["remedy"]).contains("remove"), "it works: {taken:#}");
    let base = format!("base-url={}", stage.beacon.url());
    let lost = ["--method", "api-key", "--set", &base, "--secret", &stage.key(KEY), "--no-check"];
    stage.add("begun", &lost).expect(0);
    let begun = stage.add("begun", &lost).fails(2, "host.connection-exists");
    assert!(text(&begun["remedy"]).contains("connection remove begun"), "{begun:#}");
    let renamed = stage.host.run(&["connection", "rename", "harbour", "port"]).expect(0);
    assert_eq!(renamed["flows"], json!(["answer-red"]), "its file is the person's: {renamed:#}");
    stage.host.run(&["connection", "check", "port"]).expect(0);
    assert_eq!(stage.host.run(&["connection", "show", "harbour"]).code, 2);
    let subscriptions = stage.host.run(&["subscriptions"]).expect(0).to_string();
    assert!(subscriptions.contains("\"port\"") && !subscriptions.contains("\"harbour\""), "{subscriptions}");
    let again = stage.host.run(&["runs", "show", &text(&run["id"])]).expect(0);
    assert_eq!(again["steps"][0]["connection"], "port", "{again:#}");
    assert!(!again.to_string().contains("\"harbour\""), "its flow can be done anew: {again:#}");
}

#[test]
fn an_oauth_client_is_made_listed_shown_and_removed() {
    let stage = Stage::new();
    let component = built::component("guest_beacon");
    let component = component.to_string_lossy();
    let add = |name: &str, more: &[&str]| {
        let arguments = ["oauth-client", "add", name, "--connector", &component];
        stage.host.run(&[&arguments[..], more].concat())
    };
    let secret = format!("client-secret=@{}", stage.host.file("secret", "canary-client-secret").display());
    let given = ["--method", "sign-in", "--set", "client-id=abc", "--secret", &secret];
    let made = add("app", &given).expect(0);
    assert_eq!(made["callback"], "http://127.0.0.1:8091/callback");
    assert_eq!(made["scopes"], json!(["read", "write", "offline"]));
    add("app", &given).fails(2, "host.client-exists");
    let chosen =
        add("hooks", &[&given[..], &["--scope", "hooks", "--callback", "https://hooks.example.test/x"]].concat());
    assert_eq!(chosen.expect(0)["scopes"], json!(["hooks", "offline"]));
    add("bad", &[&given[..], &["--scope", "everything"]].concat()).fails(2, "host.scope-unknown");
    add("bad", &[&given[..], &["--callback", "http://example.test/"]].concat()).fails(2, "host.callback");
    let missing = add("bad", &["--method", "sign-in"]).fails(2, "host.input-missing");
    assert!(text(&missing["message"]).contains("--secret client-secret=@FILE"), "{missing:#}");
    let visible = add("bad", &["--method", "sign-in", "--set", "client-id=a", "--set", "client-secret=canary-visible"]);
    visible.fails(2, "host.secret-in-arguments");

    let scopes =
        stage.host.run(&["oauth-client", "add", "--list-scopes", "--connector", &component, "--method", "sign-in"]);
    assert_eq!(scopes.list().len(), 4);
    let link = add("link", &["--method", "link"]).expect(0);
    assert!(text(&link["public-key"]).starts_with("-----BEGIN PUBLIC KEY-----"), "{link:#}");
    assert!(text(&link["form"]["consumer-key"]).len() > 8, "a consumer key was drawn: {link:#}");
    let told = stage.host.run_plain(&["oauth-client", "show", "link"], "");
    for part in ["consumer-key", "the name link", "BEGIN PUBLIC KEY", "callback"] {
        assert!(told.stdout.contains(part), "{told:#?}");
    }

    let names = |outcome: Outcome| outcome.list().iter().map(|one| text(&one["name"])).collect::<Vec<_>>();
    assert_eq!(names(stage.host.run(&["oauth-client", "list"])), ["app", "hooks", "link"]);
    let login = format!("login-url={}", stage.beacon.url());
    let used = ["--method", "sign-in", "--client", "app", "--set", &login, "--no-check"];
    let added = stage.add("harbour", &used).expect(0);
    assert_eq!(added["connection"]["state"], "not authorized", "{added:#}");
    let in_use = stage.host.run(&["oauth-client", "remove", "app"]).fails(2, "host.client-in-use");
    assert!(text(&in_use["message"]).contains("harbour"), "{in_use:#}");
    stage.host.run(&["connection", "remove", "harbour"]).expect(0);
    stage.host.run(&["oauth-client", "remove", "app"]).expect(0);
    stage.host.run(&["oauth-client", "show", "app"]).fails(2, "host.client-unknown");
    assert!(!stage.host.said().contains("canary"), "secrets are never shown");
}
