//! Proves deliveries, in constant time, by exactly the kind that was registered and nothing weaker.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use subtle::ConstantTimeEq as _;

use crate::clock::EpochMs;
use crate::plugin::contract::event::{
    Digest, Encoding, Jwt, Mac, Proof, SecretRef, Signature, SignatureAlgorithm, SignedPart, Token, TokenPlace,
};

/// A delivery as it came over the wire, before anything is believed of it.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The callback as it was registered.
    pub url: &'a str,
    /// The last segment of the path it came to.
    pub last_segment: &'a str,
    /// The query, without `?`.
    pub query: &'a str,
    /// The headers: names in lower case, a header that came twice is here twice.
    pub headers: &'a [(String, Vec<u8>)],
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// What proved a delivery, and so must not be passed on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stripped {
    /// Names of headers.
    pub headers: Vec<String>,
    /// Names of query parameters.
    pub query: Vec<String>,
}

/// Why a delivery was not believed. Goes to the log, never to the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What should prove it is absent.
    #[error("what should prove it is absent")]
    Missing,
    /// What should prove it is there more than once.
    #[error("what should prove it is there more than once")]
    Repeated,
    /// What should prove it is not written as registered.
    #[error("what should prove it is not written as registered")]
    Malformed,
    /// The proof is of something else, or by somebody else.
    #[error("the proof does not hold")]
    Mismatch,
    /// The proof is too old, or from the future.
    #[error("the proof is too old, or from the future")]
    OutOfTime,
    /// The registration asks for a proof that this host cannot make sense of.
    #[error("the registered proof cannot be checked by this host")]
    Unsupported,
    /// The secret of the registration is gone.
    #[error("the secret of the registration is not in the vault")]
    NoSecret,
}

/// Whether the host can prove by this at all. Asked before a registration is kept.
pub fn is_supported(proof: &Proof) -> bool {
    match proof {
        Proof::Jwt(jwt) => {
            !jwt.algorithms.is_empty() && jwt.algorithms.iter().all(|name| hmac_algorithm(name).is_some())
        }
        Proof::Mac(mac) => is_sound(mac),
        Proof::Signature(signature) => signs_body(&signature.signed) && public_key(&signature.key).is_some(),
        Proof::Token(_) | Proof::Authenticate | Proof::None => true,
    }
}

/// Whether all that counts is signed: the body, and the time where there is one.
fn is_sound(mac: &Mac) -> bool {
    signs_body(&mac.signed)
        && mac.timestamp.as_ref().is_none_or(|stamp| mac.signed.iter().any(|part| same(part, &stamp.part)))
}

/// A proof that leaves the body out would hold for any body.
fn signs_body(signed: &[SignedPart]) -> bool {
    signed.iter().any(|part| matches!(part, SignedPart::RawBody))
}

/// Where the secret of a proof is kept; none for proofs without one.
pub fn secret_of(proof: &Proof) -> Option<&SecretRef> {
    match proof {
        Proof::Mac(mac) => Some(&mac.secret),
        Proof::Jwt(jwt) => Some(&jwt.secret),
        Proof::Token(token) => Some(&token.secret),
        Proof::Signature(_) | Proof::Authenticate | Proof::None => None,
    }
}

/// A word for the kind of a proof.
pub fn kind(proof: &Proof) -> &'static str {
    match proof {
        Proof::Mac(_) => "mac",
        Proof::Jwt(_) => "jwt",
        Proof::Token(_) => "token",
        Proof::Signature(_) => "signature",
        Proof::Authenticate => "authenticate",
        Proof::None => "none",
    }
}

/// Proves a delivery. `Authenticate` is the connector's to prove and is refused here.
pub fn prove(proof: &Proof, incoming: &Incoming<'_>, secret: Option<&[u8]>, now: EpochMs) -> Result<Stripped, Refusal> {
    let secret = || secret.filter(|bytes| !bytes.is_empty()).ok_or(Refusal::NoSecret);
    match proof {
        Proof::Mac(mac) => prove_mac(mac, incoming, secret()?, now),
        Proof::Jwt(jwt) => prove_jwt(jwt, incoming, secret()?, now),
        Proof::Token(token) => prove_token(token, incoming, secret()?),
        Proof::Signature(signature) => prove_signature(signature, incoming),
        Proof::Authenticate => Err(Refusal::Unsupported),
        Proof::None => Ok(Stripped::default()),
    }
}

fn prove_mac(mac: &Mac, incoming: &Incoming<'_>, secret: &[u8], now: EpochMs) -> Result<Stripped, Refusal> {
    if !is_sound(mac) {
        return Err(Refusal::Unsupported);
    }
    let value = only_header(incoming, &mac.header)?;
    let written = match &mac.element {
        None => vec![value],
        Some(element) => elements(value, element),
    };
    if written.is_empty() {
        return Err(Refusal::Missing);
    }
    let message = signed_parts(&mac.signed, incoming)?;
    let mut outcome = Err(Refusal::Malformed);
    for one in written {
        let code = one.strip_prefix(mac.prefix.as_str()).ok_or(Refusal::Malformed);
        match code.and_then(|code| decode(code, mac.encoding)) {
            Ok(code) if mac_holds(mac.algorithm, secret, &message, &code) => outcome = Ok(()),
            Ok(_) if outcome.is_err() => outcome = Err(Refusal::Mismatch),
            _ => {}
        }
    }
    outcome?;
    // The time counts only once it is known to be the sender's.
    if let Some(stamp) = &mac.timestamp {
        let text = signed_parts(std::slice::from_ref(&stamp.part), incoming)?.concat();
        let text = std::str::from_utf8(&text).map_err(|_| Refusal::Malformed)?;
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refusal::Malformed);
        }
        let at: u64 = text.parse().map_err(|_| Refusal::Malformed)?;
        if at.abs_diff(now / 1000) > u64::from(stamp.tolerance_s) {
            return Err(Refusal::OutOfTime);
        }
    }
    Ok(Stripped { headers: vec![mac.header.to_ascii_lowercase()], query: vec![] })
}

fn mac_holds(algorithm: Digest, secret: &[u8], message: &[&[u8]], code: &[u8]) -> bool {
    macro_rules! check {
        ($digest:ty) => {{
            // A key of any length makes an HMAC.
            let Ok(mut mac) = Hmac::<$digest>::new_from_slice(secret) else { return false };
            message.iter().for_each(|part| mac.update(part));
            mac.verify_slice(code).is_ok()
        }};
    }
    match algorithm {
        Digest::Sha1 => check!(sha1::Sha1),
        Digest::Sha256 => check!(sha2::Sha256),
        Digest::Sha512 => check!(sha2::Sha512),
    }
}

fn prove_jwt(jwt: &Jwt, incoming: &Incoming<'_>, secret: &[u8], now: EpochMs) -> Result<Stripped, Refusal> {
    let algorithms: Option<Vec<_>> = jwt.algorithms.iter().map(|name| hmac_algorithm(name)).collect();
    let algorithms = algorithms.filter(|list| !list.is_empty()).ok_or(Refusal::Unsupported)?;
    let value = only_header(incoming, &jwt.header)?;
    let token = value.strip_prefix(jwt.prefix.as_str()).ok_or(Refusal::Malformed)?;
    let mut validation = Validation::new(algorithms[0]);
    validation.algorithms = algorithms;
    validation.required_spec_claims.clear();
    // Times are checked below, by the host's clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let claims = jsonwebtoken::decode::<serde_json::Value>(token, &DecodingKey::from_secret(secret), &validation)
        .map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => Refusal::Mismatch,
            jsonwebtoken::errors::ErrorKind::InvalidAlgorithm => Refusal::Mismatch,
            _ => Refusal::Malformed,
        })?
        .claims;
    let (now, leeway) = (now as f64 / 1000.0, f64::from(jwt.leeway_s));
    for (claim, too_late) in [("exp", true), ("nbf", false), ("iat", false)] {
        match claims.get(claim) {
            None => {}
            Some(time) => {
                let time = time.as_f64().ok_or(Refusal::Malformed)?;
                if (too_late && time + leeway <= now) || (!too_late && time - leeway > now) {
                    return Err(Refusal::OutOfTime);
                }
            }
        }
    }
    Ok(Stripped { headers: vec![jwt.header.to_ascii_lowercase()], query: vec![] })
}

/// Only algorithms that a shared secret can check: a public key is never taken for one.
fn hmac_algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "HS256" => Some(Algorithm::HS256),
        "HS384" => Some(Algorithm::HS384),
        "HS512" => Some(Algorithm::HS512),
        _ => None,
    }
}

fn prove_token(token: &Token, incoming: &Incoming<'_>, secret: &[u8]) -> Result<Stripped, Refusal> {
    let (written, stripped) = match &token.place {
        TokenPlace::Header(name) => (
            only_header(incoming, name)?.to_owned(),
            Stripped { headers: vec![name.to_ascii_lowercase()], query: vec![] },
        ),
        TokenPlace::Query(name) => {
            let mut found =
                url::form_urlencoded::parse(incoming.query.as_bytes()).filter(|(key, _)| key == name.as_str());
            let (_, value) = found.next().ok_or(Refusal::Missing)?;
            if found.next().is_some() {
                return Err(Refusal::Repeated);
            }
            (value.into_owned(), Stripped { headers: vec![], query: vec![name.clone()] })
        }
        TokenPlace::Path => (incoming.last_segment.to_owned(), Stripped::default()),
    };
    if bool::from(written.as_bytes().ct_eq(secret)) { Ok(stripped) } else { Err(Refusal::Mismatch) }
}

fn prove_signature(signature: &Signature, incoming: &Incoming<'_>) -> Result<Stripped, Refusal> {
    if !signs_body(&signature.signed) {
        return Err(Refusal::Unsupported);
    }
    let value = only_header(incoming, &signature.header)?;
    let written = decode(value, signature.encoding)?;
    let message = signed_parts(&signature.signed, incoming)?.concat();
    let key = public_key(&signature.key).ok_or(Refusal::Unsupported)?;
    let key = webpki::RawPublicKeyEntity::try_from(&key).map_err(|_| Refusal::Unsupported)?;
    let algorithm = match signature.algorithm {
        SignatureAlgorithm::Ed25519 => webpki::ring::ED25519,
        SignatureAlgorithm::RsaSha256 => webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    };
    key.verify_signature(algorithm, &message, &written).map_err(|_| Refusal::Mismatch)?;
    Ok(Stripped { headers: vec![signature.header.to_ascii_lowercase()], query: vec![] })
}

fn public_key(pem: &str) -> Option<rustls::pki_types::SubjectPublicKeyInfoDer<'static>> {
    use rustls::pki_types::pem::PemObject as _;
    rustls::pki_types::SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()
}

/// The value of a header that must be there exactly once.
fn only_header<'a>(incoming: &Incoming<'a>, name: &str) -> Result<&'a str, Refusal> {
    let mut found = incoming.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    let (_, value) = found.next().ok_or(Refusal::Missing)?;
    if found.next().is_some() {
        return Err(Refusal::Repeated);
    }
    std::str::from_utf8(value).map_err(|_| Refusal::Malformed)
}

/// The values of one element of a header that holds `name=value` pairs separated by commas.
fn elements<'a>(header: &'a str, element: &str) -> Vec<&'a str> {
    header
        .split(',')
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == element)
        .map(|(_, value)| value)
        .collect()
}

fn signed_parts<'a>(parts: &'a [SignedPart], incoming: &Incoming<'a>) -> Result<Vec<&'a [u8]>, Refusal> {
    parts
        .iter()
        .map(|part| match part {
            SignedPart::Literal(text) => Ok(text.as_bytes()),
            SignedPart::Header(name) => only_header(incoming, name).map(str::as_bytes),
            SignedPart::HeaderElement(place) => {
                let found = elements(only_header(incoming, &place.header)?, &place.element);
                match found.as_slice() {
                    [] => Err(Refusal::Missing),
                    [one] => Ok(one.as_bytes()),
                    _ => Err(Refusal::Repeated),
                }
            }
            SignedPart::Url => Ok(incoming.url.as_bytes()),
            SignedPart::RawBody => Ok(incoming.body),
        })
        .collect()
}

fn same(one: &SignedPart, other: &SignedPart) -> bool {
    match (one, other) {
        (SignedPart::Literal(a), SignedPart::Literal(b)) => a == b,
        (SignedPart::Header(a), SignedPart::Header(b)) => a.eq_ignore_ascii_case(b),
        (SignedPart::HeaderElement(a), SignedPart::HeaderElement(b)) => {
            a.header.eq_ignore_ascii_case(&b.header) && a.element == b.element
        }
        (SignedPart::Url, SignedPart::Url) | (SignedPart::RawBody, SignedPart::RawBody) => true,
        _ => false,
    }
}

fn decode(text: &str, encoding: Encoding) -> Result<Vec<u8>, Refusal> {
    if text.is_empty() {
        return Err(Refusal::Missing);
    }
    match encoding {
        Encoding::Hex if text.bytes().any(|byte| byte.is_ascii_uppercase()) => Err(Refusal::Malformed),
        Encoding::Hex => hex::decode(text).map_err(|_| Refusal::Malformed),
        Encoding::Base64 => STANDARD.decode(text).map_err(|_| Refusal::Malformed),
        Encoding::Base64url => URL_SAFE_NO_PAD.decode(text).map_err(|_| Refusal::Malformed),
    }
}
