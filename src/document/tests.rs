use super::{RichText, from_markdown, from_plain, to_markdown};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

fn data() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/jira/adf");
    if !folder.is_dir() {
        eprintln!("skipped: no documents of Atlassian's at ../shared/data/jira/adf");
        return None;
    }
    Some(folder)
}

fn read(folder: &std::path::Path, name: &str) -> Option<String> {
    std::fs::read_to_string(folder.join(name)).ok()
}

fn rich(value: Value) -> Result<Value, crate::contract::Error> {
    RichText::of(value).to_adf("/description", "Description")
}

const WIDE: &str = "# Title\n\nWords **bold** *slant* ~~gone~~ `code` [link](https://example.test) ![a picture](https://example.test/p.png)\\\nbroken.\n\n\
- one\n- two\n  1. three\n  2. four\n     - five\n\n- [x] done\n- [ ] open\n  - [x] below\n\n```rust\nfn main() {}\n```\n\n\
> quoted\n> # heading\n> - list\n>\n> | a |\n> | - |\n> | b |\n\n---\n\n| a | b |\n| - | - |\n| 1 | **2** |\n|  |  |\n\n\
1. # heading in item\n   > quote in item\n\n   | t |\n   | - |\n   | u |\n\n<div>html</div>\n\na<br>b **x `c` [y](mailto:a@example.test)**\n\n- [ ] mixed\n- plain\n";

#[test]
fn every_kind_of_markdown_becomes_a_document_that_jira_takes() {
    let Some(folder) = data() else { return };
    let schema: Value = serde_json::from_str(&read(&folder, "schema.full.json").expect("a schema")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut texts = vec![WIDE.to_owned(), String::new()];
    for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            texts.push(std::fs::read_to_string(&path).expect("text"));
        }
    }
    for text in texts {
        for document in [from_markdown(&text), from_plain(&text)] {
            if let Some(error) = validator.iter_errors(&document).next() {
                panic!("{error}\nat {} of\n{document:#}", error.instance_path());
            }
        }
    }
}

#[test]
fn the_basics_become_what_others_make_of_them() {
    let Some(folder) = data() else { return };
    for name in ["nested-list", "special-chars"] {
        let (Some(text), Some(expected)) =
            (read(&folder, &format!("marklassian.{name}.md")), read(&folder, &format!("marklassian.{name}.json")))
        else {
            continue;
        };
        let expected: Value = serde_json::from_str(&expected).expect("JSON");
        assert_eq!(to_markdown(&from_markdown(&text)), to_markdown(&expected), "{name}");
    }
}

#[test]
fn documents_of_others_read_back_as_words() {
    let Some(folder) = data() else { return };
    for name in ["jupiterone.large-adf", "atlaskit.unsupported-content", "jira-cli.md"] {
        let Some(text) = read(&folder, &format!("{name}.json")) else { continue };
        let document: Value = serde_json::from_str(&text).expect("JSON");
        assert!(!to_markdown(&document).is_empty(), "{name}");
    }
}

#[test]
fn marks_and_links_are_kept_and_dangerous_links_are_not() {
    let paragraph = |text: &str| from_markdown(text)["content"][0]["content"].clone();
    assert_eq!(paragraph("**a**")[0]["marks"], json!([{ "type": "strong" }]));
    assert_eq!(paragraph("[a](https://x.test)")[0]["marks"][0]["attrs"]["href"], "https://x.test");
    for link in
        ["[a](javascript:alert(1))", "[a](data:text/html,x)", "[a](//x.test)", "[a](JAVASCRIPT:x)", "[a](vbscript:x)"]
    {
        assert_eq!(paragraph(link)[0].get("marks"), None, "{link}");
    }
    assert_eq!(paragraph("**`a`**")[0]["marks"], json!([{ "type": "code" }]));
}

/// The words of a document's first block, with line breaks as `/` and mentions as `@id`.
fn words(markdown: &str) -> String {
    let document = from_markdown(markdown);
    let inline = document["content"][0]["content"].as_array().cloned().unwrap_or_default();
    let word = |node: &Value| match node["type"].as_str() {
        Some("hardBreak") => "/".to_owned(),
        Some("mention") => format!("@{}", node["attrs"]["id"].as_str().unwrap_or_default()),
        _ => node["text"].as_str().unwrap_or_default().to_owned(),
    };
    inline.iter().map(word).collect()
}

#[test]
fn lines_stay_lines() {
    assert_eq!(words("one\ntwo\nthree"), "one/two/three");
    assert_eq!(words("one\r\ntwo"), "one/two");
    assert_eq!(words("one  \ntwo\\\nthree"), "one/two/three");
    assert_eq!(words("**one\ntwo**"), "one/two");
    assert_eq!(words("one<br>two"), "one/two");
    assert_eq!(words("<trace>\nline 1\nline 2"), "<trace>/line 1/line 2");
}

#[test]
fn mentions_become_mentions_outside_of_code_and_links() {
    assert_eq!(words("[~accountid:557058:58131acb-97ba]"), "@557058:58131acb-97ba");
    assert_eq!(words("ask [~accountid:a-1], [~accountid:b_2]!"), "ask @a-1, @b_2!");
    assert_eq!(words("**ask [~accountid:a-1]**"), "ask @a-1");
    for kept in ["[~accountid:]", "[~accountid:a b]", "[~accountid:a", "[~user]", "[~accountid:[~accountid:"] {
        assert_eq!(words(kept), kept);
    }
    assert_eq!(words("`[~accountid:a-1]`"), "[~accountid:a-1]");
    assert_eq!(to_markdown(&from_markdown("ask [~accountid:a-1] now")), "ask [~accountid:a-1] now");
}

#[test]
fn ten_thousand_levels_of_anything_are_laid_flat_in_no_time() {
    fn depth(node: &Value) -> usize {
        1 + node["content"].as_array().into_iter().flatten().map(depth).max().unwrap_or(0)
    }
    for sign in ["> ", "- ", "1. ", "* ", "**", "*a ", "[", "![", "~~", "`", "<b>", "> - ", "- [ ] ", "\\", "|"] {
        let begun = std::time::Instant::now();
        let document = from_markdown(&format!("{}x", sign.repeat(10_000)));
        assert!(depth(&document) < 40, "{sign:?}: {}", depth(&document));
        assert!(!to_markdown(&document).is_empty(), "{sign:?}");
        assert!(begun.elapsed().as_secs() < 5, "{sign:?}: {:?}", begun.elapsed());
    }
}

#[test]
fn plain_text_keeps_its_lines() {
    let document = from_plain("a *b*\nc\r\n\n\nd");
    assert_eq!(
        document["content"],
        json!([
            { "type": "paragraph", "content": [{ "type": "text", "text": "a *b*" }, { "type": "hardBreak" }, { "type": "text", "text": "c" }] },
            { "type": "paragraph", "content": [{ "type": "text", "text": "d" }] }
        ])
    );
}

#[test]
fn the_format_decides_how_a_text_is_read() {
    let marks = |value| rich(value).expect("a document")["content"][0]["content"][0].get("marks").cloned();
    assert!(marks(json!("**a**")).is_some());
    assert!(marks(json!({ "format": "markdown", "content": "**a**" })).is_some());
    assert!(marks(json!({ "format": "plain", "content": "**a**" })).is_none());
    let document = json!({ "type": "doc", "version": 1, "content": [] });
    assert_eq!(rich(document.clone()).ok(), Some(document.clone()));
    assert_eq!(rich(json!({ "format": "adf", "content": document.clone() })).ok(), Some(document));
    let mut deep = json!({ "type": "paragraph", "content": [] });
    for _ in 0..100 {
        deep = json!({ "type": "panel", "content": [deep] });
    }
    for refused in [
        json!(1),
        json!({ "format": "html", "content": "x" }),
        json!({ "format": "adf", "content": { "type": "doc" } }),
        json!({ "type": "doc", "version": 2, "content": [] }),
        json!({ "type": "doc", "version": 1, "content": [{ "text": "x" }] }),
        json!({ "type": "doc", "version": 1, "content": [deep] }),
        json!("x".repeat(40_000)),
    ] {
        assert_eq!(rich(refused).expect_err("refused").failure().code, "jira.document-invalid");
    }
}

#[test]
fn what_was_written_reads_back() {
    for text in [
        "# Title",
        "a **b** c",
        "- one\n- two\n  - three",
        "1. one\n2. two",
        "```rust\nx\n```",
        "> quote",
        "---",
        "- [x] done",
    ] {
        assert_eq!(to_markdown(&from_markdown(text)), text);
    }
}

#[test]
fn deep_nesting_is_laid_flat() {
    let mut text = String::new();
    for level in 0..200 {
        text.push_str(&"> ".repeat(level));
        text.push_str("- x\n");
    }
    let document = from_markdown(&text);
    fn depth(node: &Value) -> usize {
        1 + node["content"].as_array().into_iter().flatten().map(depth).max().unwrap_or(0)
    }
    assert!(depth(&document) < 40, "{}", depth(&document));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[-*_`~>#|\\[\\]()!<\\\\ \\n0-9.xa:/]{0,120}") {
        let document = from_markdown(&text);
        prop_assert_eq!(&document["type"], "doc");
        let _ = to_markdown(&document);
        let _ = from_plain(&text);
    }

    #[test]
    fn no_json_makes_reading_back_panic(text in "[{}\\[\\]\",:a-z0-9]{0,80}") {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let _ = to_markdown(&value);
        }
    }
}
