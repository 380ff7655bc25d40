use super::{center, checked, cloud, healthy, last, made, myself, outcome, own, own_myself, strangers, tenant};
use crate::contract::{FailureClass, Outcome};
use crate::fake::{Scripted, json_answer, raw_answer};
use crate::host::SendError;
use serde_json::json;

const GATEWAY: &str = "https://api.atlassian.com/ex/jira/cloud-1/";

#[test]
fn a_token_with_scopes_is_found_out_and_its_route_is_kept() {
    let answers = [vec![cloud(), tenant(), strangers(), myself()], healthy()].concat();
    let (health, host) = checked(&made("api-token", &json!({})), answers);
    assert_eq!(host.batches, [2, 1, 1, 4]);
    assert_eq!(host.asked[3].url, format!("{GATEWAY}rest/api/3/myself"));
    assert!(host.asked[4..].iter().all(|request| request.url.starts_with(GATEWAY)), "{:?}", host.asked);
    assert_eq!(health.settings["api"], GATEWAY);
    assert_eq!(outcome(&health, "jira.scopes-unknown"), Some(Outcome::Unknown));

    let known = json!({ "cloud-id": "cloud-1", "api": GATEWAY });
    let (_, host) = checked(&made("api-token", &known), [vec![cloud(), myself()], healthy()].concat());
    assert_eq!(host.batches, [1, 1, 4], "later checks take the known route only, and ask for no id again");
}

#[test]
fn a_classic_token_keeps_to_the_site() {
    let (health, host) =
        checked(&made("api-token", &json!({})), [vec![cloud(), tenant(), myself()], healthy()].concat());
    assert_eq!(health.settings["api"], "https://demo.atlassian.net/");
    assert!(host.asked.iter().all(|request| request.url.starts_with("https://demo.atlassian.net/")));
}

#[test]
fn two_logins_are_the_most_and_the_known_route_is_one() {
    let unauthorized = || json_answer(401, &json!({ "code": 401, "message": "Unauthorized" }));
    let (health, host) = checked(&made("api-token", &json!({})), vec![cloud(), tenant(), strangers(), unauthorized()]);
    assert_eq!(host.batches, [2, 1, 1]);
    let finding = last(&health);
    assert_eq!((finding.outcome, finding.class), (Outcome::Failed, Some(FailureClass::Credential)));
    assert!(finding.message.contains("neither at the site nor at"), "{}", finding.message);
    assert!(health.settings.get("api").is_none());

    let known = json!({ "cloud-id": "cloud-1", "api": GATEWAY });
    let (health, host) = checked(&made("api-token", &known), vec![cloud(), unauthorized()]);
    assert_eq!(host.batches, [1, 1]);
    assert_eq!(health.settings["route-doubted"], true);
    // The credential was replaced by one of the other kind.
    let doubted = json!({ "cloud-id": "cloud-1", "api": GATEWAY, "route-doubted": true });
    let answers = [vec![cloud(), myself()], healthy()].concat();
    let (health, host) = checked(&made("api-token", &doubted), answers);
    assert_eq!(host.batches, [1, 1, 4], "the other way comes first: the known one was refused already");
    assert_eq!(health.settings["api"], "https://demo.atlassian.net/");
    assert!(health.settings.get("route-doubted").is_none());
}

#[test]
fn a_replaced_token_of_the_other_kind_is_found_out_in_one_check() {
    let known = json!({ "cloud-id": "cloud-1", "api": "https://demo.atlassian.net/", "api-generation": 1 });
    let mut call = made("api-token", &known);
    call.connection.generation = Some(1);
    let (health, host) = checked(&call, vec![cloud(), strangers()]);
    assert_eq!(host.batches, [1, 1], "the same credential is not tried elsewhere");
    assert!(health.settings.get("route-doubted").is_none());
    call.connection.generation = Some(2);
    let (health, host) = checked(&call, [vec![cloud(), strangers(), myself()], healthy()].concat());
    assert_eq!(host.batches, [1, 1, 1, 4]);
    assert_eq!((&health.settings["api"], &health.settings["api-generation"]), (&json!(GATEWAY), &json!(2)));
}

#[test]
fn what_stands_before_jira_is_not_taken_for_its_word_on_the_credential() {
    let html = [("content-type", "text/html")];
    for (answer, code) in [
        (raw_answer(200, &html, b"<html>Log in</html>"), "jira.login-page"),
        (raw_answer(403, &html, b"<html>Access denied, incident 4711</html>"), "jira.html-answer"),
        (raw_answer(200, &[], b"null"), "jira.answer-invalid"),
        (raw_answer(200, &[], b""), "jira.answer-invalid"),
        (raw_answer(200, &[], &[b"[".repeat(20_000), b"]".repeat(20_000)].concat()), "jira.answer-invalid"),
    ] {
        for (call, before) in
            [(own("password"), vec![center("9.12.0")]), (made("api-token", &json!({})), vec![cloud(), tenant()])]
        {
            let (health, _) = checked(&call, [before, vec![answer.clone()]].concat());
            let finding = last(&health);
            assert_eq!((finding.outcome, finding.code.as_str()), (Outcome::Failed, code));
            assert_eq!(finding.class, Some(FailureClass::Protocol), "{}", finding.message);
        }
    }
}

#[test]
fn what_is_at_another_domain_gets_no_token_whatever_it_says() {
    let untold = || raw_answer(401, &[], b"");
    for (site, server, class, batches) in [
        ("https://demo.example.test/", cloud(), FailureClass::Input, vec![2]),
        ("https://demo.example.test/", untold(), FailureClass::Input, vec![2]),
        ("https://demo.atlasian.net/", cloud(), FailureClass::Input, vec![2]),
        ("https://demo.atlassian.net.example.test/", cloud(), FailureClass::Input, vec![2]),
        // Simulated on this machine it is taken at its word, but has no gateway.
        ("http://127.0.0.1:8080/", cloud(), FailureClass::Credential, vec![2, 1]),
        // Both ways are tried, one login each.
        ("https://demo.jira.com/", cloud(), FailureClass::Credential, vec![2, 1, 1]),
    ] {
        let mut call = made("api-token", &json!({}));
        call.connection.settings["site"] = json!(site);
        let (health, host) = checked(&call, vec![server, tenant(), strangers(), strangers()]);
        assert_eq!((host.batches, last(&health).class), (batches, Some(class)), "{site}");
    }
    for id in ["../../x", "a/b", "", "a b", "x?y"] {
        let named = json_answer(200, &json!({ "cloudId": id }));
        let (health, host) = checked(&made("api-token", &json!({})), vec![cloud(), named, strangers()]);
        assert_eq!((host.batches, health.settings.get("cloud-id")), (vec![2, 1], None), "{id:?}");
    }
}

#[test]
fn a_second_login_that_was_not_sent_leaves_the_word_of_the_first() {
    for fault in [SendError::Denied, SendError::Dns] {
        let (health, _) = checked(&made("api-token", &json!({})), vec![cloud(), tenant(), strangers(), Err(fault)]);
        assert_eq!((last(&health).outcome, last(&health).class), (Outcome::Failed, Some(FailureClass::Credential)));
    }
}

#[test]
fn nothing_more_is_asked_once_the_identity_was_refused() {
    let failed = [("x-seraph-loginreason", "AUTHENTICATED_FAILED")];
    let variants: Vec<Scripted> = vec![
        json_answer(401, &json!({ "errorMessages": ["No."] })),
        raw_answer(200, &failed, br#"{"key":"JIRAUSER1"}"#),
        raw_answer(200, &[("x-ausername", "anonymous")], br#"{"key":"JIRAUSER1"}"#),
        json_answer(200, &json!({})),
        json_answer(200, &json!({ "key": "" })),
        json_answer(200, &json!({ "displayName": "Anonymous", "key": null })),
        raw_answer(403, &[("x-authentication-denied-reason", "CAPTCHA_CHALLENGE")], b""),
    ];
    for answer in variants {
        let (health, host) = checked(&own("password"), vec![center("9.12.0"), answer.clone()]);
        assert!(health.identity.is_none());
        assert_eq!(host.asked.len(), 2);
        assert_eq!(
            (last(&health).outcome, last(&health).class),
            (Outcome::Failed, Some(FailureClass::Credential)),
            "{answer:?}"
        );
    }
}

#[test]
fn the_kind_of_what_was_given_is_recognised_from_the_answer() {
    let deprecated = b"Basic authentication with passwords is deprecated.  For more information, see: \
                       https://developer.atlassian.com/cloud/confluence/deprecation-notice-basic-auth/\n";
    let connect = br#"{"error":"Failed to parse Connect Session Auth Token"}"#;
    for (status, body, code) in
        [(401, deprecated.as_slice(), "jira.password-given"), (403, connect.as_slice(), "jira.token-of-other-kind")]
    {
        let answers = vec![cloud(), tenant(), raw_answer(status, &[("content-type", "text/plain")], body)];
        let (health, host) = checked(&made("api-token", &json!({})), answers);
        assert_eq!((last(&health).code.as_str(), host.batches), (code, vec![2, 1]), "no second login is worth while");
        assert_eq!(last(&health).class, Some(FailureClass::Credential));
    }
}

#[test]
fn a_captcha_names_the_place_to_log_in_only_where_it_is_on_the_site() {
    for (place, named) in [
        ("https://jira.example.test/jira/login.jsp", true),
        ("https://jira.example.test.evil.test/jira/login.jsp", false),
        ("https://evil.test/login.jsp", false),
        ("javascript:alert(1)", false),
    ] {
        let header = format!("CAPTCHA_CHALLENGE; login-url={place}");
        let denied = raw_answer(403, &[("x-authentication-denied-reason", &header)], b"");
        let (health, _) = checked(&own("password"), vec![center("9.12.0"), denied]);
        assert_eq!(last(&health).code, "jira.captcha-required");
        assert_eq!(last(&health).remedy.contains(place), named, "{}", last(&health).remedy);
    }
}

#[test]
fn a_scope_that_lacks_is_no_bad_credential() {
    let mismatch = || json_answer(401, &json!({ "code": 401, "message": "Unauthorized; scope does not match" }));
    let (health, _) = checked(&made("api-token", &json!({})), vec![cloud(), tenant(), strangers(), mismatch()]);
    assert_eq!((last(&health).code.as_str(), last(&health).class), ("jira.scope-missing", Some(FailureClass::Scope)));
    assert!(last(&health).message.contains("read:jira-user"), "{}", last(&health).message);
    assert_eq!(health.settings["api"], GATEWAY);
}

#[test]
fn another_account_than_the_one_typed_is_warned_of() {
    let other = json_answer(200, &json!({ "accountId": "acc-2", "emailAddress": "user@example.test" }));
    let (health, _) = checked(&made("api-token", &json!({})), [vec![cloud(), tenant(), other], healthy()].concat());
    assert_eq!(outcome(&health, "jira.identity-differs"), Some(Outcome::Warning));
    assert_eq!(outcome(&health, "jira.time-zone-unknown"), Some(Outcome::Warning));
    assert_eq!(health.settings["time-zone"], "UTC");
}

#[test]
fn an_account_of_a_data_center_is_known_by_its_key() {
    let lists = vec![super::permissions(true, true), json_answer(200, &json!([])), super::webhooks(0)];
    let (health, _) = checked(&own("password"), [vec![center("9.12.0"), own_myself()], lists].concat());
    let identity = health.identity.expect("an identity");
    assert_eq!((identity.tenant.as_str(), identity.account.as_str()), ("jira.example.test/jira", "JIRAUSER10000"));
    assert_eq!(health.settings["account-name"], "admin");
}
