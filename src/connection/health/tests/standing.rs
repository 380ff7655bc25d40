use super::{
    center, checked, cloud, codes, healthy, last, made, myself, outcome, own, own_myself, permissions, strangers,
    tenant, total, webhooks,
};
use crate::contract::{FailureClass, Health, Outcome};
use crate::fake::{Scripted, json_answer, raw_answer};
use crate::jira::timestamp;
use serde_json::{Value, json};

/// The report of Jira Cloud whose answers after the identity are these.
fn after(rest: Vec<Scripted>) -> Health {
    checked(&made("api-token", &json!({})), [vec![cloud(), tenant(), myself()], rest].concat()).0
}

#[test]
fn a_healthy_connection_passes_in_the_order_of_what_has_to_work() {
    let given = made("api-token", &json!({ "expires": "2027-01-31" }));
    let health = checked(&given, [vec![cloud(), tenant(), myself()], healthy()].concat()).0;
    let expected = [
        "reachable",
        "deployment",
        "identity",
        "time-zone",
        "expiry",
        "administer",
        "project-permissions",
        "projects",
        "webhooks",
        "not-locked",
    ];
    assert_eq!(codes(&health), expected);
    assert!(health.findings.iter().all(|finding| finding.outcome == Outcome::Passed), "{:?}", health.findings);
    let projects = health.findings.iter().find(|finding| finding.code == "jira.projects").expect("projects");
    assert!(projects.message.contains("3 projects, 1 of them for service"), "{}", projects.message);
    let identity = health.identity.expect("an identity");
    assert_eq!((identity.tenant.as_str(), identity.account.as_str()), ("cloud-1", "acc-1"));
    for (name, value) in
        [("deployment", "cloud"), ("cloud-id", "cloud-1"), ("account-id", "acc-1"), ("time-zone", "Europe/Vienna")]
    {
        assert_eq!(health.settings[name], value);
    }
}

#[test]
fn what_the_account_lacks_is_warned_of() {
    let forbidden = json_answer(403, &json!({ "errorMessages": ["No."] }));
    let health = after(vec![permissions(false, false), total(0), total(0), forbidden]);
    for code in ["administer-missing", "project-permissions-missing", "no-projects"] {
        assert_eq!(outcome(&health, &format!("jira.{code}")), Some(Outcome::Warning), "{code}");
    }
    assert_eq!(outcome(&health, "jira.webhooks-forbidden"), Some(Outcome::Unknown));
    assert_eq!(health.settings["administers"], false);
    let health = after(vec![json_answer(200, &json!({})), total(1), total(0), webhooks(80)]);
    assert_eq!(outcome(&health, "jira.webhooks-near-limit"), Some(Outcome::Warning));
    let mismatch = json_answer(401, &json!({ "code": 401, "message": "Unauthorized; scope does not match" }));
    let unscoped = after(vec![permissions(true, true), total(1), total(0), mismatch]);
    let finding = unscoped.findings.iter().find(|finding| finding.code == "jira.scope-missing").expect("a finding");
    assert!(finding.message.contains("manage:jira-configuration") && finding.remedy.contains("id.atlassian.com"));
    assert_eq!(outcome(&health, "jira.administer-unknown"), Some(Outcome::Unknown));
    assert_eq!(outcome(&health, "jira.project-permissions-unknown"), Some(Outcome::Unknown));
}

#[test]
fn a_credential_that_dies_in_the_middle_has_failed() {
    let anonymous = raw_answer(200, &[("x-seraph-loginreason", "AUTHENTICATED_FAILED")], b"{\"permissions\":{}}");
    let health = after(vec![anonymous, total(1), total(0), webhooks(0)]);
    let failed = health.findings.iter().find(|finding| finding.outcome == Outcome::Failed).expect("a failed finding");
    assert_eq!(failed.class, Some(FailureClass::Credential));
}

/// What limits and locks are kept by must not depend on what fails today.
#[test]
fn the_tenant_is_the_same_whatever_fails() {
    let with = |answer: Scripted| {
        let health = checked(&made("api-token", &json!({})), [vec![cloud(), answer, myself()], healthy()].concat()).0;
        health.identity.map(|identity| identity.tenant)
    };
    assert_eq!(with(raw_answer(503, &[], b"")), None, "what passes is not taken for a site without an id");
    assert_eq!(with(json_answer(404, &json!({}))), None, "nor is a refusal, of a day perhaps");
    assert_eq!(with(json_answer(200, &json!({}))), None);
    let known = made("api-token", &json!({ "cloud-id": "cloud-1" }));
    let health = checked(&known, [vec![cloud(), myself()], healthy()].concat()).0;
    assert_eq!(health.identity.map(|identity| identity.tenant).as_deref(), Some("cloud-1"));
}

/// What says whose a site is can be shown by anybody: it counts only where Atlassian says it.
#[test]
fn another_domain_that_shows_the_id_of_a_site_is_not_that_site() {
    let elsewhere = made("api-token", &json!({ "site": "http://127.0.0.1:8080/" }));
    let health = checked(&elsewhere, [vec![cloud(), tenant(), myself()], healthy()].concat()).0;
    let tenant = health.identity.map(|identity| identity.tenant);
    assert_eq!(tenant.as_deref(), Some("cloud-1@127.0.0.1:8080"));
}

#[test]
fn scopes_are_held_against_what_each_card_needs() {
    let gateway = "https://api.atlassian.com/ex/jira/cloud-1/";
    let at = |id: &str, scopes: &[&str]| json!({ "id": id, "url": "https://x", "name": "x", "scopes": scopes });
    let of = |scopes: &[&str], sites: &Value, rest: Vec<Scripted>| {
        let mut call = made("oauth", &json!({ "cloud-id": "cloud-1", "api": gateway }));
        call.granted_scopes = Some(scopes.iter().map(|scope| (*scope).to_owned()).collect());
        let mut answers = [vec![cloud(), myself()], rest].concat();
        answers.insert(3, json_answer(200, sites));
        checked(&call, answers).0
    };
    let few = ["read:jira-user", "read:jira-work", "offline_access"];
    let health = of(&few, &json!([at("cloud-1", &few)]), vec![permissions(true, true), total(1), total(0)]);
    let finding = health.findings.iter().find(|finding| finding.code == "jira.scopes-missing").expect("a finding");
    assert!(finding.message.contains("create-issue (write:jira-work)"), "{}", finding.message);
    assert!(finding.message.contains("issue-created (manage:jira-configuration)"), "{}", finding.message);
    assert!(!finding.message.contains("get-issue"), "{}", finding.message);
    assert_eq!(outcome(&health, "jira.webhooks-unseen"), Some(Outcome::Unknown));
    assert_eq!(outcome(&health, "jira.app-distribution"), Some(Outcome::Unknown));
    let all = ["read:jira-user", "read:jira-work", "write:jira-work", "manage:jira-configuration"];
    assert_eq!(outcome(&of(&all, &json!([at("cloud-1", &all)]), healthy()), "jira.scopes"), Some(Outcome::Passed));
    // The grant has more at another site.
    let sites = json!([at("cloud-2", &all), at("cloud-1", &["read:jira-work"]), at("cloud-1", &["read:jira-user"])]);
    let health = of(&all, &sites, healthy());
    let finding = health.findings.iter().find(|finding| finding.code == "jira.scopes-missing").expect("a finding");
    assert!(finding.message.contains("create-issue (write:jira-work)"), "{}", finding.message);
    assert!(finding.remedy.contains("OAuth client"), "{}", finding.remedy);
    let health = of(&all, &json!([at("cloud-2", &all)]), healthy());
    assert_eq!(outcome(&health, "jira.site-unlisted"), Some(Outcome::Unknown));
}

#[test]
fn the_day_a_token_expires_is_warned_of_ahead() {
    let now: i64 = 1_792_007_200_000;
    for (days, expected) in [
        (60, ("expiry", Outcome::Passed)),
        (29, ("expires-soon", Outcome::Warning)),
        (6, ("expires-very-soon", Outcome::Warning)),
        (0, ("expires-very-soon", Outcome::Warning)),
        (-2, ("expiry-passed", Outcome::Warning)),
    ] {
        let at = now + days * 24 * 3600 * 1000;
        let moment = timestamp::format(u64::try_from(at).expect("positive"));
        let given = made("api-token", &json!({ "expires": &moment[..10] }));
        let health = checked(&given, [vec![cloud(), tenant(), myself()], healthy()].concat()).0;
        assert_eq!(outcome(&health, &format!("jira.{}", expected.0)), Some(expected.1), "{days}");
        if days > 0 {
            let token = json!([{ "id": 1, "name": "flow", "expiringAt": moment.replace('Z', "+0000") }]);
            let health = listed(&token);
            assert_eq!(outcome(&health, &format!("jira.{}", expected.0)), Some(expected.1), "{days} listed");
        }
    }
}

#[test]
fn a_day_that_was_not_entered_or_cannot_be_is_not_known() {
    for entered in [json!({}), json!({ "expires": "" }), json!({ "expires": "2199-01-01" })] {
        let given = made("api-token", &entered);
        let health = checked(&given, [vec![cloud(), tenant(), myself()], healthy()].concat()).0;
        assert_eq!(outcome(&health, "jira.expiry-unknown"), Some(Outcome::Unknown), "{entered}");
    }
}

/// The report of a Data Center whose list of personal access tokens is this.
fn listed(tokens: &Value) -> Health {
    let rest = vec![
        permissions(true, true),
        json_answer(200, &json!([{ "key": "A", "projectTypeKey": "service_desk" }, { "key": "B" }])),
        webhooks(1),
        json_answer(200, tokens),
    ];
    checked(&own("personal-access-token"), [vec![center("10.3.0"), own_myself()], rest].concat()).0
}

#[test]
fn a_data_center_is_asked_for_its_own_lists() {
    let rest = vec![permissions(true, true), json_answer(200, &json!([])), webhooks(1), json_answer(200, &json!([]))];
    let answers = [vec![center("10.3.0"), own_myself()], rest].concat();
    let (health, host) = checked(&own("personal-access-token"), answers);
    let base = "https://jira.example.test/jira/";
    let asked: Vec<&str> = host.asked[2..].iter().map(|request| request.url.trim_start_matches(base)).collect();
    assert_eq!(asked[1..], ["rest/api/2/project", "rest/jira-webhook/1.0/webhooks", "rest/pat/latest/tokens"]);
    assert_eq!(outcome(&health, "jira.expiry-unknown"), Some(Outcome::Unknown));
    assert_eq!(outcome(&health, "jira.no-projects"), Some(Outcome::Warning));
    let health = listed(&json!([{ "id": 1 }]));
    assert_eq!(outcome(&health, "jira.expiry"), Some(Outcome::Passed), "one without a day does not expire");
    let projects = health.findings.iter().find(|finding| finding.code == "jira.projects").expect("projects");
    assert!(projects.message.contains("2 projects, 1 of them for service"), "{}", projects.message);
    for strange in [json!("garbage"), json!({ "a": 1 }), json!("2026-11-30"), json!("30/Nov/26")] {
        let health = listed(&json!([{ "id": 1, "expiringAt": strange }]));
        assert_eq!(outcome(&health, "jira.expiry-unknown"), Some(Outcome::Unknown), "{strange}");
        assert_eq!(outcome(&health, "jira.expiry"), None);
    }
    let past = timestamp::format(1_792_007_200_000 - 3 * 24 * 3600 * 1000);
    let health = listed(&json!([{ "id": 1, "expiringAt": past }]));
    assert_eq!(outcome(&health, "jira.expiry-passed"), Some(Outcome::Warning));
    assert_eq!(outcome(&listed(&json!({ "tokens": [] })), "jira.expiry-unknown"), Some(Outcome::Unknown));
    let soon = timestamp::format(1_792_007_200_000 + 3 * 24 * 3600 * 1000);
    let health = listed(&json!([{ "id": 1 }, { "id": 2, "expiringAt": soon }]));
    let finding = health.findings.iter().find(|finding| finding.code == "jira.expires-very-soon").expect("a warning");
    assert!(finding.message.contains("2 tokens"), "{}", finding.message);
}

#[test]
fn customer_service_management_proves_its_account_at_jira_and_answers_at_its_own_base() {
    let api = "https://api.atlassian.com/jsm/csm/cloudid/cloud-1/api/v1/";
    let call = made("customer-service", &json!({ "cloud-id": "cloud-1", "api": api }));
    let scopes = |names: &[&str]| json_answer(200, &json!([{ "id": "cloud-1", "scopes": names }]));
    let all = [
        "read:product:jira-service-management",
        "read:customer:jira-service-management",
        "read:customer.detail:jira-service-management",
        "read:organization:jira-service-management",
        "read:organization.detail:jira-service-management",
    ];
    let products = json_answer(200, &json!({ "results": [] }));
    let (health, host) = checked(&call, vec![cloud(), myself(), scopes(&all), products.clone()]);
    let urls: Vec<&str> = host.asked[1..].iter().map(|request| request.url.as_str()).collect();
    assert_eq!(urls[0], "https://api.atlassian.com/ex/jira/cloud-1/rest/api/3/myself");
    assert_eq!(urls[1], "https://api.atlassian.com/oauth/token/accessible-resources");
    assert_eq!(urls[2], format!("{api}product?limit=1"));
    assert_eq!(outcome(&health, "jira.cards-lacking"), Some(Outcome::Passed));
    assert_eq!(outcome(&health, "jira.customer-service"), Some(Outcome::Passed));
    assert_eq!((health.settings["api"].as_str(), last(&health).code.as_str()), (Some(api), "jira.app-distribution"));
    assert!(health.identity.is_some());
    // A scope that lacks is named, and what it is for is not tried.
    let (health, host) = checked(&call, vec![cloud(), myself(), scopes(&all[1..])]);
    assert_eq!(outcome(&health, "jira.customer-service-unknown"), Some(Outcome::Unknown));
    assert_eq!(host.asked.len(), 3);
    let (health, host) = checked(&call, vec![cloud(), myself(), scopes(&all[..2]), products]);
    let finding = health.findings.iter().find(|finding| finding.code == "jira.scopes-missing").expect("a finding");
    assert!(finding.message.contains("(read:customer.detail:jira-service-management)"), "{}", finding.message);
    assert_eq!(outcome(&health, "jira.customer-service"), Some(Outcome::Passed));
    assert_eq!(host.asked.len(), 4);
}

#[test]
fn once_the_id_of_the_site_is_known_its_own_path_of_the_gateway_is_enough() {
    for (method, site_too) in [("service-account", false), ("api-token", true)] {
        let (health, _) = checked(&made(method, &json!({})), [vec![cloud(), tenant(), myself()], healthy()].concat());
        let origins = health.origins.expect("fewer origins");
        let credentialed = origins.iter().filter(|origin| origin.credential).map(|origin| origin.url.as_str());
        let mut expected = vec!["https://api.atlassian.com/ex/jira/cloud-1/"];
        if site_too {
            expected.insert(0, "https://demo.atlassian.net/");
        }
        assert_eq!(credentialed.collect::<Vec<_>>(), expected, "{method}");
        assert!(origins.iter().any(|origin| origin.url.ends_with("/_edge/tenant_info") && !origin.credential));
    }
    let (health, _) = checked(&made("api-token", &json!({})), vec![cloud(), tenant(), strangers(), strangers()]);
    assert!(health.origins.is_none(), "nothing is proved");
}

#[test]
fn a_service_account_waits_for_the_id_of_its_site() {
    let call = made("service-account", &json!({}));
    let (health, host) = checked(&call, vec![cloud(), raw_answer(503, &[], b"")]);
    assert_eq!((last(&health).outcome, last(&health).class), (Outcome::Unknown, Some(FailureClass::Unavailable)));
    assert_eq!(host.batches, [2], "nothing is sent with the credential");
    let refused = || json_answer(403, &json!({ "errorMessages": ["No."] }));
    let (health, host) = checked(&call, vec![refused(), refused()]);
    assert_eq!((last(&health).code.as_str(), host.batches), ("jira.cloud-id-unknown", vec![2]));
    let (health, host) = checked(&call, [vec![cloud(), tenant(), myself()], healthy()].concat());
    assert!(
        host.asked[2..].iter().all(|request| request.url.starts_with("https://api.atlassian.com/ex/jira/cloud-1/"))
    );
    assert_eq!(health.settings["api"], "https://api.atlassian.com/ex/jira/cloud-1/", "the cards go there too");
    assert!(health.identity.is_some());
}
