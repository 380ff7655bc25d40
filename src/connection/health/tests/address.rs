use super::{center, checked, cloud, codes, healthy, last, made, myself, outcome, own, own_myself, tenant};
use crate::contract::{FailureClass, Outcome, Responsible};
use crate::fake::{Scripted, json_answer, raw_answer};
use crate::host::SendError;
use serde_json::json;

#[test]
fn what_anybody_may_ask_comes_first_and_without_the_credential() {
    let mut call = made("api-token", &json!({}));
    call.connection.authorization = Some("Basic not-a-real-credential".to_owned());
    let (_, host) = checked(&call, [vec![cloud(), tenant(), myself()], healthy()].concat());
    assert_eq!(host.batches, [2, 1, 4], "then the identity, alone");
    assert_eq!(host.lines()[..3], ["GET /rest/api/2/serverInfo", "GET /_edge/tenant_info", "GET /rest/api/3/myself"]);
    let carries = |at: usize| host.asked[at].headers.iter().any(|(name, _)| name == "authorization");
    assert_eq!((carries(0), carries(1), carries(2), carries(6)), (false, false, true, true));
}

#[test]
fn a_way_in_that_does_not_fit_is_refused_by_name_before_any_login() {
    for (method, server, says) in [
        ("api-token", center("9.12.0"), "use a personal access token"),
        ("api-token", center("8.4.0"), "use an application link, or user name and password"),
        ("oauth", center("9.12.0"), "use a personal access token"),
        ("password", cloud(), "use an API token, or OAuth 2.0"),
        ("personal-access-token", center("8.13.9"), "use an application link, or user name and password"),
        ("personal-access-token", cloud(), "use an API token, or OAuth 2.0"),
        ("data-center-oauth", center("8.20.0"), "use a personal access token"),
    ] {
        let settings = json!({ "cloud-id": "cloud-1" });
        let (health, host) = checked(&made(method, &settings), vec![server]);
        let finding = last(&health);
        assert_eq!((finding.outcome, finding.class), (Outcome::Failed, Some(FailureClass::Input)), "{method}");
        assert_eq!(finding.code, "jira.method-unfit");
        assert!(finding.remedy.contains(says), "{method}: {} {}", finding.message, finding.remedy);
        assert_eq!(host.asked.len(), 1, "no login is tried");
    }
    let (health, _) = checked(&own("password"), vec![center("7.6.1")]);
    assert_eq!(last(&health).code, "jira.version-too-old");
    assert!(last(&health).message.contains("Data Center 7.6"), "{}", last(&health).message);
}

#[test]
fn every_release_lets_its_own_ways_in() {
    for (method, version) in [
        ("password", "7.13.0"),
        ("application-link", "7.13.0"),
        ("personal-access-token", "8.14.0"),
        ("data-center-oauth", "8.22.1"),
        ("personal-access-token", "10.3.1"),
    ] {
        let (health, host) = checked(&own(method), vec![center(version), Err(SendError::Refused)]);
        assert_eq!(outcome(&health, "jira.deployment"), Some(Outcome::Passed), "{method} {version}");
        assert_eq!(host.asked[1].url, "https://jira.example.test/jira/rest/api/2/myself");
    }
}

#[test]
fn what_answers_in_place_of_jira_is_named() {
    let page = |status, headers: &[(&str, &str)], body: &str| raw_answer(status, headers, body.as_bytes());
    let html = [("content-type", "text/html")];
    let variants: Vec<(Scripted, &str, &str)> = vec![
        (
            page(302, &[("location", "https://sso.example.test/login?x")], ""),
            "redirected",
            "https://sso.example.test/login,",
        ),
        (
            page(301, &[("location", "https://jira.example.test/jira/rest/api/2/serverInfo")], ""),
            "redirected",
            "https://jira.example.test/jira/,",
        ),
        (page(301, &[("location", "javascript://evil.test/x")], ""), "redirected", "another"),
        (page(301, &[("location", "/elsewhere")], ""), "redirected", "another"),
        (page(301, &[("location", "https://a:b@evil.test/x")], ""), "redirected", "https://evil.test/x,"),
        (page(511, &html, "<html>"), "captive-portal", "captive portal"),
        (page(200, &html, "<html><input type=\"password\"></html>"), "login-page", "login page"),
        (page(200, &html, "<html>Welcome to the lobby</html>"), "html-answer", "web page"),
        (page(200, &html, "<meta name=\"application-name\" content=\"Bitbucket\">"), "other-product", "Bitbucket"),
        (page(404, &[("x-confluence-request-time", "1")], ""), "other-product", "Confluence"),
        (page(404, &html, "<title>Page not found - Confluence</title>"), "other-product", "Confluence"),
        (page(404, &html, "<html>nothing</html>"), "no-jira", "404"),
        (page(407, &[], ""), "proxy-login", "proxy"),
        (page(401, &[("www-authenticate", "Negotiate")], ""), "proxy-login", "proxy"),
        (json_answer(200, &json!({ "version": "1" })), "not-jira", "no Jira"),
        (page(200, &[], ""), "not-jira", "no Jira"),
        (page(200, &[], "\u{0}\u{1}"), "not-jira", "no Jira"),
    ];
    for (answer, code, says) in variants {
        let (health, host) = checked(&own("personal-access-token"), vec![answer.clone()]);
        let finding = last(&health);
        assert_eq!(finding.code, format!("jira.{code}"), "{answer:?}");
        assert_eq!((finding.outcome, finding.class), (Outcome::Failed, Some(FailureClass::Input)));
        assert!(finding.message.contains(says) && !finding.remedy.is_empty(), "{}", finding.message);
        assert_eq!((health.identity, host.asked.len()), (None, 1));
    }
}

#[test]
fn a_site_with_confluence_alone_is_told_from_none() {
    let nothing = || raw_answer(404, &[("content-type", "text/html")], b"<html></html>");
    let (health, _) = checked(&made("api-token", &json!({})), vec![nothing(), tenant()]);
    assert!(last(&health).message.contains("Confluence alone"), "{}", last(&health).message);
    let (health, _) = checked(&made("api-token", &json!({})), vec![nothing(), nothing()]);
    assert!(last(&health).message.contains("404"), "{}", last(&health).message);
}

#[test]
fn what_may_pass_is_unknown_and_tls_fails() {
    for answer in [Err(SendError::Dns), Err(SendError::TimedOut), raw_answer(503, &[], b""), raw_answer(429, &[], b"")]
    {
        let mut known = own("password");
        known.connection.settings["deployment"] = json!("data-center");
        let (health, host) = checked(&known, vec![answer]);
        assert_eq!(last(&health).outcome, Outcome::Unknown);
        assert!(matches!(last(&health).class, Some(FailureClass::Unavailable | FailureClass::Limit)));
        assert_eq!(host.asked.len(), 1);
    }
    let (health, _) = checked(&own("password"), vec![Err(SendError::Tls)]);
    assert_eq!((last(&health).outcome, last(&health).code.as_str()), (Outcome::Failed, "jira.tls-failed"));
}

#[test]
fn a_name_that_is_no_hosts_is_the_persons_to_correct_until_a_jira_was_found_there() {
    let (health, _) = checked(&own("password"), vec![Err(SendError::Dns)]);
    let finding = last(&health);
    assert_eq!((finding.outcome, finding.class), (Outcome::Failed, Some(FailureClass::Input)));
    assert_eq!((finding.code.as_str(), finding.who), ("jira.host-unknown", Responsible::User));
    assert!(finding.message.contains("jira.example.test") && !finding.message.contains("/jira"), "{}", finding.message);
}

#[test]
fn how_long_a_pause_is_asked_for_is_said() {
    for (seconds, says) in [("90", "in 90 seconds"), ("600", "in 10 minutes"), ("1", "in 1 second.")] {
        let (health, _) = checked(&own("password"), vec![raw_answer(429, &[("retry-after", seconds)], b"")]);
        assert_eq!((last(&health).outcome, last(&health).class), (Outcome::Unknown, Some(FailureClass::Limit)));
        assert!(last(&health).remedy.contains(says), "{}", last(&health).remedy);
    }
}

#[test]
fn what_is_not_encrypted_is_warned_of_except_on_this_machine() {
    for (site, expected) in [
        ("http://jira.example.test:8080/", ("jira.not-encrypted", Outcome::Warning)),
        ("http://127.0.0.1.example.test/", ("jira.not-encrypted", Outcome::Warning)),
        ("http://127.0.0.1:8080/", ("jira.reachable", Outcome::Passed)),
        ("http://[::1]:8080/", ("jira.reachable", Outcome::Passed)),
        ("http://localhost:8080/", ("jira.reachable", Outcome::Passed)),
        ("https://jira.example.test/", ("jira.reachable", Outcome::Passed)),
    ] {
        let mut call = own("password");
        call.connection.settings["site"] = json!(site);
        let (health, _) = checked(&call, vec![center("9.12.0"), Err(SendError::Refused)]);
        assert_eq!((health.findings[0].code.as_str(), health.findings[0].outcome), expected, "{site}");
        assert!(!health.findings[0].message.contains("TLS"), "where requests are led is not ours to see");
    }
}

#[test]
fn who_can_act_is_who_can() {
    let of = |answer: Scripted| checked(&own("password"), vec![answer]).0;
    let page = |status, body: &str| raw_answer(status, &[("content-type", "text/html")], body.as_bytes());
    for (answer, who) in [
        (center("7.6.1"), Responsible::ServiceAdmin),
        (page(407, ""), Responsible::Operator),
        (page(511, ""), Responsible::Operator),
        (page(200, "<input type=\"password\">"), Responsible::ServiceAdmin),
        (page(404, "<html>nothing</html>"), Responsible::User),
    ] {
        assert_eq!(last(&of(answer.clone())).who, who, "{answer:?}");
    }
}

#[test]
fn a_jira_that_says_nothing_to_strangers_is_asked_by_its_account() {
    let refused = json_answer(403, &json!({ "errorMessages": ["Forbidden"] }));
    let (health, host) = checked(&own("personal-access-token"), vec![refused, Err(SendError::Refused)]);
    assert_eq!(outcome(&health, "jira.deployment-unknown"), Some(Outcome::Unknown));
    assert_eq!(host.asked[1].url, "https://jira.example.test/jira/rest/api/2/myself");
}

#[test]
fn another_base_url_than_the_address_is_warned_of() {
    let elsewhere = json!({ "deploymentType": "Server", "version": "9.12.0", "baseUrl": "http://localhost:8080" });
    let answers = vec![json_answer(200, &elsewhere), own_myself(), Err(SendError::Refused)];
    let mut call = own("password");
    call.granted_scopes = Some(vec!["READ".to_owned()]);
    let answers = [answers, vec![Err(SendError::Refused)]].concat();
    let (health, _) = checked(&call, answers);
    assert_eq!(outcome(&health, "jira.base-url-differs"), Some(Outcome::Warning));
    let tenant = health.identity.map(|identity| identity.tenant);
    assert_eq!(tenant.as_deref(), Some("jira.example.test/jira"), "what it calls itself decides nothing");
    assert!(codes(&checked(&own("password"), vec![center("9.12.0"), Err(SendError::Dns)]).0).contains(&"deployment"));
}
