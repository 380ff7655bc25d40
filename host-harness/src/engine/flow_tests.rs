use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::expression::{Expression, ExpressionError, Scope, Template};
use super::flow::{FlowError, Retry, parse};
use crate::clock::LONGEST_WAIT;

const FLOW: &str = r#"
name: greet
on:
  event: lamp-lit
  connection: demo
  filter: { rooms: [hall] }
  when: event.lamp.state == "on"
steps:
  - id: note
    action: write-note
    connection: demo
    input:
      title: Lamp ${{ event.lamp.name }} is on
      level: ${{ event.lamp.level }}
      tags: [a, "${{ event.lamp.name }}"]
    retry: { attempts: 4, first: 2s, factor: 2, at-most: 30s }
  - id: second
    action: write-note
    connection: demo
    when: steps.note.output.id > 3
    input: { title: "${{ steps.note.output.id }} in ${{ run.id }}" }
"#;

fn scope() -> Scope {
    let mut scope = Scope::default();
    scope.set("event", &json!({ "lamp": { "name": "hall", "level": 7, "state": "on", "none": null, "big": 1.5 } }));
    scope.set("steps", &json!({ "note": { "output": { "id": 4 } } }));
    scope.set("run", &json!({ "id": "r1" }));
    scope
}

fn fill(value: Value) -> Value {
    Template::parse(&value).unwrap().fill(&scope()).unwrap()
}

fn error(text: &str) -> String {
    parse(Path::new("flow.yaml"), text).unwrap_err().to_string()
}

#[test]
fn a_flow_is_read_and_filled_in() {
    let flow = parse(Path::new("flow.yaml"), FLOW).unwrap();
    assert!(flow.when.as_ref().unwrap().holds(&scope()).unwrap());
    let input = flow.steps[0].input.fill(&scope()).unwrap();
    assert_eq!(input, json!({ "title": "Lamp hall is on", "level": 7, "tags": ["a", "hall"] }));
    assert!(flow.steps[1].when.as_ref().unwrap().holds(&scope()).unwrap());
    assert_eq!(flow.steps[1].input.fill(&scope()).unwrap(), json!({ "title": "4 in r1" }));
    assert_eq!(flow.retry_of(0).attempts, 4);
    assert_eq!(flow.retry_of(1), Retry::default());
}

#[test]
fn a_flow_may_be_json_and_is_the_same_after_being_written_and_read() {
    let flow = parse(Path::new("flow.yaml"), FLOW).unwrap().flow;
    let json = serde_json::to_string(&flow).unwrap();
    assert_eq!(parse(Path::new("flow.json"), &json).unwrap().flow, flow);
}

#[test]
fn an_expression_alone_keeps_its_type_and_inside_text_gives_its_text() {
    assert_eq!(fill(json!("${{ event.lamp.level }}")), json!(7));
    assert_eq!(fill(json!("${{event.lamp}}"))["name"], "hall");
    assert_eq!(fill(json!("${{ event.lamp.level + 1 }}")), json!(8));
    assert_eq!(fill(json!("${{ event.lamp.big }}")), json!(1.5));
    assert_eq!(fill(json!("${{ event.lamp.none }}")), Value::Null);
    assert_eq!(fill(json!("[${{ event.lamp.none }}]")), "[]");
    assert_eq!(fill(json!("is ${{ event.lamp.level > 3 }}")), "is true");
    assert_eq!(fill(json!(" ${{ event.lamp.level }}")), " 7");
    assert_eq!(fill(json!("${{ [1, 2].map(x, x + 1) }}")), json!([2, 3]));
    assert_eq!(fill(json!("${{ event.lamp.name.upperAscii() }}")), "HALL");
    assert_eq!(fill(json!("${{ {'a': {'b': 1}} }}")), json!({ "a": { "b": 1 } }));
    assert_eq!(fill(json!("${{ '}}' + \"'}}\" }}!")), "}}'}}!");
    assert_eq!(fill(json!("$${{ no }}")), "${{ no }}");
    assert_eq!(fill(json!("costs $5 {{x}} }}")), "costs $5 {{x}} }}");
    assert_eq!(fill(json!({ "n": 1, "l": [true, null] })), json!({ "n": 1, "l": [true, null] }));
}

#[test]
fn a_value_that_is_missing_is_an_error_that_names_the_expression() {
    let template = Template::parse(&json!("${{ event.lamp.absent }}")).unwrap();
    assert!(template.fill(&scope()).unwrap_err().to_string().contains("event.lamp.absent"));
    assert_eq!(fill(json!("${{ has(event.lamp.absent) ? event.lamp.absent : 'x' }}")), "x");
}

#[test]
fn a_mistake_in_a_flow_is_named_with_its_place() {
    let cases = [
        (FLOW.replace("name: greet", "nme: greet"), "nme"),
        (FLOW.replace("name: greet", "name: a b"), "name"),
        (FLOW.replace("action: write-note", "acton: write-note"), "acton"),
        (FLOW.replace("event.lamp.state == \"on\"", "event.lamp.state =="), "on.when"),
        (FLOW.replace("event.lamp.state == \"on\"", "evnt.lamp"), "evnt"),
        (FLOW.replace("event.lamp.state == \"on\"", "steps.note.output == 1"), "steps"),
        (FLOW.replace("${{ event.lamp.level }}", "${{ event.lamp.level"), "steps.note.input"),
        (FLOW.replace("when: steps.note.output", "when: steps.later.output"), "steps.later"),
        (FLOW.replace("id: second", "id: note"), "same id"),
        (FLOW.replace("first: 2s", "first: soon"), "soon"),
        (FLOW.replace("first: 2s", "first: 31days"), "at most 30 days"),
        (FLOW.replace("at-most: 30s", "at-most: 100000000years"), "at most 30 days"),
        (FLOW.replace("attempts: 4", "attempts: 0"), "attempts"),
        (FLOW.replace("factor: 2", "factor: 0.5"), "factor"),
        (FLOW.replace("filter: { rooms: [hall] }", "filter: 3"), "on.filter"),
        (FLOW[..FLOW.find("steps:").unwrap()].to_owned() + "steps: []", "no step"),
        ("name: [".into(), "flow.yaml"),
        (String::new(), "flow.yaml"),
    ];
    for (text, expected) in cases {
        let message = error(&text);
        assert!(message.contains(expected), "{expected}: {message}");
        assert!(message.contains("flow.yaml"), "{message}");
    }
}

#[test]
fn a_step_may_not_read_itself_or_a_later_one() {
    assert!(
        error(&FLOW.replace("level: ${{ event.lamp.level }}", "level: ${{ steps.second.output }}")).contains("second")
    );
    assert!(error(&FLOW.replace("level: ${{ event.lamp.level }}", "level: ${{ steps.note.output }}")).contains("note"));
}

#[test]
fn two_flows_of_one_name_are_refused_and_other_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), FLOW).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not a flow").unwrap();
    assert_eq!(super::flow::read_folder(folder.path()).unwrap().len(), 1);
    std::fs::write(folder.path().join("b.yml"), FLOW).unwrap();
    assert!(matches!(super::flow::read_folder(folder.path()), Err(FlowError::Content { .. })));
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_of_a_size_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe.yaml");
    let refused = |path: &Path, reason: &str| {
        for error in [super::flow::read_file(path).unwrap_err(), super::flow::read_folder(folder.path()).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains("pipe.yaml could not be read") && error.contains(reason), "{error}");
        }
        std::fs::remove_file(path).unwrap();
    };
    // A reader of it would wait for its writer.
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    refused(&path, "no regular file");
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    refused(&path, "no regular file");
    std::fs::File::create(&path).unwrap().set_len((1 << 20) + 1).unwrap();
    refused(&path, "larger than 1 MiB");
    std::fs::write(&path, b"name: \xff").unwrap();
    refused(&path, "no text");
}

#[test]
fn a_wait_grows_is_bounded_and_is_never_shorter_than_the_service_asked() {
    let retry = Retry::default();
    assert_eq!(retry.wait(1, Duration::ZERO, 0.0), Duration::from_secs(2));
    assert_eq!(retry.wait(3, Duration::ZERO, 0.0), Duration::from_secs(8));
    assert_eq!(retry.wait(50, Duration::ZERO, 0.0), Duration::from_secs(30));
    assert_eq!(retry.wait(1, Duration::from_secs(1847), 0.0), Duration::from_secs(1847));
    assert!(retry.wait(u32::MAX, Duration::from_secs(1847), 1.0) <= Duration::from_secs(2402));
    assert_eq!(retry.wait(1, Duration::from_millis(u64::MAX), 1.0), LONGEST_WAIT);
}

#[test]
fn a_condition_must_be_true_or_false() {
    assert!(Expression::parse("1 + 1").unwrap().holds(&scope()).is_err());
}

fn is_too_large(text: &str, reason: &str) {
    let error = Expression::parse(text).unwrap_err();
    assert!(matches!(error, ExpressionError::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    assert!(error.to_string().len() < 300, "{error}");
}

#[test]
fn an_expression_is_bounded_before_it_can_overflow_a_stack() {
    is_too_large(&("1+".repeat(1999) + "1"), "1000 bytes");
    is_too_large(&format!("{}1{}", "[".repeat(33), "]".repeat(33)), "32 deep");
    is_too_large(&format!("{}1{}", "(".repeat(400), ")".repeat(400)), "32 deep");
    is_too_large(&"[".repeat(1000), "32 deep");
    assert!(Expression::parse(&format!("{}1{}", "[".repeat(32), "]".repeat(32))).is_ok());
    assert!(Expression::parse(&format!("'{}' == \"\\\"{}\"", "(".repeat(50), "[".repeat(50))).is_ok());
    // Whatever these are, they end.
    for text in ["!".repeat(990) + "true", "-".repeat(999) + "1", "true?1:".repeat(140) + "1"] {
        let _ = Expression::parse(&text).map(|one| one.evaluate(&scope()));
    }
    assert!(error(&FLOW.replace("event.lamp.level }}", &("1+".repeat(1999) + "1 }}"))).contains("1000"));
}

#[test]
fn a_long_chain_is_evaluated() {
    let sum = "1+".repeat(449) + "1";
    assert_eq!(sum.len(), 899);
    assert_eq!(Expression::parse(&sum).unwrap().evaluate(&scope()).unwrap(), json!(450));
    assert_eq!(Expression::parse(&("1+".repeat(499) + "1")).unwrap().evaluate(&scope()).unwrap(), json!(500));
    let all = ["event.lamp.level > 3"; 41].join(" && ");
    assert!((900..=1000).contains(&all.len()), "{}", all.len());
    assert!(Expression::parse(&all).unwrap().holds(&scope()).unwrap());
}

#[test]
fn loops_in_loops_and_growing_texts_are_bounded() {
    let two = Expression::parse("[1, 2].all(a, [3, 4].exists(b, a < b))").unwrap();
    assert!(two.holds(&scope()).unwrap());
    let chain = "[3, 1, 2].filter(a, a > 1).sortBy(a, a).map(a, a * 2)";
    assert_eq!(Expression::parse(chain).unwrap().evaluate(&scope()).unwrap(), json!([4, 6]));
    is_too_large("[1].all(a, [1].exists(b, [1].exists_one(c, a == b)))", "2 deep");
    is_too_large("[1].map(a, [1].filter(b, [1].map(c, c) == [a]))", "2 deep");
    is_too_large("[1].map(a, {'x': [1].map(b, [1].map(c, c))})", "2 deep");
    is_too_large(&("[1]".to_owned() + &".map(x, x + x)".repeat(5)), "at most 4");
    is_too_large("lists.range(1000000)", "lists.range");
    is_too_large(&("'a'".to_owned() + &".replace('a', 'aaaaaaaaaa')".repeat(20)), "4096 times");
    let escaped = "'<a>'.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')";
    assert_eq!(Expression::parse(escaped).unwrap().evaluate(&scope()).unwrap(), json!("&lt;a&gt;"));
}

#[test]
fn what_comes_out_is_at_most_a_mebibyte() {
    let mut scope = Scope::default();
    scope.set("event", &json!({ "half": "x".repeat(600_000) }));
    let fill = |template: Value| Template::parse(&template).unwrap().fill(&scope);
    assert!(fill(json!("${{ event.half }}")).is_ok());
    for template in [
        json!("${{ event.half + event.half }}"),
        json!("${{ event.half }} ${{ event.half }}"),
        json!(["${{ event.half }}", { "again": "${{ event.half }}" }]),
    ] {
        let error = fill(template).unwrap_err();
        assert!(matches!(error, ExpressionError::Evaluation { .. }), "{error}");
        assert!(error.to_string().contains("1048576"), "{error}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_template_parser_panic(text in "[a-z ${}'\"\\\\.+]{0,60}") {
        let _ = Template::parse(&json!(text));
    }

    #[test]
    fn a_text_without_an_expression_stays_as_it_is(text in "[^$]{0,60}") {
        prop_assert_eq!(fill(json!(text.clone())), json!(text));
    }

    #[test]
    fn no_text_makes_the_flow_parser_panic(text in "[a-z:\\-\\[\\]{}\n ]{0,80}") {
        prop_assert!(parse(Path::new("flow.yaml"), &text).is_err());
    }

    #[test]
    fn values_go_through_an_expression_unchanged(number in any::<i64>(), text in ".{0,20}", yes in any::<bool>()) {
        let value = json!({ "n": number, "t": text, "l": [yes, null] });
        let mut scope = Scope::default();
        scope.set("event", &value);
        prop_assert_eq!(Template::parse(&json!("${{ event }}")).unwrap().fill(&scope).unwrap(), value);
    }
}
