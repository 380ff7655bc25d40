//! Registrations as the store keeps them: written as JSON and read back exactly.

use serde::{Deserialize, Serialize};

use super::contract::event::{
    Digest, Encoding, HeaderElement, Jwt, Mac, Proof, Registration, SecretRef, Signature, SignatureAlgorithm,
    SignedPart, Timestamp, Token, TokenPlace,
};

/// Why a text is not a registration.
#[derive(Debug, thiserror::Error)]
#[error("this is not a registration: {0}")]
pub struct RegistrationError(#[from] serde_json::Error);

/// A registration as a JSON text, whole: with its callback URL and its proof. Secrets are not in it,
/// only where they are kept.
pub fn registration_to_json(registration: &Registration) -> String {
    // Nothing in it can fail to be written: no map with keys that are not text, no foreign code.
    serde_json::to_string(&Mirror::from_contract(registration)).unwrap_or_default()
}

/// Reads what `registration_to_json` wrote.
pub fn registration_from_json(text: &str) -> Result<Registration, RegistrationError> {
    Ok(serde_json::from_str::<Mirror>(text)?.into_contract())
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mirror {
    id: String,
    callback: String,
    covers: Vec<String>,
    #[serde(with = "ProofDef")]
    proof: Proof,
    expires_at_ms: Option<u64>,
    state: String,
    extra: String,
}

impl Mirror {
    fn from_contract(registration: &Registration) -> Self {
        let Registration { id, callback, covers, proof, expires_at_ms, state, extra } = registration.clone();
        Self { id, callback, covers, proof, expires_at_ms, state, extra }
    }

    fn into_contract(self) -> Registration {
        let Self { id, callback, covers, proof, expires_at_ms, state, extra } = self;
        Registration { id, callback, covers, proof, expires_at_ms, state, extra }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Proof", rename_all = "kebab-case")]
enum ProofDef {
    Mac(#[serde(with = "MacDef")] Mac),
    Jwt(#[serde(with = "JwtDef")] Jwt),
    Token(#[serde(with = "TokenDef")] Token),
    Signature(#[serde(with = "SignatureDef")] Signature),
    Authenticate,
    None,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Mac", rename_all = "kebab-case")]
struct MacDef {
    #[serde(with = "DigestDef")]
    algorithm: Digest,
    header: String,
    element: Option<String>,
    prefix: String,
    #[serde(with = "EncodingDef")]
    encoding: Encoding,
    #[serde(with = "parts")]
    signed: Vec<SignedPart>,
    #[serde(with = "maybe_timestamp")]
    timestamp: Option<Timestamp>,
    #[serde(with = "SecretRefDef")]
    secret: SecretRef,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Jwt", rename_all = "kebab-case")]
struct JwtDef {
    algorithms: Vec<String>,
    header: String,
    prefix: String,
    #[serde(with = "SecretRefDef")]
    secret: SecretRef,
    leeway_s: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Token", rename_all = "kebab-case")]
struct TokenDef {
    #[serde(with = "TokenPlaceDef")]
    place: TokenPlace,
    #[serde(with = "SecretRefDef")]
    secret: SecretRef,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Signature", rename_all = "kebab-case")]
struct SignatureDef {
    #[serde(with = "SignatureAlgorithmDef")]
    algorithm: SignatureAlgorithm,
    header: String,
    #[serde(with = "EncodingDef")]
    encoding: Encoding,
    #[serde(with = "parts")]
    signed: Vec<SignedPart>,
    key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Digest", rename_all = "kebab-case")]
enum DigestDef {
    Sha1,
    Sha256,
    Sha512,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Encoding", rename_all = "kebab-case")]
enum EncodingDef {
    Hex,
    Base64,
    Base64url,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SignatureAlgorithm", rename_all = "kebab-case")]
enum SignatureAlgorithmDef {
    Ed25519,
    RsaSha256,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SecretRef", rename_all = "kebab-case")]
enum SecretRefDef {
    Registration,
    App(String),
    Connection(String),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TokenPlace", rename_all = "kebab-case")]
enum TokenPlaceDef {
    Header(String),
    Query(String),
    Path,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SignedPart", rename_all = "kebab-case")]
enum SignedPartDef {
    Literal(String),
    Header(String),
    HeaderElement(#[serde(with = "HeaderElementDef")] HeaderElement),
    Url,
    RawBody,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HeaderElement", rename_all = "kebab-case")]
struct HeaderElementDef {
    header: String,
    element: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Timestamp", rename_all = "kebab-case")]
struct TimestampDef {
    #[serde(with = "SignedPartDef")]
    part: SignedPart,
    tolerance_s: u32,
}

/// Lists of signed parts.
mod parts {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{SignedPart, SignedPartDef};

    #[derive(Serialize, Deserialize)]
    struct One(#[serde(with = "SignedPartDef")] SignedPart);

    pub(super) fn serialize<S: Serializer>(parts: &[SignedPart], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(parts.iter().cloned().map(One))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SignedPart>, D::Error> {
        Ok(Vec::<One>::deserialize(deserializer)?.into_iter().map(|One(part)| part).collect())
    }
}

/// Timestamps that may be absent.
mod maybe_timestamp {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Timestamp, TimestampDef};

    #[derive(Serialize, Deserialize)]
    struct One(#[serde(with = "TimestampDef")] Timestamp);

    pub(super) fn serialize<S: Serializer>(value: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        value.clone().map(One).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<One>::deserialize(deserializer)?.map(|One(timestamp)| timestamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written_and_read(proof: Proof) {
        let registration = Registration {
            id: "10001".into(),
            callback: "https://host.example.test/hooks/token".into(),
            covers: vec!["a".into(), "b".into()],
            proof,
            expires_at_ms: Some(1_800_000_000_000),
            state: r#"{"x":1}"#.into(),
            extra: "{}".into(),
        };
        let text = registration_to_json(&registration);
        let read = registration_from_json(&text).unwrap();
        assert_eq!(registration_to_json(&read), text);
        assert_eq!(format!("{read:?}"), format!("{registration:?}"));
    }

    #[test]
    fn every_kind_of_proof_reads_back_what_was_written() {
        let signed = vec![
            SignedPart::Literal("v0:".into()),
            SignedPart::Header("x-time".into()),
            SignedPart::HeaderElement(HeaderElement { header: "signature".into(), element: "t".into() }),
            SignedPart::Url,
            SignedPart::RawBody,
        ];
        let timestamp = Timestamp { part: SignedPart::Header("x-time".into()), tolerance_s: 300 };
        for timestamp in [None, Some(timestamp)] {
            written_and_read(Proof::Mac(Mac {
                algorithm: Digest::Sha256,
                header: "x-hub-signature".into(),
                element: Some("v1".into()),
                prefix: "sha256=".into(),
                encoding: Encoding::Base64url,
                signed: signed.clone(),
                timestamp,
                secret: SecretRef::Registration,
            }));
        }
        written_and_read(Proof::Jwt(Jwt {
            algorithms: vec!["HS256".into()],
            header: "authorization".into(),
            prefix: "JWT ".into(),
            secret: SecretRef::App("client-secret".into()),
            leeway_s: 60,
        }));
        for place in [TokenPlace::Header("x-token".into()), TokenPlace::Query("token".into()), TokenPlace::Path] {
            written_and_read(Proof::Token(Token { place, secret: SecretRef::Connection("token".into()) }));
        }
        written_and_read(Proof::Signature(Signature {
            algorithm: SignatureAlgorithm::RsaSha256,
            header: "x-signature".into(),
            encoding: Encoding::Base64,
            signed,
            key: "-----BEGIN PUBLIC KEY-----".into(),
        }));
        written_and_read(Proof::Authenticate);
        written_and_read(Proof::None);
    }

    #[test]
    fn what_is_no_registration_is_refused() {
        for text in ["", "{}", "[]", r#"{"id":1}"#] {
            assert!(registration_from_json(text).is_err(), "{text}");
        }
    }
}
