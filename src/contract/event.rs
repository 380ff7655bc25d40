//! The records of `wit/event.wit`.
//!
//! Of the proofs only the one this connector registers is mirrored: a message authentication code over the raw body.

use super::Aside;
use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Subscription {
    pub id: String,
    pub card: String,
    pub filter: Value,
}

/// A registration; its proof is always the one that [`crate::event::PROOF_HEADER`] names.
#[derive(Clone, Debug)]
pub struct Registration {
    pub id: String,
    pub callback: String,
    pub covers: Vec<String>,
    pub state: Value,
}

#[derive(Clone, Debug)]
pub struct ForeignRegistration {
    pub id: String,
    pub name: String,
    pub host: String,
    pub active: bool,
    pub updated_at_ms: Option<u64>,
    pub hint: String,
}

#[derive(Clone, Debug)]
pub struct Allowance {
    pub name: String,
    pub used: Option<u32>,
    pub ours: u32,
    pub limit: u32,
    pub warn_from: u32,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Created,
    Updated,
    Adopted,
    Removed,
    Kept,
}

#[derive(Clone, Debug)]
pub struct PlannedChange {
    pub change: Change,
    pub registration: String,
    pub reason: String,
}

#[derive(Clone, Debug)]
pub struct EnsureRequest {
    pub wanted: Vec<Subscription>,
    pub known: Vec<Registration>,
    pub callback: String,
    pub owner: String,
    pub signing_secret: String,
    pub plan: bool,
}

#[derive(Clone, Debug)]
pub struct Ensured {
    pub registrations: Vec<Registration>,
    pub changes: Vec<PlannedChange>,
    pub foreign: Vec<ForeignRegistration>,
    pub allowances: Vec<Allowance>,
    pub aside: Aside,
}

#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub received_at_ms: u64,
}

#[derive(Clone, Debug)]
pub struct Occurrence {
    pub id: String,
    pub card: String,
    pub subscriptions: Vec<String>,
    pub time_ms: Option<u64>,
    pub payload: String,
    /// Who did it and to what, as the contract's `extra` of an occurrence names them.
    pub extra: String,
}

#[derive(Clone, Debug)]
pub struct Received {
    pub occurrences: Vec<Occurrence>,
    pub aside: Aside,
}
