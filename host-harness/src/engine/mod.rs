//! Flows: event card → mapping → action cards, with retries, parking and a history of every run.

pub mod expression;
pub mod flow;
#[cfg(test)]
mod flow_tests;
