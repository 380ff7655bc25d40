//! What looks like a secret is left out of log lines. The host's own secrets never get that far; this is for those that
//! people put into texts: a token pasted into a comment comes back in a service's words about it.

use std::borrow::Cow;

/// What stands in its place.
const HIDDEN: &str = "[hidden]";
/// The shortest text that is taken for a token by its looks.
const LONG: usize = 20;
/// The shortest one behind the name of a scheme.
const BEHIND_SCHEME: usize = 8;
/// What a credential stands behind in an `Authorization` header.
const SCHEMES: [&str; 4] = ["basic", "bearer", "token", "oauth"];

/// A line without what looks like a secret: what stands behind the name of a scheme, and long texts in which capitals,
/// small letters and digits are mixed as nobody writes them. Ids and digests, which have no capitals, stay.
pub(super) fn veiled(line: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut copied, mut behind_scheme) = (0, false);
    let mut rest = 0;
    while let Some(start) = line[rest..].find(is_token).map(|at| rest + at) {
        let end = line[start..].find(|c| !is_token(c)).map_or(line.len(), |at| start + at);
        let gap = &line[rest..start];
        let word = line[start..end].trim_end_matches('.');
        let follows = behind_scheme && !gap.is_empty() && gap.chars().all(|c| c == ' ' || c == ':');
        if (follows && word.len() >= BEHIND_SCHEME && !is_prose(word)) || is_secret(word) {
            out.push_str(&line[copied..start]);
            out.push_str(HIDDEN);
            copied = start + word.len();
        }
        let lower = word.to_ascii_lowercase();
        behind_scheme = SCHEMES.iter().any(|scheme| lower.ends_with(scheme));
        rest = end;
    }
    if copied == 0 {
        return Cow::Borrowed(line);
    }
    out.push_str(&line[copied..]);
    Cow::Owned(out)
}

/// Whether a character may stand in a token: of Base64 in both alphabets, and of what is made of several of them.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '.' | '~')
}

fn is_prose(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'.'))
}

fn is_secret(word: &str) -> bool {
    // The parts of a path are names of their own.
    let is_path = word.starts_with(['/', '.', '~'])
        || word.split('/').any(|part| part.len() >= 4 && part.bytes().all(|byte| byte.is_ascii_lowercase()));
    if is_path { word.split('/').any(is_mixed) } else { is_mixed(word) }
}

fn is_mixed(word: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
    word.len() >= LONG
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
        && !word.split(['-', '_', '.', '/', '+', '~']).all(is_word)
}

/// Whether it is a word or a number as people write them: `Plan`, `DEMO`, `v2`, `2026`.
fn is_word(part: &str) -> bool {
    let letters = part.trim_end_matches(|c: char| c.is_ascii_digit());
    let rest = letters.strip_prefix(|c: char| c.is_ascii_uppercase()).unwrap_or(letters);
    letters.bytes().all(|byte| byte.is_ascii_uppercase()) || rest.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k5_what_looks_like_a_secret_is_left_out_of_a_line() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJmYWtlIiwiaWF0IjoxfQ.c2lnbmF0dXJlLXRoYXQtaXMtZmFrZQ";
        for secret in [
            jwt,
            "ATATT3xFfGF0fakefakeFAKE0123456789_fake-fake=",
            "MDAwMDAwMDAwMDAwOmZha2UvZmFrZS9mYWtlLzEyMw",
            "xoxb-0000000000-FAKEfakeFAKEfake1",
            "Ab1cD/9dE2fG+hI3jK/lM4nO5pQ6r",
        ] {
            let line = format!("WARN reason=\"The value '{secret}' does not exist.\" run=0123456789abcdef");
            let shown = veiled(&line);
            assert!(!shown.contains(secret.trim_end_matches('=')) && shown.contains(HIDDEN), "{shown}");
            assert!(shown.ends_with("does not exist.\" run=0123456789abcdef"), "{shown}");
        }
        for (line, shown) in [
            ("Authorization: Basic ZmFrZTpmYWtl.", "Authorization: Basic [hidden]."),
            ("a\\nbearer  fake-1234\\n", "a\\nbearer  [hidden]\\n"),
            ("token: FAKEFAKE", "token: [hidden]"),
        ] {
            assert_eq!(veiled(line), shown);
        }
    }

    #[test]
    fn k5_what_people_need_of_a_line_stays() {
        for line in [
            "2026-11-22T19:00:07.724541Z  WARN a run ended badly run=\"0k1m2n3p4q5r6s7t\" flow=\"Answer-Requests-Of-2026\"",
            "loading /home/Somebody1/work-2026/target/release/Jira_Connector_2.wasm (compiled once)",
            "sha256 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "https://Tracker01.Example.test:8443/rest/api/3/issue/DEMO-123?fields=summary",
            "basic knowledge of the bearer authentication-scheme, and 550e8400-e29b-41d4-a716-446655440000",
            "host-harness/src/engine/advance.rs:375",
        ] {
            assert!(matches!(veiled(line), Cow::Borrowed(_)), "{}", veiled(line));
        }
    }
}
