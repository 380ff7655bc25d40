//! What gives a credential away: its secrets, in the spellings in which a service may say them back. An answer is
//! cleared of them on its way to the guest, so that neither the guest nor a log, a run or an error ever holds one.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::vault::Secret;

/// The shortest text that is looked for: a shorter one stands in answers by chance, and nobody can keep it secret.
const SHORTEST: usize = 8;
/// What stands in the place of each byte, so that all lengths stay as they are.
const MASK: u8 = b'*';

/// The texts to look for.
#[derive(Clone, Default)]
pub(crate) struct Traces(Arc<Vec<Secret>>);

impl Traces {
    /// Those of these texts: secrets, and what is sent of them.
    pub(crate) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all: Vec<Zeroizing<String>> = Vec::new();
        for text in texts {
            let (base64, url_safe) =
                (Zeroizing::new(STANDARD_NO_PAD.encode(text)), Zeroizing::new(URL_SAFE_NO_PAD.encode(text)));
            for one in [text.trim_end_matches('='), &base64, &url_safe] {
                let json = in_json(one);
                let slashes = spelt(one.len() * 7, json.split('/').flat_map(|part| ["\\/", part]).skip(1));
                let percent = spelt(one.len() * 3, utf8_percent_encode(one, NON_ALPHANUMERIC));
                let form = spelt(one.len() * 3, byte_serialize(one.as_bytes()));
                all.extend([Zeroizing::new(one.to_owned()), json, slashes, percent, form]);
            }
        }
        all.sort_unstable_by(|one, next| one.as_str().cmp(next));
        all.dedup();
        let worth = all.into_iter().filter(|one| one.len() >= SHORTEST).map(|one| Secret::new(one.as_str()));
        Self(Arc::new(worth.collect()))
    }

    /// The bytes with all of it made unreadable; none where nothing of it is in them.
    pub(crate) fn hidden(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for needle in self.0.iter().map(|one| one.expose().as_bytes()).filter(|needle| needle.len() <= bytes.len()) {
            found.extend(memmem::find_iter(bytes, needle).map(|at| at..at + needle.len()));
        }
        if found.is_empty() {
            return None;
        }
        let mut hidden = bytes.to_vec();
        for range in found {
            hidden[range].fill(MASK);
        }
        Some(hidden)
    }

    /// How many bytes at the end may be the beginning of such a text, the rest of which is still to come.
    pub(crate) fn begun(&self, bytes: &[u8]) -> usize {
        let needles = self.0.iter().map(|one| one.expose().as_bytes());
        let of_one = |needle: &[u8]| {
            let longest = (needle.len() - 1).min(bytes.len());
            (1..=longest).rev().find(|length| needle.starts_with(&bytes[bytes.len() - length..])).unwrap_or(0)
        };
        needles.map(of_one).max().unwrap_or(0)
    }
}

/// A spelling of a secret, with room for all of it from the beginning: what grows leaves copies behind.
fn spelt<'t>(room: usize, parts: impl Iterator<Item = &'t str>) -> Zeroizing<String> {
    let mut spelt = Zeroizing::new(String::with_capacity(room));
    spelt.extend(parts);
    spelt
}

/// A text as it stands between the quotes of JSON.
fn in_json(text: &str) -> Zeroizing<String> {
    // A character becomes six bytes at most: \u0000.
    let mut quoted = Zeroizing::new(Vec::with_capacity(text.len() * 6 + 2));
    let written = serde_json::to_writer(&mut *quoted, text).is_ok();
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).filter(|_| written).unwrap_or_default();
    spelt(inner.len(), std::str::from_utf8(inner).into_iter())
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traces([secret])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> String {
        let traces = Traces::of(["fake/secret\"1", "dXNlcjpmYWtlL3NlY3JldCIx"]);
        String::from_utf8(traces.hidden(text.as_bytes()).unwrap_or(text.into())).unwrap()
    }

    #[test]
    fn a_secret_is_hidden_in_every_spelling() {
        for spelling in [
            "fake/secret\"1",
            "fake/secret\\\"1",
            "fake\\/secret\\\"1",
            "fake%2Fsecret%221",
            "ZmFrZS9zZWNyZXQiMQ",
            "dXNlcjpmYWtlL3NlY3JldCIx",
        ] {
            let text = format!("you sent <{spelling}>, twice: <{spelling}>");
            let mask = "*".repeat(spelling.len());
            assert_eq!(hidden(&text), format!("you sent <{mask}>, twice: <{mask}>"));
        }
        assert_eq!(hidden("fake/secret is none"), "fake/secret is none");
        assert!(Traces::of(["short"]).hidden(b"too short to be looked for").is_none());
    }

    #[test]
    fn the_beginning_of_one_is_known_at_the_end_of_a_piece() {
        let traces = Traces::of(["obviously-fake"]);
        assert_eq!(traces.begun(b"here comes obvious"), 7);
        assert_eq!(traces.begun(b"nothing of the kind"), 0);
        assert_eq!(traces.begun(b""), 0);
    }
}
