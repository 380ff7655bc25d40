use http::HeaderMap;

use super::*;

fn answer(status: u16, body: &str) -> Result<Direct, DirectFault> {
    let status = StatusCode::from_u16(status).unwrap();
    Ok(Direct { status, headers: HeaderMap::new(), body: Zeroizing::new(body.as_bytes().to_vec()) })
}

fn class(status: u16, body: &str, client_is_the_account: bool) -> &'static str {
    match read(answer(status, body), client_is_the_account) {
        Ok(_) => "tokens",
        Err(TokenError::Dead(_)) => "dead",
        Err(TokenError::Client(_)) => "client",
        Err(TokenError::Transient { .. }) => "transient",
        Err(TokenError::Denied(_)) => "denied",
    }
}

#[test]
fn a9_what_passes_is_told_from_what_is_over() {
    let tokens = r#"{"access_token":"fake-access","token_type":"Bearer"}"#;
    let mut cases: Vec<(u16, String, &str)> = vec![
        (200, tokens.into(), "tokens"),
        (201, tokens.into(), "tokens"),
        (200, "<html>log in</html>".into(), "transient"),
        (200, String::new(), "transient"),
        (200, r#"{"access_token":""}"#.into(), "transient"),
        (200, r#"{"error":"invalid_grant"}"#.into(), "transient"),
        (302, tokens.into(), "transient"),
        (404, r#"{"error":"invalid_grant"}"#.into(), "transient"),
        (408, r#"{"error":"invalid_grant"}"#.into(), "transient"),
        (403, r#"{"error_description":"Unknown or invalid refresh token."}"#.into(), "dead"),
        (403, r#"{"message":"unknown or INVALID refresh token"}"#.into(), "dead"),
        (403, "<html>forbidden by a proxy</html>".into(), "transient"),
        (403, "{}".into(), "transient"),
        (403, r#"{"error":["invalid_grant"]}"#.into(), "transient"),
    ];
    for status in [400, 401, 403] {
        for code in ["invalid_grant", "unauthorized_client"] {
            cases.push((status, format!(r#"{{"error":"{code}"}}"#), "dead"));
        }
        for code in ["invalid_client", "access_denied", "invalid_request", "invalid_scope", "unsupported_grant_type"] {
            cases.push((status, format!(r#"{{"error":"{code}"}}"#), "client"));
        }
        cases.push((status, r#"{"error":"temporarily_unavailable"}"#.into(), "transient"));
    }
    for status in [429, 500, 502, 503, 504] {
        cases.push((status, r#"{"error":"invalid_grant"}"#.into(), "transient"));
        cases.push((status, r#"{"error":"server_error"}"#.into(), "transient"));
    }
    let wrong: Vec<_> = cases.iter().filter(|(status, body, is)| class(*status, body, false) != *is).collect();
    println!("FIGURE A9 {} answers, {} misclassified", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:?}");
    for fault in [DirectFault::Unreached("refused".into()), DirectFault::Lost("cut off".into())] {
        assert!(matches!(read(Err(fault), false), Err(TokenError::Transient { .. })));
    }
    for status in [400, 401, 403] {
        for code in ["invalid_client", "access_denied"] {
            assert_eq!(class(status, &format!(r#"{{"error":"{code}"}}"#), true), "dead", "{status} {code}");
        }
    }
    assert_eq!(class(503, r#"{"error":"access_denied"}"#, true), "transient");
}

#[test]
fn a_service_that_asks_for_time_is_given_it() {
    let mut slow = answer(429, "{}").unwrap();
    slow.headers.insert(RETRY_AFTER, "17".parse().unwrap());
    let Err(TokenError::Transient { after, .. }) = read(Ok(slow), false) else { panic!("it passes") };
    assert_eq!(after, Some(Duration::from_secs(17)));
}

#[test]
fn tokens_are_not_lost_to_members_that_are_odd() {
    let read = |more: &str| {
        let body = format!(r#"{{"access_token":"fake-access","refresh_token":"fake-refresh"{more}}}"#);
        super::read(answer(200, &body), false)
    };
    for more in ["", r#","expires_in":"3600""#, r#","expires_in":3600.5,"token_type":"bearer""#, r#","scope":"a  b""#] {
        let tokens = read(more).unwrap();
        assert_eq!(tokens.access.expose(), "fake-access");
        assert_eq!(tokens.refresh.unwrap().expose(), "fake-refresh");
    }
    assert_eq!(read(r#","expires_in":"3600""#).unwrap().expires_in, Some(Duration::from_secs(3600)));
    assert_eq!(read(r#","expires_in":null,"scope":["a"]"#).unwrap().expires_in, None);
    for unknown in ["-5", "0", "\"soon\"", "[]"] {
        assert_eq!(read(&format!(r#","expires_in":{unknown}"#)).unwrap().expires_in, None, "{unknown}");
    }
    assert_eq!(read(r#","expires_in":1e300"#).unwrap().expires_in, None);
    assert_eq!(read(r#","scope":"a  b""#).unwrap().scopes.unwrap(), ["a", "b"]);
    assert!(read(r#","token_type":"mac""#).is_err());
    let long = format!(r#"{{"access_token":"fake-access","refresh_token":"{}"}}"#, "f".repeat(LONGEST_TOKEN + 1));
    let Err(error) = super::read(answer(200, &long), false) else { panic!("it was left out without a word") };
    assert!(error.to_string().contains("refresh token"), "{error}");
}

#[test]
fn a16_no_answer_makes_a_token_that_breaks_its_header() {
    let mut bad = 0;
    let mut tried = 0;
    for code in (0..=0xff).chain([0x2028, 0xfeff, 0x1f511]) {
        let Some(odd) = char::from_u32(code) else { continue };
        for token in [format!("{odd}fake"), format!("fa{odd}ke"), format!("fake{odd}"), odd.to_string()] {
            tried += 1;
            let body = serde_json::json!({"access_token": token, "token_type": "bearer"}).to_string();
            let plain = odd.is_ascii_graphic();
            match read(answer(200, &body), false) {
                Ok(tokens) => bad += usize::from(!plain || tokens.access.expose() != token),
                Err(_) => bad += usize::from(plain),
            }
        }
    }
    println!("FIGURE A16 {tried} access tokens, {bad} bad headers");
    assert_eq!(bad, 0);
}

#[test]
fn nothing_that_a_service_says_is_repeated() {
    let canary = "canary-in-an-answer";
    for (status, body) in [
        (400, format!(r#"{{"error":"{canary}","error_description":"{canary}"}}"#)),
        (403, format!(r#"{{"error":"invalid_grant","error_description":"{canary}"}}"#)),
        (500, canary.to_owned()),
        (200, canary.to_owned()),
        (200, format!(r#"{{"access_token":"{canary}","token_type":"{canary}"}}"#)),
    ] {
        let error = read(answer(status, &body), false).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(canary), "{error:?}");
    }
}
