//! One core module → one component, its name map and its interface.

use anyhow::{Context, Result};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use wasmparser::{Chunk, KnownCustom, Name, Parser, Payload};
use wit_component::ComponentEncoder;

/// A component ready to be written.
pub(super) struct Finished {
    pub(super) bytes: Vec<u8>,
    /// JSON: `{"functions": {"12": "jira_connector::action::invoke", …}}`.
    pub(super) names: Vec<u8>,
    pub(super) interface: Interface,
}

/// What a component asks for and what it offers, in the component's own order.
#[derive(Debug, Serialize)]
pub(crate) struct Interface {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

#[derive(Default, Serialize)]
struct NameMap {
    /// Index of a function in the component's core module 0 → its name.
    functions: BTreeMap<u32, String>,
}

/// Encodes and validates the component. The name section moves out of it into the
/// name map: a trap's stack then holds indexes, which the map turns into names.
pub(super) fn from_module(module: &[u8]) -> Result<Finished> {
    let (slim, names) = split_names(module)?;
    let bytes = without_remarks(&ComponentEncoder::default().validate(true).module(&slim)?.encode()?)?;
    let interface = interface(&bytes)?;
    Ok(Finished { names: serde_json::to_vec(&names)?, interface, bytes })
}

/// The component without its own custom sections: names of its parts, and which tools wrote it.
fn without_remarks(component: &[u8]) -> Result<Vec<u8>> {
    let mut bare = Vec::with_capacity(component.len());
    let (mut rest, mut offset) = (component, 0);
    let mut parser = Parser::new(0);
    while let Chunk::Parsed { consumed, payload } = parser.parse(rest, true)? {
        let section = &rest[..consumed];
        rest = &rest[consumed..];
        offset += consumed;
        match payload {
            Payload::CustomSection(_) => {}
            Payload::End(_) => break,
            // What is nested is passed over whole.
            Payload::ModuleSection { unchecked_range: range, .. }
            | Payload::ComponentSection { unchecked_range: range, .. } => {
                let nested = usize::try_from(range.end)? - offset;
                bare.extend_from_slice(section);
                bare.extend_from_slice(&rest[..nested]);
                rest = &rest[nested..];
                offset += nested;
            }
            _ => bare.extend_from_slice(section),
        }
    }
    Ok(bare)
}

/// The module without its name section, and that section's function names.
fn split_names(module: &[u8]) -> Result<(Cow<'_, [u8]>, NameMap)> {
    let mut names = NameMap::default();
    // Sections up to `copied` are in `slim`; a header precedes each section's range.
    let mut slim = Vec::with_capacity(module.len());
    let mut copied = 0;
    let mut end_of_previous = 8;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.context("the compiler wrote a module that cannot be read")?;
        let Some((_, range)) = payload.as_section() else { continue };
        let end = usize::try_from(range.end)?;
        if let Payload::CustomSection(section) = &payload
            && let KnownCustom::Name(reader) = section.as_known()
        {
            for subsection in reader {
                if let Name::Function(functions) = subsection? {
                    for function in functions {
                        let function = function?;
                        // `{:#}` leaves out the hash at the end.
                        names
                            .functions
                            .insert(function.index, format!("{:#}", rustc_demangle::demangle(function.name)));
                    }
                }
            }
            slim.extend_from_slice(&module[copied..end_of_previous]);
            copied = end;
        }
        end_of_previous = end;
    }
    if copied == 0 {
        return Ok((Cow::Borrowed(module), names));
    }
    slim.extend_from_slice(&module[copied..]);
    Ok((Cow::Owned(slim), names))
}

/// Reads the outermost imports and exports of a component.
fn interface(component: &[u8]) -> Result<Interface> {
    let mut found = Interface { imports: Vec::new(), exports: Vec::new() };
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    found.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    found.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(module (func $first) (func $second))` with a name section in the middle of
    /// other custom sections.
    fn named_module() -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.extend([1, 4, 1, 0x60, 0, 0]); // one type: () -> ()
        module.extend([3, 3, 2, 0, 0]); // two functions of it
        module.extend([10, 7, 2, 2, 0, 0x0b, 2, 0, 0x0b]); // their bodies
        module.extend([0, 3, 1, b'a', 7]); // a custom section before
        module.extend([0, 23, 4]);
        module.extend(b"name");
        module.extend([1, 16, 2, 0, 5]);
        module.extend(b"first");
        module.extend([1, 6]);
        module.extend(b"second");
        module.extend([0, 3, 1, b'z', 9]); // and one after
        module
    }

    #[test]
    fn names_leave_the_module_and_nothing_else_does() {
        let module = named_module();
        let (slim, names) = split_names(&module).unwrap();
        assert_eq!(names.functions, BTreeMap::from([(0, "first".to_owned()), (1, "second".to_owned())]));
        let before = &module[..module.len() - 30];
        assert_eq!(slim.as_ref(), [before, &[0, 3, 1, b'z', 9]].concat());
        let (again, none) = split_names(&slim).unwrap();
        assert_eq!(again, slim, "a module without names is left alone");
        assert!(none.functions.is_empty());
    }
}
