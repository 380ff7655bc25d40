use serde_json::json;

use super::*;

fn sample() -> Value {
    json!({
        "contract": "0.1.0",
        "connector": {"id": "sample", "name": "Sample", "version": "1.0.0", "later": true},
        "auth-methods": [{
            "id": "token", "title": "Token",
            "form": {"type": "object", "properties": {"site": {"type": "string"}, "token": {"type": "string", "writeOnly": true}}},
            "scheme": {"type": "bearer", "token": {"secret": "token"}},
            "rejections": [{"header": "X-Reason", "contains": "DENIED", "status": 403}],
        }],
        "cards": [
            {
                "id": "do-it", "kind": "action", "title": "Do it", "description": "Does it.",
                "input": {"type": "object"}, "output": {}, "sample": {"output": {}},
                "behaviour": {"read-only": false, "destructive": false, "idempotent": false, "idempotency-key": "recorded"},
            },
            {
                "id": "it-happened", "kind": "event", "title": "It happened", "description": "Tells of it.",
                "filter": {"type": "object"}, "output": {}, "sample": {"output": {}}, "sources": ["delivery"],
            },
        ],
        "deliveries": {"proofs": ["mac"], "secret-pointer": "/secret", "id-header": "x-id"},
    })
}

#[test]
fn a_manifest_is_read_with_members_that_are_not_known() {
    let manifest = Manifest::parse(&sample().to_string()).unwrap();
    assert_eq!(manifest.connector.id, "sample");
    assert_eq!(manifest.auth_method("token").unwrap().secrets(), ["token"]);
    assert_eq!(manifest.auth_method("token").unwrap().rejections[0].status, Some(403));
    assert_eq!(manifest.card("it-happened").unwrap().kind, CardKind::Event);
    assert_eq!(manifest.deliveries.secret_pointer, ["/secret"]);
    assert_eq!(manifest.raw()["connector"]["later"], true);
}

#[test]
fn what_the_schema_does_not_allow_is_refused_with_its_place() {
    for (pointer, value) in [
        ("/contract", json!("0.0.9")),
        ("/connector/id", json!("Not Kebab")),
        ("/cards/0/kind", json!("trigger")),
        ("/cards/0/behaviour/read-only", json!("no")),
        ("/auth-methods/0/scheme/type", json!("magic")),
    ] {
        let mut changed = sample();
        *changed.pointer_mut(pointer).unwrap() = value;
        assert!(matches!(Manifest::parse(&changed.to_string()), Err(ManifestError::NotValid { .. })), "{pointer}");
    }
}

#[test]
fn schemas_that_cannot_be_used_are_named() {
    for bad in [json!({"type": "nonsense"}), json!({"$ref": "https://example.test/elsewhere.json"})] {
        let mut changed = sample();
        changed["cards"][0]["input"] = bad;
        let refused = Manifest::parse(&changed.to_string());
        assert!(matches!(refused, Err(ManifestError::BadSchema { which, .. }) if which == "do-it: input"));
    }
}

#[test]
fn two_cards_of_one_id_are_refused() {
    let mut changed = sample();
    changed["cards"][1]["id"] = json!("do-it");
    assert_eq!(Manifest::parse(&changed.to_string()).unwrap_err(), ManifestError::Twice("card do-it".into()));
}

#[test]
fn text_that_is_no_manifest_is_refused() {
    for text in ["", "{", "[]", "null", "{}"] {
        assert!(Manifest::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_connector_for_a_newer_contract_is_refused_with_both_versions() {
    for newer in ["0.1.1", "0.1.10", "0.2.0", "1.0.0"] {
        let mut manifest = sample();
        manifest["contract"] = json!(newer);
        let error = Manifest::parse(&manifest.to_string()).unwrap_err();
        assert_eq!(error, ManifestError::Newer { wanted: newer.into() });
        assert!(error.to_string().contains(newer) && error.to_string().contains("0.1.0"), "{error}");
    }
}
