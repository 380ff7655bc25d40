use super::{LEVELS, MOST, Outline, end_of_value, first_of, push_string, unescaped};
use proptest::prelude::*;
use serde_json::Value;

fn surely_sound(text: &str) -> bool {
    Outline::of(text).is_some()
}

/// What an outline notes of a value is what serde_json reads there; answers how deep it goes.
fn compare(text: &str, outline: &Outline, node: usize, value: &Value) -> usize {
    let Some(inside) = outline.inside(node) else { return 0 };
    let parts: Vec<_> = inside.map(|(place, node)| (&text[place], node)).collect();
    let read = |part: &str| serde_json::from_str::<Value>(part).expect("JSON");
    let held: Vec<(usize, &Value)> = match value {
        Value::Array(items) => parts.iter().map(|(_, node)| *node).zip(items).collect(),
        Value::Object(members) => {
            let name = |at: usize| read(parts[at].0).as_str().expect("a name").to_owned();
            let pairs = (0..parts.len()).step_by(2).map(|at| (parts[at + 1].1, &members[&name(at)]));
            pairs.collect()
        }
        other => panic!("{other} holds nothing"),
    };
    assert_eq!(held.len(), value.as_array().map_or_else(|| parts.len() / 2, Vec::len), "{text}");
    for (node, held) in &held {
        let (part, _) = parts.iter().find(|(_, known)| known == node).expect("a part");
        assert_eq!(&read(part), *held, "{text}");
    }
    1 + held.iter().map(|(node, held)| compare(text, outline, *node, held)).max().unwrap_or(0)
}

#[test]
fn a_value_is_noted_where_it_is_as_deep_as_is_asked_for() {
    let deep = format!("{}1{}", "{\"d\":[".repeat(LEVELS), "]}".repeat(LEVELS));
    let text = format!(r#" {{"a" : [1, {{"b\n":[ ], "c":{{}}}} ,"x"], "d":{deep},"i" :-1.5 }} "#);
    let outline = Outline::of(&text).expect("sound");
    let depth = compare(&text, &outline, 0, &serde_json::from_str(&text).expect("JSON"));
    assert_eq!(depth, LEVELS - 1);
    assert!(Outline::of("7").expect("sound").inside(0).is_none());
}

#[test]
fn a_text_of_many_values_gets_no_outline() {
    let text = format!("[{}0]", "0,".repeat(MOST));
    assert!(Outline::of(&text).expect("sound").inside(0).is_none());
    let text = format!("[{}0]", "0,".repeat(MOST - 2));
    assert_eq!(Outline::of(&text).expect("sound").inside(0).expect("noted").count(), MOST - 1);
}

#[test]
fn a_byte_of_a_set_is_found() {
    let mut set = [false; 128];
    set[usize::from(b'*')] = true;
    let found = [0, 2, 4, 9].map(|at| first_of("\u{e9}*a*", at, &set));
    assert_eq!(found, [2, 2, 4, 5]);
}

#[test]
fn what_every_delivery_holds_is_surely_sound() {
    for text in [
        r#" {"a" : [1, -2.50, true ,false,null, "x\n\u00e9\\\"" , {}, [ ]] } "#,
        "0",
        "\"\"",
        "[[[{\"a\":{\"b\":[]}}]]]",
    ] {
        assert!(surely_sound(text), "{text}");
    }
    assert!(surely_sound(&format!("{}{}", "[".repeat(127), "]".repeat(127))));
}

#[test]
fn what_serde_json_refuses_never_is() {
    let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
    let long = "9".repeat(400);
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "[1}",
        "{\"a\":1]",
        "1 2",
        "01",
        "-",
        "1.",
        ".5",
        "tru",
        "\"a",
        "\"\u{1}\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\u12g4\"",
        "1e999",
        "]",
        "[]]",
        &deep,
        &long,
    ] {
        assert!(!surely_sound(text), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn what_is_surely_sound_is_read(text in "[\\[\\]{}\",:\\\\0-9.eE+a-du ntrfls-]{0,24}") {
        if surely_sound(&text) {
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn a_broken_text_is_not_surely_sound(at in 0_usize..80, byte in "[\\[\\]{}\",:\\\\0-9a-f \n-]") {
        let mut text = r#"{"a":[1,-2.5,{"b":"c\u00e9\"d","e":null}],"f":{"g":[],"h":true,"i":"\\"}}"#.to_owned();
        let at = at.min(text.len() - 1);
        text.replace_range(at..=at, &byte);
        if surely_sound(&text) {
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn an_outline_is_what_serde_json_reads(items in proptest::collection::vec("[\\[\\]{}\":,a1\\\\ ]{0,6}", 0..5)) {
        let text = format!("[{}]", items.join(","));
        if let (Some(outline), Ok(value)) = (Outline::of(&text), serde_json::from_str::<Value>(&text)) {
            let twice = value.to_string().len() + 2 < text.replace(' ', "").len();
            // Of two members with one name serde_json keeps one.
            if !twice {
                compare(&text, &outline, 0, &value);
            }
        }
    }

    #[test]
    fn a_string_is_written_and_read_as_serde_json_does(text in "[a-z\\x00-\\x1f\\x7f\u{e9}\u{1f600}\"\\\\/]{0,40}") {
        let mut written = String::new();
        push_string(&mut written, &text);
        prop_assert_eq!(&written, &Value::from(text.as_str()).to_string());
        prop_assert_eq!(unescaped(&written[1..written.len() - 1]), Some(text));
    }

    #[test]
    fn escapes_are_read_as_serde_json_reads_them(inside in "([a\"\u{e9}\n]|\\\\[nrtbfx\"\\\\/]|\\\\u[0-9a-dD+][0-9a-f]{2,3}){0,8}") {
        let read = serde_json::from_str::<String>(&format!("\"{inside}\"")).ok();
        if let Some(text) = unescaped(&inside) {
            prop_assert_eq!(Some(text), read, "{}", inside);
        } else if let Some(text) = read {
            prop_assert!(text.chars().any(|c| c > '\u{ffff}'), "{}", inside);
        }
    }

    #[test]
    fn a_value_ends_within_its_text(text in "[\\[\\]{}\",:\\\\a1é ]{0,40}", at in 0_usize..50) {
        prop_assert!(end_of_value(&text, at.min(text.len())) <= text.len());
    }
}
