use super::*;

/// Addresses a connector might ask for; none of them may reach anything but the pinned origin.
const TRICKS: &[&str] = &[
    "https://example.test.attacker.test/jira/x",
    "https://attacker.test/jira/x",
    "https://example.testattacker.test/jira/x",
    "https://evil-example.test/jira/x",
    "https://sub.example.test/jira/x",
    "https://example.test./jira/x",
    "https://example.test.:443/jira/x",
    "https://user@example.test/jira/x",
    "https://user:pass@example.test/jira/x",
    "https://example.test@attacker.test/jira/x",
    "https://example.test:443@attacker.test/jira/x",
    "https://@example.test/jira/x",
    "https://example.test:8443/jira/x",
    "https://example.test:80/jira/x",
    "https://example.test:0/jira/x",
    "https://example.test:0443/jira/x",
    "https://example.test:/jira/x",
    "https://example.test:443443/jira/x",
    "http://example.test/jira/x",
    "http://example.test:443/jira/x",
    "ftp://example.test/jira/x",
    "https://exаmple.test/jira/x",
    "https://xn--exmple-4nf.test/jira/x",
    "https://example%2etest/jira/x",
    "https://example.test%00.attacker.test/jira/x",
    "https://example.test%2eattacker.test/jira/x",
    "https://[::1]/jira/x",
    "https://127.0.0.1/jira/x",
    "https://2130706433/jira/x",
    "https://0x7f000001/jira/x",
    "https://0177.0.0.1/jira/x",
    "https://example.test",
    "https://example.test/",
    "https://example.test/jira",
    "https://example.test/jirax/x",
    "https://example.test/Jira/x",
    "https://example.test/other/x",
    "https://example.test//jira/x",
    "https://example.test//attacker.test/jira/x",
    "https://example.test/jira/../admin",
    "https://example.test/jira/./x",
    "https://example.test/jira/..",
    "https://example.test/jira/%2e%2e/admin",
    "https://example.test/jira/%2E%2E/admin",
    "https://example.test/jira/.%2e/admin",
    "https://example.test/jira/%2e./admin",
    "https://example.test/jira/%252e%252e/admin",
    "https://example.test/jira/%25252e%25252e/admin",
    "https://example.test/jira/..;/admin",
    "https://example.test/jira/..;a=b/admin",
    "https://example.test/jira/%2e%2e;/admin",
    "https://example.test/jira/..%2fadmin",
    "https://example.test/jira/..%5cadmin",
    "https://example.test/jira/x%2f..%2f..%2fadmin",
    "https://example.test/jira/x%00",
    "https://example.test/%6aira/x",
    "https://example.test/jira%2fx",
    "https://example.test/x?y=/jira/",
    "https://example.test?/jira/x",
];

#[test]
fn n5_no_spelling_of_another_place_passes_for_the_pinned_origin() {
    let origin = Origin::parse("https://example.test/jira/").unwrap();
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
    let origin = Origin::parse("https://Example.test/jira/").unwrap();
    for (asked, sent) in [
        ("https://example.test/jira/x?y=..", "https://example.test/jira/x?y=.."),
        ("https://EXAMPLE.test:443/jira/x", "https://example.test/jira/x"),
        ("https://example.test/jira/a%2Fb/...", "https://example.test/jira/a%2Fb/..."),
        ("https://example.test/jira/100%25", "https://example.test/jira/100%25"),
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
        "https://example.test/jira",
        "https://example.test/a/../b/",
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
fn an_origin_reads_back_what_it_writes() {
    let origin = Origin::parse("http://127.0.0.1:8080/jira/").unwrap();
    let text = serde_json::to_string(&origin).unwrap();
    assert_eq!(text, "\"http://127.0.0.1:8080/jira/\"");
    assert_eq!(serde_json::from_str::<Origin>(&text).unwrap(), origin);
}
