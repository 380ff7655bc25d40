use super::{Members, Part, Write as _, check, items, outline, string, value};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn members_are_read_without_what_is_in_them() {
    let members = Members::of(r#" {"a":{"b":[1, 2]},"n\u0061me":"x\ny","a":"last","e":""} "#).expect("an object");
    assert_eq!(members.string("a").as_deref(), Some("last"), "of two the last one counts");
    assert_eq!(members.string("name").as_deref(), Some("x\ny"));
    assert_eq!(members.string("e").as_deref(), Some(""));
    assert_eq!(members.named("e"), None);
    assert!(members.object("name").is_none() && members.get("b").is_none());
    for other in ["[]", "1", "\"a\"", "null", "", "{", "{\"a\":}", "{\"a\"}", "{\"a\" 1}", "{\"a\":1 2}"] {
        assert!(Members::of(other).is_none(), "{other}");
    }
}

#[test]
fn what_is_passed_on_keeps_its_spelling() {
    let members = Members::of(r#"{"a": 1.50, "b": "\u0041", "c": [1 ,2]}"#).expect("an object");
    assert_eq!(members.without(&["c"]).write(), r#"{"a":1.50,"b":"\u0041"}"#);
    assert_eq!(items("[1, {\"a\":2} ,\"x\"]").map(|items| items.len()), Some(3));
    assert_eq!(items("{}").map(|items| items.len()), None);
}

#[test]
fn what_others_could_not_read_is_refused() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(check(&nested(127)).is_ok());
    for refused in
        [nested(128).as_str(), "1e999", "[-1E+400]", "\"\\ud800\"", "{\"\\udc00\":1}", "[1,]", "1 2", "", "\"a\nb\""]
    {
        assert!(check(refused).is_err(), "{refused}");
    }
    assert!(check("{\"a\":\"").expect_err("cut off").is_eof());
}

proptest! {
    #[test]
    fn a_text_is_sound_exactly_when_serde_json_reads_it(text in "[\\[\\]{}\",:\\\\0-9.eE+a-du ntrfls-]{0,24}") {
        let read = serde_json::from_str::<Value>(&text);
        prop_assert_eq!(check(&text).is_ok(), read.is_ok(), "{}", &text);
        prop_assert_eq!(super::parse(&text).ok(), read.ok(), "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}\",:\\\\a1é ]{0,40}") {
        let _ = (Members::of(&text), items(&text), string(&text));
    }

    #[test]
    fn a_level_is_what_serde_json_says(text in "[\\[\\]{}\",:\\\\a1 n]{0,16}") {
        let text = format!("{{\"a\":{text}}}");
        if let Ok(read) = serde_json::from_str::<Value>(&text) {
            let members = Members::of(&text).expect("an object");
            for (name, held) in read.as_object().expect("an object") {
                prop_assert_eq!(&members.get(name).map(value), &Some(held.clone()), "{}", &text);
            }
        }
    }

    #[test]
    fn what_was_passed_over_reads_as_what_was_not(text in "[\\[\\]{}\",:\\\\a1 n]{0,16}") {
        let text = format!("{{\"a\":{text}}}");
        if let Ok(outline) = outline(&text) {
            let (known, scanned) = (Part::of(&text, &outline).members(), Members::of(&text).expect("an object"));
            let known = known.expect("an object");
            prop_assert_eq!(known.write(), scanned.write());
            let (inner, bare) = (known.part("a").expect("a"), Part::bare(scanned.get("a").expect("a")));
            prop_assert_eq!(inner.members().map(|it| it.write()), bare.members().map(|it| it.write()));
            let texts = |part: Part<'_>| part.items().map(|all| all.iter().map(|it| it.text().to_owned()).collect::<Vec<_>>());
            prop_assert_eq!(texts(inner), texts(bare), "{}", text);
        }
    }

    #[test]
    fn strings_and_members_are_what_serde_json_says(name in "\\PC{0,12}", held in "\\PC{0,20}") {
        let text = json!({ &name: held, "other": [held] }).to_string();
        let members = Members::of(&text).expect("an object");
        prop_assert_eq!(members.get("other").map(value), Some(json!([held])));
        prop_assert_eq!(value(&text), serde_json::from_str::<Value>(&text).expect("JSON"));
        if name != "other" {
            let read = members.get(&name).and_then(string);
            prop_assert_eq!(read.as_deref(), Some(held.as_str()));
        }
    }
}
