//! Jira Cloud with an e-mail address and an API token.
//!
//! Source: Atlassian, "Manage API tokens for your Atlassian account": Basic authorization of e-mail and token. A
//! classic token works at the site alone, one with scopes at the gateway alone; nobody has to know which one theirs is.

#[cfg(not(target_arch = "wasm32"))]
use super::entry;
use super::prepare::{Draft, text};
use super::{Expiry, Home, Method, Route};
use crate::contract::{Error, Failure, Prepared};
use crate::jira::site::Site;
use crate::jira::timestamp;
use serde_json::Value;
#[cfg(not(target_arch = "wasm32"))]
use serde_json::json;

pub(super) const METHOD: Method = Method {
    id: "api-token",
    name: "API token",
    home: Home::Cloud,
    route: Route::Either,
    reach: Some(reach),
    app: false,
    expiry: Expiry::Given,
    refused: (
        "Jira did not accept the API token with this e-mail address.",
        "Check that the e-mail address is that of the account the token was made with, and that the whole token was given; one \
         that expired or was revoked has to be made anew at id.atlassian.com.",
    ),
    widened: "Make an API token that has it as well, at id.atlassian.com, and replace the credential.",
    #[cfg(not(target_arch = "wasm32"))]
    entry: manifest,
    prepare,
};

#[cfg(not(target_arch = "wasm32"))]
fn manifest() -> Value {
    let email = "The e-mail address of the account that the token belongs to.";
    let token =
        "Made at id.atlassian.com under Security, API tokens, with scopes or without. It expires after at most a year.";
    let of = "an API token";
    let mistakes = [entry::address(of), entry::header(), entry::blank(of), entry::jwt(of)];
    let day =
        "The day on which the token expires, such as 2027-11-22: you are warned ahead. Atlassian tells it nobody else.";
    let expires = entry::of_secret("Expires", day, "2027-11-22");
    entry::of(
        &METHOD,
        "API token",
        "Jira Cloud, as one account, with an API token of that account.",
        &[
            entry::cloud_site(),
            ("email", entry::plain("E-mail", email, "administrator@example.test")),
            ("token", entry::secret_but("API token", token, &mistakes)),
            ("expires", expires),
        ],
        &json!({ "type": "basic", "username": { "field": "email" }, "password": { "secret": "token" } }),
    )
}

/// Understands the form: `site`, `email` and, where it is given, `expires`. The settings keep them.
fn prepare(form: &Value) -> Result<Prepared, Error> {
    let (mut draft, site) = Draft::with_site(&METHOD, form)?;
    let email = email(text(form, "email"))?;
    if email != text(form, "email") {
        draft.correct("Blanks around the e-mail address were left out.");
    }
    draft.keep("email", &email);
    draft.spell("email", &email);
    let expires = text(form, "expires").trim();
    if !expires.is_empty() {
        let day = timestamp::parse(&format!("{expires}T00:00Z")).map(timestamp::format);
        if !day.is_some_and(|day| expires.len() == 10 && day.starts_with(expires)) {
            let message = "The day on which the token expires is not a date.";
            let remedy = "Give it as year, month and day, such as 2027-11-22, or leave it out.";
            return Err(Failure::input("expires-invalid", "/expires", "Expires", message, remedy).permanent());
        }
        draft.keep("expires", expires);
        draft.spell("expires", expires);
    }
    reach(&mut draft, &site, None);
    Ok(draft.done())
}

fn reach(draft: &mut Draft, site: &Site, cloud_id: Option<&str>) {
    // Whoever copies what Jira Cloud says to strangers gets no token for it.
    draft.pin(site.base(), site.may_be_cloud(), "The Jira site");
    // The id by which the gateway knows a site is the site's own word: only one of Atlassian's is believed.
    if site.is_cloud() {
        draft.pin_gateway(cloud_id);
    }
}

/// Basic authorization ends the user name at a colon, so an address with one could never work.
fn email(typed: &str) -> Result<String, Error> {
    let email = typed.trim_matches(|c: char| c.is_whitespace() || "\"'<>".contains(c));
    let whole = match email.split_once('@') {
        Some((name, domain)) => !name.is_empty() && !domain.is_empty() && !domain.contains('@'),
        None => false,
    };
    let plain = !email.chars().any(|c| c.is_control() || c.is_whitespace() || ":,;<>\"\\".contains(c));
    if whole && plain && email.len() <= 254 {
        return Ok(email.to_owned());
    }
    let message = if email.starts_with("ATATT") {
        "There is an API token where the e-mail address belongs."
    } else {
        "The e-mail address is not one."
    };
    let remedy = "Give the address that the Atlassian account has, such as name@example.com.";
    Err(Failure::input("email-invalid", "/email", "E-mail", message, remedy).permanent())
}

#[cfg(test)]
mod tests {
    use super::prepare;
    use serde_json::json;

    #[test]
    fn a_form_becomes_settings_and_origins_of_which_the_api_alone_gets_the_credential() {
        let form = json!({ "site": "Demo", "email": " administrator@example.test ", "expires": "2027-01-31" });
        let prepared = prepare(&form).expect("a good form");
        assert_eq!(prepared.settings["site"], "https://demo.atlassian.net/");
        assert_eq!(prepared.settings["email"], "administrator@example.test");
        assert_eq!(prepared.settings["expires"], "2027-01-31");
        assert_eq!(prepared.corrections.len(), 2);
        assert_eq!(prepared.form["site"], "https://demo.atlassian.net/");
        assert_eq!(prepared.form["email"], "administrator@example.test");
        let secret =
            prepare(&json!({ "site": "https://demo.atlassian.net/?os_password=not-real", "email": "a@b.test" }));
        assert!(!secret.is_ok_and(|prepared| prepared.form.to_string().contains("not-real")));
        let origins: Vec<_> = prepared.origins.iter().map(|origin| (origin.url.as_str(), origin.credential)).collect();
        assert_eq!(
            origins,
            [
                ("https://demo.atlassian.net/rest/api/2/serverInfo", false),
                ("https://demo.atlassian.net/_edge/tenant_info", false),
                ("https://demo.atlassian.net/", true),
                ("https://api.atlassian.com/ex/jira/", true),
            ]
        );
        let foreign = prepare(&json!({ "site": "https://demo.atlasian.net", "email": "a@example.test" }));
        assert!(foreign.expect("a form").origins.iter().all(|origin| !origin.credential), "no token goes there");
        let elsewhere = prepare(&json!({ "site": "http://127.0.0.1:8080", "email": "a@example.test" }));
        let origins = elsewhere.expect("a good form").origins;
        assert!(origins.iter().any(|origin| origin.credential), "{origins:?}");
        assert!(origins.iter().all(|origin| origin.url.starts_with("http://127.0.0.1:8080/")), "{origins:?}");
    }

    #[test]
    fn a_bad_form_names_the_field() {
        let pointer = |form| prepare(&form).map_err(|error| error.failure().fields[0].pointer.clone()).err();
        assert_eq!(pointer(json!({ "email": "a@example.test" })).as_deref(), Some("/site"));
        assert_eq!(pointer(json!({ "site": "https://a@b.test", "email": "a@example.test" })).as_deref(), Some("/site"));
        for email in ["", "a", "@", "a@", "a b@example.test", "a:b@example.test", "a@b@c", "a@b\r\nx: y"] {
            assert_eq!(pointer(json!({ "site": "demo", "email": email })).as_deref(), Some("/email"), "{email:?}");
        }
        for expires in ["tomorrow", "2027-02-30", "31.01.2027", "2027-01-31T00:00Z", "2027-1-31"] {
            let form = json!({ "site": "demo", "email": "a@example.test", "expires": expires });
            assert_eq!(pointer(form).as_deref(), Some("/expires"), "{expires:?}");
        }
    }
}
