//! Proof Key for Code Exchange (RFC 7636): honoured when sent, never demanded.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// What the authorization request promised to prove.
#[derive(Clone)]
pub(crate) enum Challenge {
    Plain(String),
    S256(String),
}

/// Reads `code_challenge` and `code_challenge_method`.
///
/// # Errors
/// What is wrong with them, for `error_description`.
pub(super) fn challenge(challenge: Option<&str>, method: Option<&str>) -> Result<Option<Challenge>, String> {
    let Some(challenge) = challenge else {
        return if method.is_some() { Err("code_challenge is missing".to_owned()) } else { Ok(None) };
    };
    let sane = (43..=128).contains(&challenge.len())
        && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    if !sane {
        return Err("code_challenge is not 43 to 128 unreserved characters".to_owned());
    }
    match method {
        None | Some("plain") => Ok(Some(Challenge::Plain(challenge.to_owned()))),
        Some("S256") => Ok(Some(Challenge::S256(challenge.to_owned()))),
        Some(_) => Err("code_challenge_method is neither S256 nor plain".to_owned()),
    }
}

/// Whether a verifier proves what was promised; none is right only where nothing was.
pub(super) fn verify(challenge: Option<&Challenge>, verifier: Option<&str>) -> bool {
    match (challenge, verifier) {
        (None, None) => true,
        // A verifier for a code that was asked for without a challenge: somebody stripped it on the way.
        (None, Some(_)) | (Some(_), None) => false,
        (Some(Challenge::Plain(expected)), Some(verifier)) => expected == verifier,
        (Some(Challenge::S256(expected)), Some(verifier)) => {
            *expected == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_verified_and_nothing_else() {
        let sent = challenge(Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"), Some("S256")).expect("a challenge");
        assert!(verify(sent.as_ref(), Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")));
        assert!(!verify(sent.as_ref(), Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK")));
        assert!(!verify(sent.as_ref(), None));
        let plain = challenge(Some(&"a".repeat(43)), None).expect("a challenge");
        assert!(verify(plain.as_ref(), Some(&"a".repeat(43))) && !verify(plain.as_ref(), Some(&"b".repeat(43))));
        assert!(challenge(Some("short"), Some("S256")).is_err());
        assert!(challenge(Some(&"a".repeat(43)), Some("S512")).is_err());
    }
}
