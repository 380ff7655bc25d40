//! Flows: event card → mapping → action cards, with retries, parking and a history of every run.

mod advance;
mod check;
mod coming_back;
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
mod subscribing;
mod take_up;
mod tasks;
#[cfg(test)]
mod telling_tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use flow::CompiledFlow;

pub use check::{Cards, FlowProblem, check_flow};
pub use rehearse::{Rehearsed, RehearsedStep, rehearse};
pub(crate) use run::run_flows;
pub use serve::{Ended, PATIENCE, Ready, Serving, serve};

/// The flows that a host runs. One that was set aside may join them later.
#[derive(Debug, Default)]
pub struct Flows(RwLock<Served>);

#[derive(Debug, Default)]
struct Served {
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
        let this = Self::default();
        flows.into_iter().for_each(|(path, one)| this.take(path, Arc::new(one)));
        this
    }

    /// Takes one more into service, in the place of one of its name.
    pub(crate) fn take(&self, path: PathBuf, one: Arc<CompiledFlow>) {
        let name = &one.flow.name;
        let mut served = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(definition) = serde_json::to_string(&one.flow) {
            served.starts.insert(name.clone(), FlowStart { definition, compiled: Arc::clone(&one) });
        }
        served.flows.retain(|(_, known)| known.flow.name != *name);
        served.flows.push((path, one));
    }

    /// How an event starts the flow of a name.
    pub(crate) fn definition(&self, name: &str) -> Option<FlowStart> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).starts.get(name).cloned()
    }

    /// All flows, with their files.
    pub fn all(&self) -> Vec<(PathBuf, Arc<CompiledFlow>)> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).flows.clone()
    }
}
