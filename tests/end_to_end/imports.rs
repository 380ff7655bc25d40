//! The component is what the reviewer was told.

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};

use crate::built;

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
