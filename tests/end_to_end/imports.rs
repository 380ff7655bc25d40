//! The component is what the reviewer was told, and every card is used end to end.

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};

use crate::built;
use crate::harness::Harness;
use crate::simulator::text;

/// The outermost imports of a component, sorted.
pub(crate) fn of_component(bytes: &[u8]) -> Vec<String> {
    let mut depth = 0_usize;
    let mut imports = BTreeSet::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.expect("the component is well formed") {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(section.into_iter().map(|import| import.expect("an import").name.name.to_owned()));
            }
            _ => {}
        }
    }
    imports.into_iter().collect()
}

/// The import list that was agreed on, one a line.
pub(crate) fn golden() -> Vec<String> {
    include_str!("golden/imports.txt").lines().map(str::to_owned).collect()
}

#[test]
fn the_component_imports_exactly_what_the_golden_file_lists() {
    let found = of_component(&std::fs::read(built::connector()).expect("the component can be read"));
    assert_eq!(found, golden(), "if that is meant, change tests/end_to_end/golden/imports.txt and tell the reviewers");
}

/// Every source file of these tests.
const TESTS: [&str; 3] = [include_str!("main_job.rs"), include_str!("commands.rs"), include_str!("refusals.rs")];

#[test]
fn every_card_has_an_end_to_end_test() {
    let host = Harness::new();
    let cards = host.run(&["card", "list", "--connector", &built::connector().to_string_lossy()]).list();
    // However the formatter breaks the lines.
    let tests: String = TESTS.concat().split_whitespace().collect();
    for card in cards {
        let id = text(&card["id"]);
        let used = if card["kind"] == "event" { format!("\"{id}\"") } else { format!("run(\"{id}\"") };
        assert!(
            tests.contains(&used),
            "the card `{id}` has no end-to-end test: add one to tests/end_to_end/commands.rs that has `{used}` in it \
             and looks at what the simulated Jira then holds"
        );
    }
}
