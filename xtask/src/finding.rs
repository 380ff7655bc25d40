//! What a fault test leaves behind: `target/faults/NUMBER.json`.

use serde::Deserialize;

/// What was expected, and the figure that was measured.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Finding {
    pub(crate) id: String,
    pub(crate) test: String,
    pub(crate) expected: String,
    pub(crate) figure: String,
    pub(crate) passed: bool,
    /// It could not be measured on this machine then, which is neither.
    #[serde(default)]
    pub(crate) not_measurable: bool,
}
