//! Signatures of OAuth 1.0a (RFC 5849, section 3) with RSA-SHA1, and the key pairs they are made with.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rsa::rand_core::{CryptoRng, RngCore, impls};
use rsa::{RsaPrivateKey, RsaPublicKey};
use sha1::{Digest as _, Sha1};
use url::form_urlencoded;

use crate::clock::SharedClock;
use crate::vault::Secret;

/// Everything but the unreserved characters (section 3.6).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The length of the keys that are made.
const KEY_BITS: usize = 2048;

/// Why nothing can be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The key is none.
    #[error("the private key is not an RSA key in PKCS#8 PEM form: make the OAuth client again")]
    Key,
    /// The address has no host.
    #[error("what is signed has no absolute address")]
    Address,
    /// The key does not sign.
    #[error("the private key does not sign: it is too short for RSA-SHA1")]
    Signing,
}

/// Who signs, and with which key. Shows neither.
#[derive(Clone)]
pub struct Signer {
    consumer_key: String,
    key: RsaPrivateKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer([secret])")
    }
}

/// What makes one request differ from the next.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// A text that no other request of this second has.
    pub nonce: String,
    /// Seconds since 1970.
    pub timestamp: u64,
}

impl Stamp {
    /// A stamp of now.
    pub fn now(clock: &SharedClock) -> Self {
        let mut bytes = [0; 16];
        clock.fill_random(&mut bytes);
        Self { nonce: hex::encode(bytes), timestamp: clock.now_ms() / 1000 }
    }
}

impl Signer {
    /// A consumer and its private key (PKCS#8 PEM).
    pub fn new(consumer_key: &str, private_key: &Secret) -> Result<Self, SignatureError> {
        let key = RsaPrivateKey::from_pkcs8_pem(private_key.expose()).map_err(|_| SignatureError::Key)?;
        Ok(Self { consumer_key: consumer_key.to_owned(), key })
    }

    /// The value of the `Authorization` header for a request whose body is not form-encoded. `own` are further
    /// parameters of the protocol (`oauth_token`, `oauth_callback`, `oauth_verifier`); what stands in the query of the
    /// address is signed too.
    pub fn authorization(
        &self,
        method: &Method,
        uri: &Uri,
        own: &[(&str, &str)],
        stamp: &Stamp,
        clock: &SharedClock,
    ) -> Result<Secret, SignatureError> {
        let timestamp = stamp.timestamp.to_string();
        let mut parameters = vec![
            ("oauth_consumer_key", self.consumer_key.as_str()),
            ("oauth_nonce", &stamp.nonce),
            ("oauth_signature_method", "RSA-SHA1"),
            ("oauth_timestamp", &timestamp),
            ("oauth_version", "1.0"),
        ];
        parameters.extend_from_slice(own);
        let base = base_string(method, uri, &parameters)?;
        let digest = Sha1::digest(base.as_bytes());
        // With blinding, so that its time tells nothing about the key.
        let signature = self.key.sign_with_rng(&mut Random(clock), Pkcs1v15Sign::new::<Sha1>(), &digest);
        let signature = STANDARD.encode(signature.map_err(|_| SignatureError::Signing)?);
        parameters.push(("oauth_signature", &signature));
        let pairs: Vec<_> =
            parameters.iter().map(|(name, value)| format!("{}=\"{}\"", encode(name), encode(value))).collect();
        Ok(Secret::new(format!("OAuth {}", pairs.join(", "))))
    }
}

/// The text that is signed (section 3.4.1): the method, the address without its query, and all parameters: those of
/// the query, and `parameters`, which are not encoded.
pub fn base_string(method: &Method, uri: &Uri, parameters: &[(&str, &str)]) -> Result<String, SignatureError> {
    let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or(SignatureError::Address)?;
    let usual = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let port = authority.port_u16().filter(|port| *port != usual).map(|port| format!(":{port}")).unwrap_or_default();
    let host = authority.host().to_ascii_lowercase();
    let address = format!("{}://{host}{port}{}", scheme.to_ascii_lowercase(), uri.path());
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let mut pairs: Vec<(String, String)> = query.map(|(name, value)| (encode(&name), encode(&value))).collect();
    pairs.extend(parameters.iter().map(|(name, value)| (encode(name), encode(value))));
    // By the bytes of the encoded forms, and those of one name by their values (section 3.4.1.3.2).
    pairs.sort_unstable();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok(format!("{}&{}&{}", encode(method.as_str()), encode(&address), encode(&pairs.join("&"))))
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A fresh RSA key pair of 2048 bits: the private key (PKCS#8 PEM), and the public one (PEM). Takes up to seconds of
/// processor time.
pub fn key_pair(clock: &SharedClock) -> (Secret, String) {
    let made = || {
        let key = RsaPrivateKey::new(&mut Random(clock), KEY_BITS).ok()?;
        let private = key.to_pkcs8_pem(LineEnding::LF).ok()?;
        let public = RsaPublicKey::from(&key).to_public_key_pem(LineEnding::LF).ok()?;
        Some((Secret::new(private.as_str()), public))
    };
    // Fails for lengths alone that this one is not.
    made().expect("a key of 2048 bits can be made and written")
}

/// The clock's randomness, as the RSA crate wants it.
struct Random<'a>(&'a SharedClock);

impl RngCore for Random<'_> {
    fn next_u32(&mut self) -> u32 {
        impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_random(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.0.fill_random(bytes);
        Ok(())
    }
}

impl CryptoRng for Random<'_> {}

#[cfg(test)]
#[path = "signature_test.rs"]
mod tests;
