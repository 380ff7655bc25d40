//! The one place where a secret enters a body: the placeholder that a connector writes where a
//! service wants the secret it will sign deliveries with.

use serde_json::Value as Json;

use crate::vault::Secret;

/// Puts the secret in the place of the placeholder, where `body` is JSON and the string at one of the `pointers`
/// (RFC 6901) is exactly the placeholder; the first of them counts. None leaves the body as it is.
pub(crate) fn substitute(body: &[u8], pointers: &[String], placeholder: &str, secret: &Secret) -> Option<Vec<u8>> {
    if placeholder.is_empty() {
        return None;
    }
    let mut json: Json = serde_json::from_slice(body).ok()?;
    let holds = |pointer: &&String| json.pointer(pointer).and_then(Json::as_str) == Some(placeholder);
    let pointer = pointers.iter().find(holds)?;
    let place = json.pointer_mut(pointer)?;
    *place = Json::String(secret.expose().to_owned());
    serde_json::to_vec(&json).ok()
}

/// Whether the placeholder stands in these bytes, as they are or, where they are JSON, once that is read.
pub(crate) fn is_stray(bytes: &[u8], placeholder: &str) -> bool {
    let stands_in = |bytes: &[u8]| bytes.windows(placeholder.len()).any(|part| part == placeholder.as_bytes());
    if placeholder.is_empty() || bytes.is_empty() {
        return false;
    }
    // JSON can spell every letter as an escape.
    let respelled = |bytes: &[u8]| serde_json::to_vec(&serde_json::from_slice::<Json>(bytes).ok()?).ok();
    stands_in(bytes) || (bytes.contains(&b'\\') && respelled(bytes).is_some_and(|plain| stands_in(&plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(body: &str) -> Option<String> {
        let secret = Secret::new("obviously-fake-secret");
        let pointers = ["/secret".to_owned(), "/set/SECRET".to_owned()];
        substitute(body.as_bytes(), &pointers, "%placeholder%", &secret).map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn the_string_at_the_pointer_becomes_the_secret() {
        let sent = put(r#"{"name":"hook","secret":"%placeholder%"}"#).unwrap();
        assert_eq!(sent, r#"{"name":"hook","secret":"obviously-fake-secret"}"#);
    }

    #[test]
    fn where_it_may_stand_at_several_places_only_one_of_them_becomes_the_secret() {
        let sent = put(r#"{"set":{"SECRET":"%placeholder%"}}"#).unwrap();
        assert_eq!(sent, r#"{"set":{"SECRET":"obviously-fake-secret"}}"#);
        let both = put(r#"{"secret":"%placeholder%","set":{"SECRET":"%placeholder%"}}"#).unwrap();
        assert!(is_stray(both.as_bytes(), "%placeholder%"), "what is left over keeps it from being sent");
        assert_eq!(put(r#"{"SECRET":"%placeholder%"}"#), None);
    }

    #[test]
    fn k3_a_placeholder_is_found_however_it_is_spelled() {
        for shown in
            ["%placeholder%", "a=%placeholder%&b", r#"{"a":["x%placeholder%"]}"#, r#"{"a":"\u0025placeholder%"}"#]
        {
            assert!(is_stray(shown.as_bytes(), "%placeholder%"), "{shown}");
        }
        for other in ["", "%placeholder", r#"{"secret":"another"}"#, r#"{"a":"\n"}"#] {
            assert!(!is_stray(other.as_bytes(), "%placeholder%"), "{other}");
        }
    }

    #[test]
    fn k3_everywhere_else_the_placeholder_stays_what_it_is() {
        for body in [
            r#"{"name":"%placeholder%"}"#,
            r#"{"secret":"x%placeholder%"}"#,
            r#"{"secret":"%placeholder%x"}"#,
            r#"{"secret":["%placeholder%"]}"#,
            r#"{"secret":{"secret":"%placeholder%"}}"#,
            r#"{"secret":"%PLACEHOLDER%"}"#,
            r#"["%placeholder%"]"#,
            r#""%placeholder%""#,
            "secret=%placeholder%",
            "%placeholder%",
            "",
        ] {
            assert_eq!(put(body), None, "{body}");
        }
    }
}
