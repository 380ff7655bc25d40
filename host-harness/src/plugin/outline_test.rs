use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Schemas that speak about parts, about all, and about nothing.
fn schemas() -> Vec<Value> {
    vec![
        json!({}),
        json!(true),
        json!(false),
        json!({"type": "object", "additionalProperties": true}),
        json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}, "required": ["a", "b"]}),
        json!({"type": ["object", "null"], "additionalProperties": {"type": "string"}}),
        json!({"type": "object", "properties": {"a": true}, "additionalProperties": false}),
        json!({"required": ["a"], "additionalProperties": {"type": "array", "items": {"type": "string"}}}),
        json!({"properties": {"a": {"items": {"type": "object", "required": ["b"]}}, "b": {"type": "number"}}}),
        json!({"type": "array", "items": {"type": "array", "items": false}}),
        json!({"type": "array", "minItems": 1}),
        json!({"enum": [[], {"a": [1]}, "a"]}),
        json!({"properties": {"a": {"const": {"b": 1}}, "b": {"minProperties": 1}}}),
        json!({"$defs": {"one": {"type": "string"}}, "additionalProperties": {"$ref": "#/$defs/one"}}),
        json!({"anyOf": [{"type": "string"}, {"required": ["a"]}]}),
        json!({"properties": {"a": {"$comment": "open"}}, "additionalProperties": {"title": "open too"}}),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        Just(json!(1.5)),
        "[a-c]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]
    #[test]
    fn what_is_kept_obeys_a_schema_exactly_when_all_of_it_does(value in values()) {
        for schema in schemas() {
            let kept = Outline::of(&schema).read(&value.to_string()).unwrap();
            let validator = jsonschema::draft202012::new(&schema).unwrap();
            prop_assert_eq!(validator.is_valid(&kept), validator.is_valid(&value), "{} {} {}", schema, value, kept);
        }
    }

    #[test]
    fn a_whole_text_is_read_as_serde_json_reads_it(value in values()) {
        prop_assert_eq!(read(&value.to_string()).unwrap(), value);
    }
}

#[test]
fn what_a_schema_leaves_open_is_not_kept() {
    let schema = json!({
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": {"properties": {"id": {"type": "string"}, "open": {"type": "object"}}}},
        },
        "required": ["there"],
    });
    let text = r#"{"list": [{"id": "1", "open": {"much": [1, 2]}, "x": 1}, 7], "there": {"y": [3]}, "more": "words"}"#;
    let kept = Outline::of(&schema).read(text).unwrap();
    assert_eq!(kept, json!({"list": [{"id": "1", "open": {}}, 7], "there": {}}));
}

#[test]
fn of_two_members_with_one_name_the_last_one_counts() {
    let schema = json!({"properties": {"a": {"type": "string"}}});
    assert_eq!(Outline::of(&schema).read(r#"{"a": 1, "a": "x"}"#).unwrap(), json!({"a": "x"}));
}

#[test]
fn a_text_that_others_could_not_read_is_refused_where_nothing_is_said_about_it() {
    let deep = format!("{{\"open\":{}{}}}", "[".repeat(200), "]".repeat(200));
    for text in
        ["", "{", "{\"open\":1e999}", "{\"open\":\"\\ud800\"}", "{\"\\udc00\":1}", "{\"open\":[1,]}", "{} {}", &deep]
    {
        assert!(Outline::of(&json!({"type": "object"})).read(text).is_err(), "{text}");
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn no_name_of_a_member_is_special() {
    let text = r#"{"$serde_json::private::RawValue":"{","$serde_json::private::Number":"x"}"#;
    assert_eq!(read(text).unwrap().as_object().unwrap().len(), 2);
}
