//! What one call of a connector may use.

use std::time::Duration;

use wasmtime::{ResourceLimiter, Result};

/// The bounds of one call, and of the components themselves. All sizes are in bytes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest component file.
    pub component_bytes: u64,
    /// Linear memory, all memories of the component together.
    pub memory: usize,
    /// Elements of each table.
    pub table_elements: usize,
    /// The guest's stack.
    pub stack: usize,
    /// How long a call may take from start to end, waiting included.
    pub time: Duration,
    /// How much a guest may hand to the host in one host call, and as the result of a call.
    pub host_call_bytes: usize,
    /// How large the headers of one request may be in the host's memory.
    pub field_bytes: usize,
    /// How many handles (requests, streams, headers) a guest may hold at once.
    pub handles: usize,
    /// How many notices of a result are kept; the rest is dropped, and ten times as many are refused as a flood.
    pub notices: usize,
    /// How long a kept notice may be; together with `notices` it bounds what is a flood.
    pub notice_length: usize,
    /// How large a memo may be; a larger one is forgotten, not refused.
    pub memo_bytes: usize,
    /// How large any one JSON text of a result may be.
    pub output_bytes: usize,
    /// How many items a list of a result may have.
    pub items: usize,
    /// How many calls run at once; more of them wait.
    pub concurrent_calls: u32,
    /// After how many faults in a row a component is set aside for a connection. A test that wants a component to
    /// fail again and again sets `u32::MAX`.
    pub faults_until_quarantine: u32,
    /// For how long it is set aside.
    pub quarantine: Duration,
    /// How much fuel a call has, where work is counted instead of time: with a clock and randomness that repeat, the
    /// same call then takes the same fuel to the same answer. For tests; counting makes code slower.
    pub fuel: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 32 << 20,
            memory: 64 << 20,
            table_elements: 20_000,
            stack: 512 << 10,
            time: Duration::from_secs(30),
            host_call_bytes: 16 << 20,
            field_bytes: 64 << 10,
            handles: 4096,
            notices: 50,
            notice_length: 1000,
            memo_bytes: 256 << 10,
            output_bytes: 8 << 20,
            items: 10_000,
            concurrent_calls: 64,
            faults_until_quarantine: 5,
            quarantine: Duration::from_secs(60),
            fuel: None,
        }
    }
}

/// How many core instances, memories and tables one component may have. A component of one module
/// has three instances (the module and two shims of its making), one memory and two tables.
pub(crate) const CORE_INSTANCES: u32 = 16;
pub(crate) const MEMORIES: u32 = 4;
pub(crate) const TABLES: u32 = 8;

/// Holds one call to its memory.
pub(crate) struct Meter {
    memory: usize,
    table_elements: usize,
    used: usize,
    /// Whether memory was refused: what a trap that follows means.
    pub(crate) refused: bool,
}

impl Meter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { memory: limits.memory, table_elements: limits.table_elements, used: 0, refused: false }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let total = self.used.saturating_add(desired.saturating_sub(current));
        if total > self.memory {
            self.refused = true;
            return Ok(false);
        }
        self.used = total;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let fits = desired <= self.table_elements;
        self.refused |= !fits;
        Ok(fits)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize + 1
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }
}
