use std::collections::HashSet;

use rsa::pkcs8::DecodePublicKey as _;

use super::*;
use crate::clock::SystemClock;

fn base(method: Method, url: &str, parameters: &[(&str, &str)]) -> String {
    base_string(&method, &url.parse().unwrap(), parameters).unwrap()
}

#[test]
fn a14_the_base_string_is_that_of_rfc_5849() {
    // Section 3.4.1.1; its body is form-encoded, whose parameters stand beside those of the header here.
    let parameters = [
        ("oauth_consumer_key", "9djdj82h48djs9d2"),
        ("oauth_token", "kkk9d7dh3k39sjv7"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "137131201"),
        ("oauth_nonce", "7d8f3e4a"),
        ("c2", ""),
        ("a3", "2 q"),
    ];
    let expected = "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26\
                    c%2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26\
                    oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7";
    let url = "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b";
    assert_eq!(base(Method::POST, url, &parameters), expected);
}

#[test]
fn a14_the_address_is_written_as_rfc_5849_has_it() {
    // Section 3.4.1.2.
    let address = |url: &str| base(Method::GET, url, &[]);
    assert_eq!(address("http://EXAMPLE.COM:80/r%20v/X?id=123"), "GET&http%3A%2F%2Fexample.com%2Fr%2520v%2FX&id%3D123");
    assert_eq!(address("https://www.example.net:8080/?q=1"), "GET&https%3A%2F%2Fwww.example.net%3A8080%2F&q%3D1");
    assert_eq!(address("https://a.test:443/"), "GET&https%3A%2F%2Fa.test%2F&");
    assert_eq!(address("http://a.test:443/"), "GET&http%3A%2F%2Fa.test%3A443%2F&");
    assert_eq!(base_string(&Method::GET, &"/relative".parse().unwrap(), &[]), Err(SignatureError::Address));
}

#[test]
fn a14_the_public_key_proves_what_the_private_one_signed() {
    let clock = SystemClock::shared();
    let (private, public) = key_pair(&clock);
    let signer = Signer::new("consumer", &private).unwrap();
    let public = RsaPublicKey::from_public_key_pem(&public).unwrap();
    let uri: Uri = "https://a.test/b%20c?d=e+f&d=%C3%A4&d=".parse().unwrap();
    let stamp = Stamp { nonce: "n".into(), timestamp: 1_767_225_600 };
    let header = signer.authorization(&Method::PUT, &uri, &[("oauth_token", "t/ö")], &stamp, &clock).unwrap();
    let pairs = header.expose().strip_prefix("OAuth ").unwrap().split(", ").map(|pair| pair.split_once('=').unwrap());
    let pairs: Vec<(String, String)> = pairs
        .map(|(name, value)| {
            let value = percent_encoding::percent_decode_str(value.trim_matches('"')).decode_utf8().unwrap();
            (name.to_owned(), value.into_owned())
        })
        .collect();
    let signature = &pairs.iter().find(|(name, _)| name == "oauth_signature").unwrap().1;
    let signed: Vec<_> = pairs.iter().filter(|(name, _)| name != "oauth_signature").collect();
    let signed: Vec<_> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let base = base_string(&Method::PUT, &uri, &signed).unwrap();
    let signature = STANDARD.decode(signature).unwrap();
    public.verify(Pkcs1v15Sign::new::<Sha1>(), &Sha1::digest(base.as_bytes()), &signature).unwrap();
    let other = base_string(&Method::POST, &uri, &signed).unwrap();
    public.verify(Pkcs1v15Sign::new::<Sha1>(), &Sha1::digest(other.as_bytes()), &signature).unwrap_err();
}

#[test]
fn a14_no_nonce_comes_twice() {
    let clock = SystemClock::shared();
    let nonces: HashSet<_> = (0..1_000_000).map(|_| Stamp::now(&clock).nonce).collect();
    println!("FIGURE A14 1000000 nonces, {} reused", 1_000_000 - nonces.len());
    assert_eq!(nonces.len(), 1_000_000);
}

#[test]
fn a_key_that_is_none_is_refused_and_none_is_shown() {
    assert_eq!(Signer::new("c", &Secret::new("fake-key")).unwrap_err(), SignatureError::Key);
    let (private, public) = key_pair(&SystemClock::shared());
    assert!(public.starts_with("-----BEGIN PUBLIC KEY-----\n") && private.expose().contains("PRIVATE KEY"));
    assert_eq!(format!("{:?} {private:?}", Signer::new("c", &private).unwrap()), "Signer([secret]) [secret]");
}
