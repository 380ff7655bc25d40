//! RSA-SHA1 of OAuth 1.0a (RFC 5849, section 3.4): what is signed, and whether it was signed well.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rsa::pkcs8::DecodePublicKey;

use rsa::{Pkcs1v15Sign, RsaPublicKey};
use sha1::{Digest, Sha1};

use crate::routes::Request;

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The parameters of a signed request.
pub(super) struct Signed {
    /// Those that begin with `oauth_`, wherever they were.
    oauth: Vec<(String, String)>,
    /// All that are signed.
    signed: Vec<(String, String)>,
}

impl Signed {
    pub(super) fn read(request: &Request) -> Self {
        let mut all = header(request);
        all.extend(request.query.iter().cloned());
        all.extend(request.form());
        let oauth = all.iter().filter(|(name, _)| name.starts_with("oauth_")).cloned().collect();
        let signed = all.into_iter().filter(|(name, _)| name != "oauth_signature").collect();
        Self { oauth, signed }
    }

    /// A parameter; none where it is missing, empty or there more than once.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.oauth.iter().filter(|(key, _)| key == name);
        let (_, value) = found.next()?;
        (found.next().is_none() && !value.is_empty()).then_some(value)
    }

    pub(super) fn is_signed(&self) -> bool {
        self.oauth.iter().any(|(name, _)| name == "oauth_signature")
    }

    /// The signature base string; `scheme` is that of the base URL.
    pub(super) fn base_string(&self, request: &Request, scheme: &str) -> String {
        let host = request.header("host").unwrap_or_default().to_ascii_lowercase();
        let standard = if scheme == "https" { ":443" } else { ":80" };
        let host = host.strip_suffix(standard).unwrap_or(&host);
        let mut pairs: Vec<(String, String)> =
            self.signed.iter().map(|(name, value)| (encode(name), encode(value))).collect();
        pairs.sort();
        let normalized: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!(
            "{}&{}&{}",
            request.method.as_str().to_ascii_uppercase(),
            encode(&format!("{scheme}://{host}{}", request.path)),
            encode(&normalized.join("&"))
        )
    }
}

/// The parameters of an `OAuth` authorization header, without the realm.
fn header(request: &Request) -> Vec<(String, String)> {
    let Some((scheme, rest)) = request.header("authorization").and_then(|header| header.split_once(' ')) else {
        return Vec::new();
    };
    if !scheme.eq_ignore_ascii_case("oauth") {
        return Vec::new();
    }
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    rest.split(',')
        .filter_map(|part| part.trim().split_once('='))
        .map(|(name, value)| (decode(name.trim()), decode(value.trim().trim_matches('"'))))
        .filter(|(name, _)| !name.eq_ignore_ascii_case("realm"))
        .collect()
}

/// Reads a public key as people paste it into an application link: PEM, or its base64 alone.
pub(crate) fn public_key(text: &str) -> Option<RsaPublicKey> {
    let text = text.trim();
    if text.starts_with("-----") {
        return RsaPublicKey::from_public_key_pem(text).ok();
    }
    let compact: String = text.chars().filter(|character| !character.is_whitespace()).collect();
    RsaPublicKey::from_public_key_der(&STANDARD.decode(compact).ok()?).ok()
}

pub(super) fn verify(key: &RsaPublicKey, base: &str, signature: &str) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else { return false };
    key.verify(Pkcs1v15Sign::new::<Sha1>(), &Sha1::digest(base.as_bytes()), &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of RFC 5849, section 3.4.1.1, and its base string.
    #[test]
    fn the_base_string_is_that_of_the_rfc() {
        let request = http::Request::post("/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b")
            .header("host", "EXAMPLE.COM:80")
            .header("content-type", "application/x-www-form-urlencoded")
            .header(
                "authorization",
                "OAuth realm=\"Example\", oauth_consumer_key=\"9djdj82h48djs9d2\", oauth_token=\"kkk9d7dh3k39sjv7\", \
                 oauth_signature_method=\"HMAC-SHA1\", oauth_timestamp=\"137131201\", oauth_nonce=\"7d8f3e4a\", \
                 oauth_signature=\"bYT5CMsGcbgUdFHObYMEfcx6bsw%3D\"",
            )
            .body(());
        let request = Request::new(&request.unwrap().into_parts().0, "c2&a3=2+q".into());
        let signed = Signed::read(&request);
        let expected = "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7";
        assert_eq!(signed.base_string(&request, "http"), expected);
        assert_eq!(signed.get("oauth_nonce"), Some("7d8f3e4a"));
    }
}
