//! Flows: event card → mapping → action cards, with retries, parking and a history of every run.

mod advance;
mod check;
pub mod expression;
pub mod flow;
#[cfg(test)]
mod flow_tests;
mod hand;
mod keep;
mod looking_after;
mod polling;
mod registering;
mod rehearse;
mod renewing;
mod retention;
mod rounds;
mod run;
mod serve;
#[cfg(test)]
mod serve_tests;
mod set_aside;
mod shape;
mod take_up;
mod tasks;
#[cfg(test)]
mod telling_tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use flow::CompiledFlow;

pub use check::{Cards, FlowProblem, check_flow};
pub use rehearse::{Rehearsed, RehearsedStep, rehearse};
pub(crate) use run::run_flows;
pub use serve::{Ended, PATIENCE, Ready, Serving, serve};

/// The flows that a host runs.
#[derive(Debug, Default)]
pub struct Flows {
    flows: Vec<(PathBuf, Arc<CompiledFlow>)>,
    starts: HashMap<String, FlowStart>,
}

/// How an event starts a flow.
#[derive(Debug, Clone)]
pub(crate) struct FlowStart {
    /// The flow as it is now, as JSON.
    pub(crate) definition: String,
    /// The same, ready to be run.
    pub(crate) compiled: Arc<CompiledFlow>,
}

impl Flows {
    /// Takes flows into service.
    pub fn new(flows: Vec<(PathBuf, CompiledFlow)>) -> Self {
        let flows: Vec<_> = flows.into_iter().map(|(path, one)| (path, Arc::new(one))).collect();
        let start = |one: &Arc<CompiledFlow>| {
            let definition = serde_json::to_string(&one.flow).ok()?;
            Some((one.flow.name.clone(), FlowStart { definition, compiled: Arc::clone(one) }))
        };
        let starts = flows.iter().filter_map(|(_, one)| start(one)).collect();
        Self { flows, starts }
    }

    /// How an event starts the flow of a name.
    pub(crate) fn definition(&self, name: &str) -> Option<FlowStart> {
        self.starts.get(name).cloned()
    }

    /// All flows, with their files.
    pub fn all(&self) -> &[(PathBuf, Arc<CompiledFlow>)] {
        &self.flows
    }
}
