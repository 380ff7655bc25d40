//! What a component imports and exports, and whether it may run here.

use serde::{Deserialize, Serialize};
use wasmparser::{BinaryReaderError, ComponentExternalKind, Encoding, Parser, Payload, Validator};

/// What a look at a component finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The size of the file, in bytes.
    pub size: u64,
    /// What it imports, in order.
    pub imports: Vec<String>,
    /// What it exports, in order.
    pub exports: Vec<String>,
}

/// The imports a connector may have, of any version 0.2.x, and nothing else.
const ALLOWED: [&str; 8] = [
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/random",
];

/// The interfaces a connector exports.
const WANTED: [&str; 5] = ["action", "catalog", "connection", "event", "types"];

/// Why a component is not a connector that may run here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum NotAConnector {
    /// It imports more than it may.
    #[error(
        "the component imports {}, which a connector may not have; it may import wasi:http (outgoing), wasi:io, wasi:clocks and wasi:random and nothing else. Build it for wasm32-unknown-unknown, as docs/contract.md says, or take it from a source you trust", .0.join(", ")
    )]
    Imports(Vec<String>),
    /// It does not export the contract.
    #[error(
        "the component does not export {}: it is not a connector of workflow:connector@0.1, or of another version than this host speaks", .0.join(", ")
    )]
    Exports(Vec<String>),
}

impl Inspection {
    /// Reads a component's own imports and exports, without compiling anything; else why that cannot be done.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, String> {
        let (mut imports, mut exports) = (Vec::new(), Vec::new());
        let mut depth = 0_usize;
        let told = |error: BinaryReaderError| error.to_string();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(told)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err("it is a core module, and a component is wanted".into());
                }
                // What follows belongs to a part, up to its end.
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        imports.push(import.map_err(told)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        let export = export.map_err(told)?;
                        if matches!(export.kind, ComponentExternalKind::Instance | ComponentExternalKind::Func) {
                            exports.push(export.name.name.to_owned());
                        }
                    }
                }
                _ => {}
            }
        }
        // Whether it is well formed, and within the bounds of size that every tool keeps.
        Validator::new().validate_all(bytes).map_err(told)?;
        imports.sort();
        exports.sort();
        Ok(Self { size: bytes.len() as u64, imports, exports })
    }

    /// Whether it may run here.
    pub(crate) fn check(&self) -> Result<(), NotAConnector> {
        let refused: Vec<String> = self.imports.iter().filter(|import| !is_allowed(import)).cloned().collect();
        if !refused.is_empty() {
            return Err(NotAConnector::Imports(refused));
        }
        let missing: Vec<String> = WANTED
            .iter()
            .map(|name| format!("workflow:connector/{name}"))
            .filter(|wanted| !self.exports.iter().any(|export| is_version(export, wanted, "0.1")))
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(NotAConnector::Exports(missing)) }
    }
}

fn is_allowed(import: &str) -> bool {
    ALLOWED.iter().any(|allowed| is_version(import, allowed, "0.2"))
}

/// Whether `name` is `interface@series.N`.
fn is_version(name: &str, interface: &str, series: &str) -> bool {
    let patch = name
        .strip_prefix(interface)
        .and_then(|rest| rest.strip_prefix('@'))
        .and_then(|version| version.strip_prefix(series))
        .and_then(|rest| rest.strip_prefix('.'));
    patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspection(imports: &[&str]) -> Inspection {
        let exports = WANTED.iter().map(|name| format!("workflow:connector/{name}@0.1.0")).collect();
        Inspection { size: 0, imports: imports.iter().map(|s| (*s).to_owned()).collect(), exports }
    }

    #[test]
    fn s6_only_the_imports_of_the_contract_are_let_in() {
        let good = ["wasi:http/types@0.2.12", "wasi:http/outgoing-handler@0.2.0", "wasi:random/random@0.2.6"];
        assert_eq!(inspection(&good).check(), Ok(()));
        let bad = [
            "wasi:filesystem/types@0.2.6",
            "wasi:filesystem/preopens@0.2.6",
            "wasi:sockets/tcp@0.2.6",
            "wasi:sockets/ip-name-lookup@0.2.6",
            "wasi:cli/environment@0.2.6",
            "wasi:cli/stdout@0.2.6",
            "wasi:cli/exit@0.2.6",
            "wasi:http/incoming-handler@0.2.6",
            "wasi:random/insecure@0.2.6",
            "wasi:http/types@0.3.0",
            "wasi:http/types@0.2",
            "wasi:http/types@0.2.x",
            "wasi:http/types",
            "workflow:connector/types@0.1.0",
            "env",
            "",
        ];
        for import in bad {
            assert_eq!(inspection(&[import]).check(), Err(NotAConnector::Imports(vec![import.to_owned()])), "{import}");
        }
    }

    #[test]
    fn a_component_without_the_contract_is_named_as_such() {
        let mut plain = inspection(&[]);
        plain.exports = vec!["wasi:cli/run@0.2.6".into()];
        assert!(matches!(plain.check(), Err(NotAConnector::Exports(missing)) if missing.len() == 5));
    }
}
