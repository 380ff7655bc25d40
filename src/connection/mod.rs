//! Connections: what a form means, and whether the result works.

mod api_token;
mod health;

use crate::contract::{Call, Error, Failure, FailureClass, Health, Prepared};
use crate::host::Host;
use serde_json::Value;

/// An auth method: one entry of the manifest, and how its form is understood.
struct Method {
    id: &'static str,
    #[cfg(not(target_arch = "wasm32"))]
    entry: fn() -> Value,
    prepare: fn(&Value) -> Result<Prepared, Error>,
}

/// Every auth method. Adding one adds a file and a line here.
const METHODS: &[Method] = &[Method {
    id: api_token::ID,
    #[cfg(not(target_arch = "wasm32"))]
    entry: api_token::entry,
    prepare: api_token::prepare,
}];

/// The manifest's `auth-methods`.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn entries() -> Vec<Value> {
    METHODS.iter().map(|method| (method.entry)()).collect()
}

/// Understands a filled-in form, offline. An error names the field as a JSON Pointer into the form.
pub fn prepare(method: &str, form: &Value) -> Result<Prepared, Error> {
    match METHODS.iter().find(|known| known.id == method) {
        Some(known) => (known.prepare)(form),
        None => {
            let known: Vec<&str> = METHODS.iter().map(|method| method.id).collect();
            let message = format!("There is no auth method {method:?}.");
            let remedy = format!("Use one of: {}.", known.join(", "));
            Err(Failure::new(FailureClass::Input, "method-unknown", message, remedy).permanent())
        }
    }
}

/// No method of this connector leaves the site open: always an error of class `input`.
pub fn discover(_: &Call) -> Result<(), Error> {
    let message = "This connection's form names its site; there is nothing to discover.";
    Err(Failure::new(FailureClass::Input, "nothing-to-discover", message, "Check the connection instead.").permanent())
}

/// The health report: the identity first and alone; where it is refused nothing else is asked.
pub fn check(host: &mut dyn Host, call: &Call) -> Result<Health, Error> {
    health::check(host, call)
}
