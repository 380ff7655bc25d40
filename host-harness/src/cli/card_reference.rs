//! A card for people: in a terminal, and as a page of Markdown.

use serde_json::Value;

use super::card_fields::{Field, fields};
use super::output::{table, wrapped};

/// How wide the text in a terminal gets.
const WIDTH: usize = 110;

/// The parts of a card that are schemas, with their headings.
const SCHEMAS: [(&str, &str); 3] = [("input", "Input"), ("filter", "Filter"), ("output", "Output")];

/// A card in a terminal. `connector` is how its component was named, for the examples.
pub(super) fn in_terminal(card: &Value, connection: &str) -> String {
    let text = |name: &str| card[name].as_str().unwrap_or_default();
    let mut lines =
        vec![format!("{}  ({} card)", text("id"), text("kind")), format!("{}: {}", text("title"), text("description"))];
    lines.extend(card["lacking"].as_str().map(|reason| format!("not available on this connection: {reason}")));
    lines.extend(behaviour(card).map(|text| wrapped(&text, WIDTH, "")));
    lines.extend(scopes(card).map(|text| wrapped(&text, WIDTH, "")));
    for (name, heading) in SCHEMAS {
        if card[name].is_null() {
            continue;
        }
        let fields = fields(&card[name]);
        lines.push(format!("\n{heading}{}", if fields.is_empty() { ": anything" } else { "" }));
        lines.push(field_table(&fields));
        if name != "output" {
            lines.extend(choices(card).iter().map(|field| {
                format!("  values for {field}: harness options {} {field} --connection {connection}", text("id"))
            }));
        }
    }
    lines.push("\nExample".to_owned());
    let sample = &card["sample"];
    match &sample["input"] {
        _ if text("kind") == "event" => lines.push(format!(
            "  harness subscribe {} --connection {connection} --public-url https://hooks.example.com\n\n  An event of it:",
            text("id")
        )),
        Value::Null => {}
        input => lines.push(format!(
            "  harness run {} --connection {connection} --input '{}'",
            text("id"),
            input.to_string().replace('\'', r"'\''")
        )),
    }
    let answer = format!("{:#}", if sample["output"].is_null() { sample } else { &sample["output"] });
    lines.extend(answer.lines().map(|line| format!("  {line}")));
    lines.push("\n`--json` shows the schemas themselves.".to_owned());
    lines.join("\n")
}

/// The scopes it needs of a credential that has some: any of the lists.
fn scopes(card: &Value) -> Option<String> {
    let lists = card["scopes"].as_array().into_iter().flatten();
    let lists = lists.map(|list| {
        let names: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        names.join(", ")
    });
    let lists: Vec<String> = lists.filter(|list| !list.is_empty()).collect();
    (!lists.is_empty()).then(|| format!("Needs the scopes {}.", lists.join("; or ")))
}

fn field_table(fields: &[Field]) -> String {
    let rows: Vec<Vec<String>> = fields
        .iter()
        .map(|field| {
            let required = if field.required { "yes" } else { "" };
            vec![field.path.clone(), field.kind.clone(), required.to_owned()]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    // The meaning follows in its own column, wrapped, so that long ones stay beside their field.
    let left = table(&["FIELD", "HOLDS", "REQUIRED"], &rows);
    let width = left.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (line, field) in left.lines().skip(1).zip(fields) {
        let margin = " ".repeat(width + 4);
        let meaning = wrapped(&field.description, WIDTH.saturating_sub(width + 4).max(40), &margin);
        lines.push(format!("  {line:<width$}  {meaning}").trim_end().to_owned());
    }
    let head = left.lines().next().unwrap_or_default();
    std::iter::once(format!("  {head:<width$}  WHAT IT IS")).chain(lines).collect::<Vec<_>>().join("\n")
}

/// What a host may conclude about running a card, as a sentence.
fn behaviour(card: &Value) -> Option<String> {
    let behaviour = card["behaviour"].as_object()?;
    let is = |name: &str| behaviour.get(name) == Some(&Value::Bool(true));
    let changes = match (is("read-only"), is("destructive")) {
        (true, _) => "Reads only.",
        (false, true) => "Changes the service, and may remove what it cannot bring back.",
        (false, false) => "Changes the service; removes nothing.",
    };
    let again =
        if is("idempotent") { "Running it twice does what once does." } else { "Running it twice does it twice." };
    let key = match behaviour.get("idempotency-key").and_then(Value::as_str) {
        Some("honoured") => " A second run with the same idempotency key does nothing anew.",
        Some("recorded") => " The idempotency key is written along, so that a lost answer can be looked up.",
        _ => "",
    };
    Some(format!("{changes} {again}{key}"))
}

/// The fields whose values can be listed, by name.
fn choices(card: &Value) -> Vec<&str> {
    let pointers = card["options"].as_array().into_iter().flatten().filter_map(Value::as_str);
    pointers.map(|pointer| pointer.trim_start_matches('/')).collect()
}

/// The page of all cards of a manifest.
pub(super) fn page(manifest: &Value) -> String {
    let connector = &manifest["connector"];
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let mut page = format!(
        "# Cards of {} {}\n\n{}\n\nMade from the component by `harness card reference`; do not edit.\n",
        text(connector, "name"),
        text(connector, "version"),
        text(connector, "description")
    );
    let cards: Vec<&Value> = manifest["cards"].as_array().into_iter().flatten().collect();
    page.push_str("\n| card | kind | what it does |\n| --- | --- | --- |\n");
    for card in &cards {
        let id = text(card, "id");
        page.push_str(&format!(
            "| [`{id}`](#{id}) | {} | {} |\n",
            text(card, "kind"),
            cell(&text(card, "description"))
        ));
    }
    for card in cards {
        page.push_str(&section(card));
    }
    page
}

fn section(card: &Value) -> String {
    let text = |name: &str| card[name].as_str().unwrap_or_default();
    let mut section =
        format!("\n## {}\n\n**{}** ({}). {}\n", text("id"), text("title"), text("kind"), text("description"));
    if let Some(behaviour) = behaviour(card) {
        section.push_str(&format!("\n{behaviour}\n"));
    }
    let sources: Vec<&str> = card["sources"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !sources.is_empty() {
        section.push_str(&format!("\nComes by: {}.\n", sources.join(", ")));
    }
    for (name, heading) in SCHEMAS {
        if card[name].is_null() {
            continue;
        }
        section.push_str(&format!("\n### {heading}\n\n"));
        let fields = fields(&card[name]);
        if fields.is_empty() {
            section.push_str("Anything.\n");
            continue;
        }
        section.push_str("| field | holds | required | what it is |\n| --- | --- | --- | --- |\n");
        for field in &fields {
            let required = if field.required { "yes" } else { "" };
            section.push_str(&format!(
                "| `{}` | {} | {required} | {} |\n",
                field.path,
                cell(&field.kind),
                cell(&field.description)
            ));
        }
        let choices = choices(card);
        if name != "output" && !choices.is_empty() {
            let names: Vec<_> = choices.iter().map(|name| format!("`{name}`")).collect();
            section.push_str(&format!("\nValues for {} are listed by `harness options`.\n", names.join(", ")));
        }
    }
    section.push_str(&format!("\n### Sample\n\n```json\n{:#}\n```\n", card["sample"]));
    section
}

/// A text that stays within one cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn card() -> Value {
        json!({
            "id": "light-lamp", "kind": "action", "title": "Light a lamp", "description": "Lights one.",
            "behaviour": {"read-only": false, "destructive": false, "idempotent": true, "idempotency-key": "honoured"},
            "options": ["/lamp"],
            "input": {
                "type": "object", "required": ["lamp"],
                "properties": {"lamp": {"type": "string", "description": format!("Which | {}", "one ".repeat(60))}},
            },
            "output": {"type": "object"},
            "sample": {"input": {"lamp": "it's me"}, "output": {}},
        })
    }

    #[test]
    fn an_event_card_is_subscribed_to_and_not_run() {
        let event = json!({ "id": "lamp-lit", "kind": "event", "sample": { "input": {}, "output": { "lamp": "l" } } });
        let shown = in_terminal(&event, "demo");
        assert!(shown.contains("harness subscribe lamp-lit --connection demo --public-url "), "{shown}");
        assert!(!shown.contains("harness run"), "{shown}");
    }

    #[test]
    fn a_card_in_a_terminal_shows_fields_and_a_command_to_paste() {
        let shown = in_terminal(&card(), "demo");
        assert!(shown.contains("FIELD  HOLDS  REQUIRED"), "{shown}");
        assert!(shown.contains("lamp   text   yes       Which | one"), "{shown}");
        assert!(
            shown.contains(r#"harness run light-lamp --connection demo --input '{"lamp":"it'\''s me"}'"#),
            "{shown}"
        );
        assert!(shown.contains("harness options light-lamp lamp --connection demo"), "{shown}");
        assert!(shown.contains("Running it twice does what once does."), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= WIDTH), "{shown}");
    }

    #[test]
    fn a_card_in_a_terminal_names_the_scopes_it_needs() {
        let mut card = card();
        assert!(!in_terminal(&card, "demo").contains("scopes"));
        card["scopes"] = json!([["read", "write"], ["all"]]);
        let shown = in_terminal(&card, "demo");
        assert!(shown.contains("Needs the scopes read, write; or all."), "{shown}");
    }

    #[test]
    fn a_page_of_cards_is_markdown_whose_tables_hold() {
        let page = page(&json!({
            "connector": {"name": "Lamp", "version": "1.0.0", "description": "Lamps."}, "cards": [card()],
        }));
        assert!(page.starts_with("# Cards of Lamp 1.0.0\n"), "{page}");
        assert!(page.contains("| [`light-lamp`](#light-lamp) | action | Lights one. |"), "{page}");
        assert!(page.contains("| `lamp` | text | yes | Which \\| one one"), "a bar would open another cell: {page}");
        assert!(page.contains("### Output\n\nAnything.\n"), "{page}");
    }
}
