//! JSON Schemas from Rust types.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

/// The JSON Schema (2020-12) of what a type is read from, with everything in place: no references to resolve.
pub(crate) fn of<T: JsonSchema>() -> Value {
    generate::<T>(SchemaSettings::draft2020_12().for_deserialize())
}

/// The JSON Schema of what a type is written as: of outputs and payloads.
pub(crate) fn output<T: JsonSchema>() -> Value {
    generate::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn generate<T: JsonSchema>(settings: SchemaSettings) -> Value {
    inlining(settings).into_root_schema_for::<T>().to_value()
}

/// Not generic, so that the component holds it once and not once per type.
fn inlining(mut settings: SchemaSettings) -> SchemaGenerator {
    settings.inline_subschemas = true;
    settings.into_generator()
}
