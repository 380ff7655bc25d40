//! Flows: event card → mapping → action cards, with retries, parking and a history of every run.

pub mod expression;
pub mod flow;
#[cfg(test)]
mod flow_tests;
mod polling;
mod registering;
mod rounds;
mod run;
mod serve;
#[cfg(test)]
mod serve_tests;

use std::collections::HashMap;
use std::path::PathBuf;

use flow::CompiledFlow;

pub(crate) use run::run_flows;
pub use serve::{Ended, PATIENCE, Ready, Serving, serve};

/// The flows that a host runs.
#[derive(Debug, Default)]
pub struct Flows {
    flows: Vec<(PathBuf, CompiledFlow)>,
    definitions: HashMap<String, String>,
}

impl Flows {
    /// Takes flows into service.
    pub fn new(flows: Vec<(PathBuf, CompiledFlow)>) -> Self {
        let definitions = flows
            .iter()
            .filter_map(|(_, one)| Some((one.flow.name.clone(), serde_json::to_string(&one.flow).ok()?)))
            .collect();
        Self { flows, definitions }
    }

    /// The flow of a name, as JSON.
    pub(crate) fn definition(&self, name: &str) -> Option<String> {
        self.definitions.get(name).cloned()
    }

    /// All flows, with their files.
    pub fn all(&self) -> &[(PathBuf, CompiledFlow)] {
        &self.flows
    }
}
