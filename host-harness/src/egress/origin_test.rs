use super::*;

/// Addresses a connector might ask for; none of them may reach anything but the pinned origin.
const TRICKS: &[&str] = &[
    "https://example.test.attacker.test/base/x",
    "https://attacker.test/base/x",
    "https://example.testattacker.test/base/x",
    "https://evil-example.test/base/x",
    "https://sub.example.test/base/x",
    "https://example.test./base/x",
    "https://example.test.:443/base/x",
    "https://user@example.test/base/x",
    "https://user:pass@example.test/base/x",
    "https://example.test@attacker.test/base/x",
    "https://example.test:443@attacker.test/base/x",
    "https://@example.test/base/x",
    "https://example.test:8443/base/x",
    "https://example.test:80/base/x",
    "https://example.test:0/base/x",
    "https://example.test:0443/base/x",
    "https://example.test:/base/x",
    "https://example.test:443443/base/x",
    "http://example.test/base/x",
    "http://example.test:443/base/x",
    "ftp://example.test/base/x",
    "https://exаmple.test/base/x",
    "https://xn--exmple-4nf.test/base/x",
    "https://example%2etest/base/x",
    "https://example.test%00.attacker.test/base/x",
    "https://example.test%2eattacker.test/base/x",
    "https://[::1]/base/x",
    "https://127.0.0.1/base/x",
    "https://2130706433/base/x",
    "https://0x7f000001/base/x",
    "https://0177.0.0.1/base/x",
    "https://example.test",
    "https://example.test/",
    "https://example.test/base",
    "https://example.test/basex/x",
    "https://example.test/Base/x",
    "https://example.test/other/x",
    "https://example.test//base/x",
    "https://example.test//attacker.test/base/x",
    "https://example.test/base/../admin",
    "https://example.test/base/./x",
    "https://example.test/base/..",
    "https://example.test/base/%2e%2e/admin",
    "https://example.test/base/%2E%2E/admin",
    "https://example.test/base/.%2e/admin",
    "https://example.test/base/%2e./admin",
    "https://example.test/base/%252e%252e/admin",
    "https://example.test/base/%25252e%25252e/admin",
    "https://example.test/base/..;/admin",
    "https://example.test/base/..;a=b/admin",
    "https://example.test/base/%2e%2e;/admin",
    "https://example.test/base/..%2fadmin",
    "https://example.test/base/..%5cadmin",
    "https://example.test/base/x%2f..%2f..%2fadmin",
    "https://example.test/base/x%00",
    "https://example.test/%6aira/x",
    "https://example.test/base%2fx",
    "https://example.test/x?y=/base/",
    "https://example.test?/base/x",
];

#[test]
fn n5_no_spelling_of_another_place_passes_for_the_pinned_origin() {
    let origin = Origin::parse("https://example.test/base/").unwrap();
    let mut bypassed = Vec::new();
    for trick in TRICKS {
        // What is not even a URI never becomes a request.
        if let Ok(uri) = trick.parse::<Uri>()
            && origin.admit(&uri).is_ok()
        {
            bypassed.push(*trick);
        }
    }
    println!("FIGURE N5 {} spellings, {} bypasses", TRICKS.len(), bypassed.len());
    assert!(TRICKS.len() >= 50);
    assert_eq!(bypassed, Vec::<&str>::new());
}

#[test]
fn requests_below_the_pinned_path_pass_in_the_origins_own_spelling() {
    let origin = Origin::parse("https://Example.test/base/").unwrap();
    for (asked, sent) in [
        ("https://example.test/base/x?y=..", "https://example.test/base/x?y=.."),
        ("https://EXAMPLE.test:443/base/x", "https://example.test/base/x"),
        ("https://example.test/base/a%2Fb/...", "https://example.test/base/a%2Fb/..."),
        ("https://example.test/base/100%25", "https://example.test/base/100%25"),
    ] {
        assert_eq!(origin.admit(&asked.parse().unwrap()).unwrap().to_string(), sent);
    }
}

#[test]
fn only_plain_origins_can_be_pinned() {
    for good in ["https://example.test/", "http://127.0.0.1:8080/", "https://[::1]:8443/a/b/", "https://example.test"] {
        assert!(Origin::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "example.test",
        "ftp://example.test/",
        "https://user@example.test/",
        "https://example.test./",
        "https://example.test:0/",
        "https://example.test/a/../b/",
        "https://example.test/a/..",
        "https://example.test/%2e/",
        "https://example.test//",
        "https://example.test/?q",
        "https://example.test/#f",
        "https:\\\\example.test\\",
        "https://exa mple.test/",
        "https:example.test/",
    ] {
        assert!(Origin::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_path_without_a_slash_at_its_end_is_that_resource_alone() {
    let origin = Origin::parse("https://example.test/base/info").unwrap();
    for held in ["https://example.test/base/info", "https://EXAMPLE.test:443/base/info?x=../y"] {
        assert!(origin.admit(&held.parse().unwrap()).is_ok(), "{held}");
    }
    for other in ["", "base", "base/", "base/info/", "base/info/x", "base/information", "base/info;x", "base/Info"] {
        let uri = format!("https://example.test/{other}").parse().unwrap();
        assert_eq!(origin.admit(&uri), Err(Mismatch::OutsidePath), "{other}");
    }
}

#[test]
fn an_origin_reads_back_what_it_writes() {
    for written in ["http://127.0.0.1:8080/base/", "http://127.0.0.1:8080/base/info"] {
        let origin = Origin::parse(written).unwrap();
        let text = serde_json::to_string(&origin).unwrap();
        assert_eq!(text, format!("\"{written}\""));
        assert_eq!(serde_json::from_str::<Origin>(&text).unwrap(), origin);
    }
}
