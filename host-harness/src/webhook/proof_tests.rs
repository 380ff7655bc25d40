use proptest::prelude::*;

use super::proof::*;
use crate::plugin::contract::event::{
    Digest, Encoding, HeaderElement, Jwt, Mac, Proof, SecretRef, Signature, SignatureAlgorithm, SignedPart, Timestamp,
    Token, TokenPlace,
};

/// A vector that GitHub publishes (docs: "Validating webhook deliveries") and other services quote.
const SECRET: &[u8] = b"It's a Secret to Everybody";
const BODY: &[u8] = b"Hello World!";
const CODE: &str = "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9";
const NOW: u64 = 1_700_000_000_000;

fn mac() -> Mac {
    Mac {
        algorithm: Digest::Sha256,
        header: "X-Signature".into(),
        element: None,
        prefix: "sha256=".into(),
        encoding: Encoding::Hex,
        signed: vec![SignedPart::RawBody],
        timestamp: None,
        secret: SecretRef::Registration,
    }
}

fn headers(list: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    list.iter().map(|(name, value)| (name.to_string(), value.to_vec())).collect()
}

fn incoming<'a>(headers: &'a [(String, Vec<u8>)], query: &'a str, body: &'a [u8]) -> Incoming<'a> {
    Incoming { url: "https://hooks.example.test/hooks/t", last_segment: "t", query, headers, body }
}

fn check(proof: &Proof, list: &[(&str, &[u8])], body: &[u8]) -> Result<Stripped, Refusal> {
    prove(proof, &incoming(&headers(list), "", body), Some(SECRET), NOW)
}

fn code_of(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    use hmac::Mac as _;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

#[test]
fn the_published_vector_is_proved_and_its_header_is_taken_off() {
    let value = format!("sha256={CODE}");
    let proved = check(&Proof::Mac(mac()), &[("x-signature", value.as_bytes())], BODY).unwrap();
    assert_eq!(proved.headers, ["x-signature"]);
}

#[test]
fn nothing_but_the_exact_code_over_the_exact_body_is_proved() {
    let good = format!("sha256={CODE}");
    let upper = format!("sha256={}", CODE.to_uppercase());
    let variants: Vec<String> = vec![
        String::new(),
        " ".into(),
        "=".into(),
        "sha256".into(),
        "sha256=".into(),
        "sha256= ".into(),
        CODE.into(),
        format!("={CODE}"),
        format!("sha1={CODE}"),
        format!("sha512={CODE}"),
        format!("SHA256={CODE}"),
        format!("Sha256={CODE}"),
        format!(" sha256={CODE}"),
        format!("sha256 ={CODE}"),
        format!("sha256= {CODE}"),
        format!("sha256={CODE} "),
        format!("sha256={CODE}\t"),
        format!("sha256={CODE},"),
        format!("sha256={CODE};"),
        format!("sha256={CODE}, sha256={CODE}"),
        format!("sha1=0, sha256={CODE}"),
        format!("sha256=0x{CODE}"),
        format!("sha256=\"{CODE}\""),
        upper,
        format!("sha256={}{}", &CODE[..1].to_uppercase(), &CODE[1..]),
        format!("sha256={}", &CODE[..63]),
        format!("sha256={}", &CODE[..62]),
        format!("sha256={}", &CODE[1..]),
        format!("sha256={CODE}0"),
        format!("sha256={CODE}00"),
        format!("sha256={CODE}{CODE}"),
        format!("sha256={}", "0".repeat(64)),
        format!("sha256={}", "f".repeat(64)),
        format!("sha256={}", "g".repeat(64)),
        format!("sha256={}b{}", &CODE[..0], &CODE[1..]),
        format!("sha256={}8", &CODE[..63]),
        format!("sha256={}", CODE.chars().rev().collect::<String>()),
        format!(
            "sha256={}",
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hex::decode(CODE).unwrap())
        ),
        "sha256=null".into(),
        "sha256=undefined".into(),
        "none".into(),
        format!("sha256=%61{}", &CODE[1..]),
    ];
    assert!(variants.len() >= 40, "{} cases", variants.len());
    for variant in &variants {
        assert!(check(&Proof::Mac(mac()), &[("x-signature", variant.as_bytes())], BODY).is_err(), "{variant:?}");
    }
    let twice: &[(&str, &[u8])] = &[("x-signature", good.as_bytes()), ("X-Signature", good.as_bytes())];
    assert_eq!(check(&Proof::Mac(mac()), twice, BODY), Err(Refusal::Repeated));
    assert_eq!(check(&Proof::Mac(mac()), &[], BODY), Err(Refusal::Missing));
    assert_eq!(check(&Proof::Mac(mac()), &[("x-other", good.as_bytes())], BODY), Err(Refusal::Missing));
    assert_eq!(check(&Proof::Mac(mac()), &[("x-signature", b"sha256=\xff\xfe")], BODY), Err(Refusal::Malformed));
    for body in [&b"Hello World"[..], b"Hello World!\n", b"hello World!", b"", b"\"Hello World!\"", b"Hello World!\0"] {
        assert!(check(&Proof::Mac(mac()), &[("x-signature", good.as_bytes())], body).is_err(), "{body:?}");
    }
    let gone = prove(&Proof::Mac(mac()), &incoming(&headers(&[("x-signature", good.as_bytes())]), "", BODY), None, NOW);
    assert_eq!(gone, Err(Refusal::NoSecret));
    let empty =
        prove(&Proof::Mac(mac()), &incoming(&headers(&[("x-signature", good.as_bytes())]), "", BODY), Some(b""), NOW);
    assert_eq!(empty, Err(Refusal::NoSecret));
}

#[test]
fn a_body_that_is_no_text_is_proved_byte_for_byte() {
    let body = [0xff, 0x00, 0xc3, 0x28];
    let value = format!("sha256={}", hex::encode(code_of(SECRET, &[&body])));
    assert!(check(&Proof::Mac(mac()), &[("x-signature", value.as_bytes())], &body).is_ok());
}

fn timed() -> Mac {
    let part = SignedPart::HeaderElement(HeaderElement { header: "x-signature".into(), element: "t".into() });
    Mac {
        element: Some("v1".into()),
        prefix: String::new(),
        signed: vec![part.clone(), SignedPart::Literal(".".into()), SignedPart::RawBody],
        timestamp: Some(Timestamp { part, tolerance_s: 300 }),
        ..mac()
    }
}

fn timed_header(at: u64) -> String {
    let at = at.to_string();
    format!("t={at},v1={}", hex::encode(code_of(SECRET, &[at.as_bytes(), b".", BODY])))
}

#[test]
fn a_signed_time_bounds_the_age() {
    let proof = Proof::Mac(timed());
    let now = NOW / 1000;
    for at in [now, now - 300, now + 300] {
        assert!(check(&proof, &[("x-signature", timed_header(at).as_bytes())], BODY).is_ok());
    }
    for at in [now - 301, now + 301, 0] {
        let refused = check(&proof, &[("x-signature", timed_header(at).as_bytes())], BODY);
        assert_eq!(refused, Err(Refusal::OutOfTime));
    }
    let moved = timed_header(now).replace(&format!("t={now}"), &format!("t={}", now + 1));
    assert_eq!(check(&proof, &[("x-signature", moved.as_bytes())], BODY), Err(Refusal::Mismatch));
    let two_times = format!("t=1,{}", timed_header(now));
    assert_eq!(check(&proof, &[("x-signature", two_times.as_bytes())], BODY), Err(Refusal::Repeated));
}

#[test]
fn one_right_code_among_repeated_elements_is_enough() {
    let value = format!("{},v1={}", timed_header(NOW / 1000), "0".repeat(64));
    assert!(check(&Proof::Mac(timed()), &[("x-signature", value.as_bytes())], BODY).is_ok());
    let value = format!("v0=1,{},v1=zz", timed_header(NOW / 1000));
    assert!(check(&Proof::Mac(timed()), &[("x-signature", value.as_bytes())], BODY).is_ok());
}

#[test]
fn a_time_that_is_not_signed_makes_the_proof_unsupported() {
    let mut unsigned = timed();
    unsigned.signed = vec![SignedPart::RawBody];
    assert!(!is_supported(&Proof::Mac(unsigned.clone())));
    assert_eq!(
        check(&Proof::Mac(unsigned), &[("x-signature", timed_header(1).as_bytes())], BODY),
        Err(Refusal::Unsupported)
    );
}

fn jwt() -> Proof {
    Proof::Jwt(Jwt {
        algorithms: vec!["HS256".into()],
        header: "authorization".into(),
        prefix: "Bearer ".into(),
        secret: SecretRef::App("client".into()),
        leeway_s: 60,
    })
}

fn signed_token(algorithm: jsonwebtoken::Algorithm, secret: &[u8], claims: &serde_json::Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm), claims, &key).unwrap()
}

#[test]
fn only_a_token_of_the_registered_algorithm_secret_and_time_is_proved() {
    use jsonwebtoken::Algorithm::{HS256, HS512};
    let now = NOW / 1000;
    let fresh = serde_json::json!({ "iat": now, "exp": now + 60 });
    let good = format!("Bearer {}", signed_token(HS256, SECRET, &fresh));
    assert!(check(&jwt(), &[("authorization", good.as_bytes())], BODY).is_ok());
    let unsigned = |alg: &str| {
        use base64::Engine as _;
        let part = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        format!("Bearer {}.{}.", part(format!("{{\"alg\":\"{alg}\",\"typ\":\"JWT\"}}")), part(fresh.to_string()))
    };
    let parts: Vec<_> = good.rsplitn(2, '.').collect();
    let bad = [
        String::new(),
        "Bearer ".into(),
        "Bearer".into(),
        good.replace("Bearer ", ""),
        good.replace("Bearer ", "bearer "),
        good.replace("Bearer ", "Bearer  "),
        format!("Bearer {}", signed_token(HS512, SECRET, &fresh)),
        format!("Bearer {}", signed_token(HS256, b"another", &fresh)),
        format!("Bearer {}", signed_token(HS256, SECRET, &serde_json::json!({ "exp": now - 61 }))),
        format!("Bearer {}", signed_token(HS256, SECRET, &serde_json::json!({ "nbf": now + 61 }))),
        format!("Bearer {}", signed_token(HS256, SECRET, &serde_json::json!({ "iat": now + 61 }))),
        format!("Bearer {}", signed_token(HS256, SECRET, &serde_json::json!({ "exp": "later" }))),
        unsigned("none"),
        unsigned("None"),
        unsigned("HS256"),
        unsigned("RS256"),
        format!("{}.", parts[1]),
        parts[1].to_owned(),
        format!("{good}A"),
        "Bearer a.b.c".into(),
    ];
    for one in bad {
        assert!(check(&jwt(), &[("authorization", one.as_bytes())], BODY).is_err(), "{one}");
    }
    assert_eq!(check(&jwt(), &[], BODY), Err(Refusal::Missing));
    let late = format!("Bearer {}", signed_token(HS256, SECRET, &serde_json::json!({ "exp": now - 59 })));
    assert!(check(&jwt(), &[("authorization", late.as_bytes())], BODY).is_ok(), "within the leeway");
}

#[test]
fn a_public_key_algorithm_with_a_shared_secret_is_not_supported() {
    for name in ["none", "RS256", "EdDSA", "hs256", ""] {
        let Proof::Jwt(mut one) = jwt() else { unreachable!() };
        one.algorithms.push(name.into());
        assert!(!is_supported(&Proof::Jwt(one)), "{name}");
    }
}

#[test]
fn a_kind_is_never_taken_for_another() {
    let now = NOW / 1000;
    let token = format!(
        "Bearer {}",
        signed_token(jsonwebtoken::Algorithm::HS256, SECRET, &serde_json::json!({ "exp": now + 60 }))
    );
    let code = format!("sha256={CODE}");
    assert!(check(&Proof::Mac(mac()), &[("authorization", token.as_bytes())], BODY).is_err());
    assert!(check(&jwt(), &[("x-signature", code.as_bytes())], BODY).is_err());
    assert!(check(&Proof::Authenticate, &[("x-signature", code.as_bytes())], BODY).is_err());
}

#[test]
fn a_shared_token_is_compared_whole() {
    let place = |place| Proof::Token(Token { place, secret: SecretRef::Registration });
    let header = place(TokenPlace::Header("x-token".into()));
    assert!(check(&header, &[("x-token", SECRET)], BODY).is_ok());
    for bad in [&b"It's a Secret to Everybod"[..], b"It's a Secret to Everybody ", b"", b"it's a secret to everybody"] {
        assert!(check(&header, &[("x-token", bad)], BODY).is_err());
    }
    let query = place(TokenPlace::Query("key".into()));
    let ask = |text: &str| prove(&query, &incoming(&[], text, BODY), Some(b"s3cret"), NOW);
    assert_eq!(ask("a=1&key=s3cret").unwrap().query, ["key"]);
    assert_eq!(ask("key=s3cret&key=s3cret"), Err(Refusal::Repeated));
    assert_eq!(ask("key=s3cre"), Err(Refusal::Mismatch));
    assert_eq!(ask("a=1"), Err(Refusal::Missing));
    let path = place(TokenPlace::Path);
    assert!(prove(&path, &incoming(&[], "", BODY), Some(b"t"), NOW).is_ok());
    assert_eq!(prove(&path, &incoming(&[], "", BODY), Some(b"u"), NOW), Err(Refusal::Mismatch));
}

/// By the key of an example of RFC 8032, wrapped as RFC 8410 says.
fn ed25519(key: &str, signed: Vec<SignedPart>) -> Proof {
    use base64::Engine as _;
    let standard = base64::engine::general_purpose::STANDARD;
    let spki = [hex::decode("302a300506032b6570032100").unwrap(), hex::decode(key).unwrap()].concat();
    Proof::Signature(Signature {
        algorithm: SignatureAlgorithm::Ed25519,
        header: "x-signature".into(),
        encoding: Encoding::Hex,
        signed,
        key: format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", standard.encode(spki)),
    })
}

/// RFC 8032, section 7.1, test 3.
#[test]
fn a_published_ed25519_signature_is_proved_and_another_body_is_not() {
    let key = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
    let signature = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
    let proof = ed25519(key, vec![SignedPart::RawBody]);
    assert!(is_supported(&proof));
    assert!(check(&proof, &[("x-signature", signature.as_bytes())], &[0xaf, 0x82]).is_ok());
    assert_eq!(check(&proof, &[("x-signature", signature.as_bytes())], &[0xaf, 0x83]), Err(Refusal::Mismatch));
}

/// RFC 8032, section 7.1, test 1: nothing is signed. The signature is genuine, and would be with any body.
#[test]
fn a_signature_that_leaves_the_body_out_proves_nothing() {
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
    assert!(check(&ed25519(key, vec![SignedPart::RawBody]), &[("x-signature", signature.as_bytes())], b"").is_ok());
    for signed in [vec![], vec![SignedPart::Literal(String::new())]] {
        let proof = ed25519(key, signed);
        assert!(!is_supported(&proof));
        assert_eq!(check(&proof, &[("x-signature", signature.as_bytes())], BODY), Err(Refusal::Unsupported));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_body_and_secret_is_proved_and_one_flipped_bit_is_not(
        secret in proptest::collection::vec(any::<u8>(), 1..64),
        body in proptest::collection::vec(any::<u8>(), 1..256),
        bit in any::<proptest::sample::Index>(),
    ) {
        let value = format!("sha256={}", hex::encode(code_of(&secret, &[&body])));
        let list = headers(&[("x-signature", value.as_bytes())]);
        let proof = Proof::Mac(mac());
        prop_assert!(prove(&proof, &incoming(&list, "", &body), Some(&secret), NOW).is_ok());
        let mut flipped = body.clone();
        let place = bit.index(body.len() * 8);
        flipped[place / 8] ^= 1 << (place % 8);
        prop_assert_eq!(prove(&proof, &incoming(&list, "", &flipped), Some(&secret), NOW), Err(Refusal::Mismatch));
    }

    #[test]
    fn no_header_makes_the_prover_panic(value in proptest::collection::vec(any::<u8>(), 0..128)) {
        for proof in [Proof::Mac(mac()), Proof::Mac(timed()), jwt()] {
            let list = headers(&[("x-signature", &value), ("authorization", &value)]);
            prop_assert!(prove(&proof, &incoming(&list, "", BODY), Some(SECRET), NOW).is_err());
        }
    }
}
