//! Deliveries: proving, storing, acknowledging, and only then processing.

pub mod proof;
#[cfg(test)]
mod proof_tests;
