//! Answers to a call that registers: a service may show the signing secret again, and the guest must not see it.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue};

use crate::authorize::SigningSecret;

/// Whether the body is written in a way in which the secret could not be found.
pub(super) fn is_veiled(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Puts the placeholder wherever the secret stands, in the headers and in the body.
pub(super) fn hide(signing: &SigningSecret, headers: &mut HeaderMap, body: Bytes) -> Bytes {
    let (secret, placeholder) = (signing.secret.expose().as_bytes(), signing.placeholder.as_bytes());
    for value in headers.values_mut() {
        if let Some(hidden) = replaced(value.as_bytes(), secret, placeholder) {
            *value = HeaderValue::from_bytes(&hidden).unwrap_or(HeaderValue::from_static(""));
        }
    }
    let Some(hidden) = replaced(&body, secret, placeholder) else { return body };
    if headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(hidden.len()));
    }
    Bytes::from(hidden)
}

/// The bytes with `with` in the place of every `what`; none where there is no such place.
fn replaced(bytes: &[u8], what: &[u8], with: &[u8]) -> Option<Vec<u8>> {
    let mut found = false;
    let mut out = Vec::new();
    let mut rest = bytes;
    while !what.is_empty() && rest.len() >= what.len() {
        if rest.starts_with(what) {
            found = true;
            out.extend_from_slice(with);
            rest = &rest[what.len()..];
        } else {
            out.push(rest[0]);
            rest = &rest[1..];
        }
    }
    out.extend_from_slice(rest);
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::Secret;

    fn signing() -> SigningSecret {
        SigningSecret { placeholder: "%placeholder%".into(), secret: Secret::new("obviously-fake-secret") }
    }

    #[test]
    fn a_secret_that_is_shown_again_becomes_the_placeholder() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("63"));
        headers.insert("x-shown", HeaderValue::from_static("is obviously-fake-secret"));
        let body = Bytes::from_static(br#"{"secret":"obviously-fake-secret","again":"obviously-fake-secret"}"#);
        let hidden = hide(&signing(), &mut headers, body);
        assert_eq!(hidden, br#"{"secret":"%placeholder%","again":"%placeholder%"}"#.as_slice());
        assert_eq!(headers[CONTENT_LENGTH], hidden.len().to_string());
        assert_eq!(headers["x-shown"], "is %placeholder%");
    }

    #[test]
    fn all_other_answers_stay_as_they_are() {
        for body in ["", "obviously", "obviously-fake-secre", "a fairly long body without anything of the kind"] {
            let mut headers = HeaderMap::new();
            assert_eq!(hide(&signing(), &mut headers, Bytes::from(body)), body);
        }
    }

    #[test]
    fn a_body_that_cannot_be_read_is_known_by_its_header() {
        let mut headers = HeaderMap::new();
        assert!(!is_veiled(&headers));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(is_veiled(&headers));
    }
}
