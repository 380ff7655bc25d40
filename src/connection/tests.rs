use super::{METHODS, prepare};
use crate::contract::Prepared;
use serde_json::{Value, json};

fn origins(prepared: &Prepared, credential: bool) -> Vec<&str> {
    prepared.origins.iter().filter(|origin| origin.credential == credential).map(|origin| origin.url.as_str()).collect()
}

#[test]
fn a_jira_of_ones_own_gets_the_credential_and_the_places_that_give_tokens_do_not() {
    let base = "https://jira.example.test:8443/jira/";
    let form = json!({ "site": "jira.example.test:8443/jira/browse/X-1", "username": " flows " });
    for (method, more) in [
        ("personal-access-token", None),
        ("password", None),
        ("data-center-oauth", Some("rest/oauth2/")),
        ("application-link", Some("plugins/servlet/oauth/")),
    ] {
        let prepared = prepare(method, &form).expect("a good form");
        assert_eq!(prepared.settings["site"], base);
        assert_eq!(origins(&prepared, true), [base], "{method}");
        let mut without = vec![format!("{base}rest/api/2/serverInfo")];
        without.extend(more.map(|path| format!("{base}{path}")));
        assert_eq!(origins(&prepared, false), without, "{method}");
        assert!(prepared.corrections.iter().any(|said| said.contains("/browse")), "{:?}", prepared.corrections);
    }
    let prepared = prepare("password", &form).expect("a good form");
    assert_eq!(prepared.settings["username"], "flows");
    assert_eq!(prepared.form, json!({ "site": base, "username": "flows" }), "what else was pasted is not kept");
}

#[test]
fn what_jira_cloud_does_not_take_is_refused_offline_by_name() {
    for method in ["personal-access-token", "password", "data-center-oauth", "application-link"] {
        let error = prepare(method, &json!({ "site": "demo.atlassian.net", "username": "a" })).expect_err(method);
        let failure = error.failure();
        assert!(failure.code == "jira.method-unfit" && failure.fields.is_empty(), "{failure:?}");
        assert!(failure.message.starts_with("demo.atlassian.net is Jira Cloud"), "{}", failure.message);
        assert!(failure.remedy.contains("API token"), "{}", failure.remedy);
    }
    for username in ["", " ", "a:b", "a\u{0}b"] {
        let error =
            prepare("password", &json!({ "site": "jira.example.test", "username": username })).expect_err("unfit");
        assert_eq!(error.failure().fields[0].pointer, "/username", "{username:?}");
    }
}

#[test]
fn what_has_no_site_yet_reaches_only_atlassian() {
    for method in ["oauth", "customer-service"] {
        let prepared = prepare(method, &json!({})).expect("an empty form");
        assert_eq!(prepared.settings, json!({ "method": method }));
        let gateway =
            ["https://api.atlassian.com/oauth/token/accessible-resources", "https://api.atlassian.com/ex/jira/"];
        assert_eq!(origins(&prepared, true)[..2], gateway);
        let management = origins(&prepared, true).contains(&"https://api.atlassian.com/jsm/csm/cloudid/");
        assert_eq!(management, method == "customer-service");
        assert_eq!(origins(&prepared, false), ["https://auth.atlassian.com/"]);
    }
}

#[test]
fn every_way_in_says_in_the_manifest_what_prepare_understands() {
    for method in METHODS {
        let entry = (method.entry)();
        assert_eq!(entry["id"], method.id);
        let scheme = &entry["scheme"];
        let named = |kind: &str, place: &Value| -> Vec<String> {
            let members = scheme.as_object().expect("a scheme").values();
            let names = members.filter_map(|value| value.get(kind)?.as_str());
            names.filter(|name| place["properties"].get(name).is_none()).map(str::to_owned).collect()
        };
        for (kind, place) in [("field", &entry["form"]), ("secret", &entry["form"]), ("app", &entry["app"])] {
            assert_eq!(named(kind, place), Vec::<String>::new(), "{} {kind}", method.id);
        }
        let secrets: Vec<&str> = entry["form"]["properties"]
            .as_object()
            .expect("fields")
            .iter()
            .filter(|(_, field)| field["writeOnly"] == true)
            .map(|(name, _)| name.as_str())
            .collect();
        assert!(
            secrets.iter().all(|name| entry["form"]["required"].as_array().expect("a list").contains(&json!(name)))
        );
        let discovers = entry["discovers-sites"] == true;
        assert_eq!(discovers, entry["form"]["properties"].get("site").is_none(), "{}", method.id);
    }
    let scopes: Vec<Value> = METHODS.iter().map(|method| (method.entry)()["scheme"]["scopes"].clone()).collect();
    let cloud = scopes.iter().filter(|list| list.to_string().contains("offline_access"));
    for list in cloud {
        let required: Vec<&Value> =
            list.as_array().expect("a list").iter().filter(|one| one["required"] == true).collect();
        assert_eq!((&required[0]["id"], &required[1]["id"]), (&json!("offline_access"), &json!("read:jira-user")));
    }
}
