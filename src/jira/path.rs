//! Paths and queries: every value is encoded, so that none can become another path.

use crate::contract::{Error, Failure};

/// Percent-encodes everything but the unreserved characters of RFC 3986.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// One path segment from a value that came from outside. `.`, `..` and nothing at all can't be encoded into a plain
/// segment, and no key or id has control characters: they are refused.
pub(crate) fn segment(value: &str, pointer: &str, name: &str) -> Result<String, Error> {
    let value = value.trim();
    if value.is_empty() || value == "." || value == ".." || value.len() > 255 || value.chars().any(char::is_control) {
        return Err(key_invalid(pointer, name));
    }
    Ok(encode(value))
}

/// A reference to an issue that came from outside, without the blanks around it: a key or an id, which have letters,
/// digits, `_` and `-` alone. Nothing of it needs encoding; whatever else it holds could become another path.
pub(crate) fn issue<'v>(value: &'v str, pointer: &str, name: &str) -> Result<&'v str, Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let value = value.trim();
    if value.is_empty() || value.len() > 255 || !value.bytes().all(plain) {
        return Err(key_invalid(pointer, name));
    }
    Ok(value)
}

fn key_invalid(pointer: &str, name: &str) -> Error {
    let message = format!("{name} is not a key or an id.");
    Failure::input("key-invalid", pointer, name, message, "Give a key such as DEMO-1 or an id.").permanent()
}

/// The query, with `?`, or nothing.
pub(crate) fn query(pairs: &[(String, String)]) -> String {
    let joined: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    if joined.is_empty() { String::new() } else { format!("?{}", joined.join("&")) }
}

/// Checks a path that a person wrote whole, and gives it without its leading slash. It may hold encoded characters,
/// but none that a server might decode into another path.
pub(crate) fn relative(path: &str, pointer: &str) -> Result<String, Error> {
    let refuse = |why: &str| {
        let remedy = "Give a path such as issue/DEMO-1; parameters go into `query`.";
        Err(Failure::input("path-refused", pointer, "Path", format!("The path {why}."), remedy).permanent())
    };
    let path = path.trim();
    if path.is_empty() || path.len() > 2048 {
        return refuse("is empty or too long");
    }
    if path.starts_with("//") || path.contains("://") || path.contains('\\') {
        return refuse("names another server");
    }
    if path.contains(['?', '#']) {
        return refuse("contains ? or #");
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    for part in path.split('/') {
        let Some(decoded) = decode(part) else { return refuse("contains a % that encodes nothing") };
        if matches!(decoded.as_slice(), b"" | b"." | b"..") && !(decoded.is_empty() && path.ends_with('/')) {
            return refuse("contains an empty part, or one that leads upwards (`.` or `..`)");
        }
        if decoded.iter().any(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#' | b'%' | b';' | 0..=31 | 127)) {
            return refuse("contains encoded separators or control characters");
        }
    }
    if path.contains("//") {
        return refuse("contains an empty part, or one that leads upwards (`.` or `..`)");
    }
    // What is encoded stays as it is; what should be encoded becomes so.
    Ok(path.split('/').map(encode_kept).collect::<Vec<_>>().join("/"))
}

fn encode_kept(part: &str) -> String {
    let decoded = decode(part).unwrap_or_default();
    let mut encoded = String::new();
    for byte in decoded {
        if byte.is_ascii_alphanumeric() || b"-_~.!$&'()*+,=:@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn decode(part: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::{encode, issue, relative, segment};
    use proptest::prelude::*;

    #[test]
    fn keys_are_encoded_so_that_they_stay_one_segment() {
        assert_eq!(segment("DEMO-1", "/issue", "Issue").ok().as_deref(), Some("DEMO-1"));
        assert_eq!(segment("../../admin", "/issue", "Issue").ok().as_deref(), Some("..%2F..%2Fadmin"));
        assert_eq!(segment("DEMO-1?x#y", "/issue", "Issue").ok().as_deref(), Some("DEMO-1%3Fx%23y"));
        assert_eq!(segment("%2e%2e", "/issue", "Issue").ok().as_deref(), Some("%252e%252e"));
        for refused in ["", " ", ".", "..", "a\nb"] {
            assert!(segment(refused, "/issue", "Issue").is_err(), "{refused:?}");
        }
    }

    #[test]
    fn an_issue_is_a_key_or_an_id_and_nothing_else() {
        for (typed, meant) in [("DEMO-1", "DEMO-1"), (" 10001 ", "10001"), ("my_proj-2", "my_proj-2")] {
            assert_eq!(issue(typed, "/issue", "Issue").ok(), Some(meant));
        }
        for refused in ["", " ", "..", "DEMO 1", "DEMO-1/x", "DEMO-1\\..", "%44EMO-1", "D.1", "D\u{c9}MO-1", "a\nb"] {
            let error = issue(refused, "/parent", "Parent").expect_err(refused);
            assert_eq!(error.failure().code, "jira.key-invalid");
            assert_eq!(error.failure().fields[0].pointer, "/parent");
        }
        assert!(issue(&"1".repeat(256), "/issue", "Issue").is_err());
    }

    #[test]
    fn whole_paths_cannot_leave_the_api() {
        for refused in [
            "",
            "..",
            "issue/../admin",
            "%2e%2e/admin",
            "issue/%2E%2E/x",
            "//evil.test/x",
            "https://evil.test/",
            "a\\b",
            "issue?x=1",
            "issue#x",
            "issue/%2fadmin",
            "a//b",
            "%zz",
            "%",
            "issue/%00",
            "x;y%3b",
            "%252e%252e/a",
        ] {
            assert!(relative(refused, "/path").is_err(), "{refused:?}");
        }
        assert_eq!(relative("/issue/DEMO-1", "/path").ok().as_deref(), Some("issue/DEMO-1"));
        assert_eq!(relative("user/search me", "/path").ok().as_deref(), Some("user/search%20me"));
    }

    proptest! {
        #[test]
        fn a_segment_never_escapes(value in "\\PC{0,60}") {
            if let Ok(segment) = segment(&value, "/issue", "Issue") {
                prop_assert!(!segment.contains(['/', '?', '#', '\\']) && segment != ".." && segment != ".");
            }
        }

        #[test]
        fn a_path_never_escapes(value in "[a-z/.%2eE5cf?#:;\\\\]{0,40}") {
            if let Ok(path) = relative(&value, "/path") {
                prop_assert!(!path.starts_with('/') && !path.contains(['?', '#', '\\']));
                prop_assert!(path.split('/').all(|part| part != "." && part != ".."));
            }
        }

        #[test]
        fn encoding_leaves_only_plain_characters(value in "\\PC{0,60}") {
            prop_assert!(encode(&value).bytes().all(|b| b.is_ascii_alphanumeric() || b"-_~.%".contains(&b)));
        }
    }
}
