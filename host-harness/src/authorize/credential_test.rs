use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::clock::SystemClock;
use crate::store::Store;

struct Kept {
    _folder: tempfile::TempDir,
    vault: Vault,
}

fn kept(secret: &str) -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&folder.path().join("harness.db")).unwrap());
    let vault = Vault::open(&folder.path().join("vault.key"), store, SystemClock::shared()).unwrap();
    vault.put(Space::Connection, "c1", "token", &Secret::new(secret)).unwrap();
    Kept { _folder: folder, vault }
}

fn scheme(json: serde_json::Value) -> Scheme {
    serde_json::from_value(json).unwrap()
}

fn basic_scheme() -> Scheme {
    scheme(json!({"type": "basic", "username": {"field": "email"}, "password": {"secret": "token"}}))
}

fn build(scheme: &Scheme, email: &str, secret: &str) -> Result<Credential, CredentialError> {
    Credential::from_vault(scheme, &json!({"email": email}), &kept(secret).vault, "c1")
}

fn attached(credential: &Credential, uri: &str) -> (String, HeaderMap) {
    let mut uri: Uri = uri.parse().unwrap();
    let mut headers = HeaderMap::new();
    credential.attach(&mut uri, &mut headers).unwrap();
    (uri.to_string(), headers)
}

#[test]
fn basic_joins_user_and_password_as_rfc_7617_says() {
    let credential = build(&basic_scheme(), "Aladdin", "open-sesame").unwrap();
    let (_, headers) = attached(&credential, "https://example.test/");
    assert_eq!(headers[AUTHORIZATION], "Basic QWxhZGRpbjpvcGVuLXNlc2FtZQ==");
    assert!(headers[AUTHORIZATION].is_sensitive());
}

#[test]
fn bearer_has_one_blank() {
    let credential = build(&scheme(json!({"type": "bearer", "token": {"secret": "token"}})), "", "fake").unwrap();
    assert_eq!(attached(&credential, "https://example.test/").1[AUTHORIZATION], "Bearer fake");
}

#[test]
fn an_api_key_goes_into_its_header_or_its_query() {
    let key =
        |place: &str| scheme(json!({"type": "api-key", "in": place, "name": "x-key", "key": {"secret": "token"}}));
    let in_header = build(&key("header"), "", "fake").unwrap();
    assert_eq!(attached(&in_header, "https://example.test/").1["x-key"], "fake");
    let in_query = build(&key("query"), "", "f a&k=e").unwrap();
    assert_eq!(attached(&in_query, "https://example.test/a").0, "https://example.test/a?x-key=f+a%26k%3De");
    let (uri, _) = attached(&in_query, "https://example.test/a?b=1&x-key=mine&x%2Dkey=mine");
    assert_eq!(uri, "https://example.test/a?b=1&x-key=f+a%26k%3De");
}

#[test]
fn what_could_write_another_header_is_refused() {
    let bearer = scheme(json!({"type": "bearer", "token": {"secret": "token"}}));
    for bad in ["a\r\nx: y", "a\n", "a\rb", "a b", "a\0", "ä", "\u{2028}", "a\u{7f}", " a"] {
        assert!(matches!(build(&bearer, "", bad), Err(CredentialError::Unfit { .. })), "{bad:?}");
    }
    for (email, token) in [("a\r\nb", "t"), ("a:b", "t"), ("a", "t\n")] {
        assert!(matches!(build(&basic_scheme(), email, token), Err(CredentialError::Unfit { .. })));
    }
}

#[test]
fn errors_and_debug_forms_never_show_the_value() {
    let error = build(&basic_scheme(), "a", "canary\n").unwrap_err();
    let credential = build(&basic_scheme(), "a", "canary").unwrap();
    assert!(!format!("{error} {error:?} {credential:?}").contains("canary"));
}

#[test]
fn a_missing_part_is_named() {
    assert!(matches!(build(&basic_scheme(), "", "x"), Err(CredentialError::FieldMissing(name)) if name == "email"));
    assert!(matches!(build(&basic_scheme(), "a", ""), Err(CredentialError::SecretMissing(name)) if name == "token"));
}

#[test]
fn schemes_whose_tokens_have_to_be_got_first_are_no_secret_of_the_form() {
    for later in [
        json!({"type": "oauth2", "grant": "authorization-code", "token-url": "https://example.test/token",
               "client-id": {"app": "id"}}),
        json!({"type": "oauth1", "request-token-url": "r", "authorization-url": "a", "access-token-url": "t",
               "consumer-key": {"app": "key"}}),
    ] {
        assert!(matches!(build(&scheme(later), "a", "x"), Err(CredentialError::NotOffered(_))));
    }
}

#[test]
fn fingerprints_tell_credentials_apart_and_differ_between_vaults() {
    let kept = kept("fake-1");
    let of = || Credential::from_vault(&basic_scheme(), &json!({"email": "a"}), &kept.vault, "c1").unwrap();
    let first = of();
    assert_eq!(first.fingerprint(), of().fingerprint());
    kept.vault.put(Space::Connection, "c1", "token", &Secret::new("fake-2")).unwrap();
    assert_ne!(first.fingerprint(), of().fingerprint());
    assert_ne!(first.fingerprint(), build(&basic_scheme(), "a", "fake-1").unwrap().fingerprint());
}
