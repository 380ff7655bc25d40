//! Reads what wasmtime says of a call that did not end well.

use wasmtime::Trap;
use wasmtime::component::ResourceTableError;
use wasmtime_wasi_http::FieldMapError;

use super::fault::{FaultKind, HostFault};

/// What wasmtime reported, as a fault. `memory_refused` says whether the guest was refused memory before.
pub(super) fn fault_of(error: &wasmtime::Error, memory_refused: bool) -> HostFault {
    let text = format!("{error:#}");
    let trap = error.downcast_ref::<Trap>();
    let (kind, detail) =
        if text.contains("fuel allocated for hostcalls") || text.contains("too much data is being copied") {
            (FaultKind::FloodedHost, "the connector handed the host more data than a call may".to_owned())
        } else if is_flood(error, &text) {
            (FaultKind::FloodedHost, "the connector asked the host for more than a call may have".to_owned())
        } else if memory_refused {
            (FaultKind::OutOfMemory, "the connector wanted more memory than a call may have".to_owned())
        } else {
            match trap {
                Some(Trap::StackOverflow) => {
                    (FaultKind::StackOverflow, "the connector called itself too deeply".to_owned())
                }
                Some(Trap::Interrupt) => (FaultKind::TimedOut, "the connector did not end in time".to_owned()),
                Some(trap) => (FaultKind::Trap, format!("the connector crashed ({trap})")),
                None => {
                    tracing::warn!(error = %text, "a connector broke the rules of the component model");
                    (FaultKind::Trap, "the connector broke off".to_owned())
                }
            }
        };
    HostFault::new(kind, detail)
}

/// Whether it is a bound of the host's own functions that was reached.
fn is_flood(error: &wasmtime::Error, text: &str) -> bool {
    error.downcast_ref::<FieldMapError>().is_some()
        || matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full))
        || ["random bytes are more", "write exceeded budget"].iter().any(|sign| text.contains(sign))
}
