//! Loading connectors: one engine for the process, one compiled component for each file.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails};

use super::bindings::ConnectorPre;
use super::cache::Cache;
use super::call::Plugin;
use super::fault::CallError;
use super::guest::{self, Guest};
use super::inspect::{Inspection, NotAConnector};
use super::limits::{CORE_INSTANCES, Limits, MEMORIES, TABLES};
use super::manifest::{Manifest, ManifestError};
use super::quarantine::Quarantine;
use crate::clock::SharedClock;

/// How often running guests look at the clock.
const TICK: Duration = Duration::from_millis(10);

/// Why no connectors can be run at all.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The engine did not start.
    #[error("the WebAssembly engine could not be set up: {0}")]
    Engine(String),
    /// The cache folder cannot be used.
    #[error(
        "the compile cache in {path} cannot be used: {cause}. Check that the folder may be written, or use another --home"
    )]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
}

/// Why a component was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("the component {path} cannot be read: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The file is too large.
    #[error("the component {path} has {size} bytes; at most {most} are allowed")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The most.
        most: u64,
    },
    /// The file holds compiled code, which could do anything.
    #[error("{path} holds compiled code, which is never loaded: give the component itself, the `.wasm` file")]
    Precompiled {
        /// The file.
        path: PathBuf,
    },
    /// It is not a component, or one that asks for more than a call may have.
    #[error("{path} is not a component that can run here: {reason}")]
    NotAComponent {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It is not a connector.
    #[error(transparent)]
    NotAConnector(#[from] NotAConnector),
    /// Its manifest could not be had.
    #[error("the connector does not describe itself: {0}")]
    NoManifest(CallError),
    /// Its manifest is not one.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// The connectors of this process. Clones share the engine and the limits.
#[derive(Clone)]
pub struct Plugins(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) clock: SharedClock,
    pub(crate) calls: Semaphore,
    pub(crate) quarantine: Quarantine,
    linker: Linker<Guest>,
    cache: Cache,
}

impl Plugins {
    /// Sets up the engine. Compiled code is kept in `cache_dir`, which is made where it does not exist.
    pub fn new(cache_dir: &Path, limits: Limits, clock: SharedClock) -> Result<Self, PluginError> {
        let failed = |error: wasmtime::Error| PluginError::Engine(format!("{error:#}"));
        // A machine that cannot set aside so much address space gets memory on demand.
        let engine = Engine::new(&config(&limits, true)).or_else(|_| Engine::new(&config(&limits, false)));
        let engine = engine.map_err(failed)?;
        let cache = Cache::open(cache_dir, &engine, &clock)
            .map_err(|cause| PluginError::Cache { path: cache_dir.to_owned(), cause })?;
        let mut linker = Linker::new(&engine);
        guest::link(&mut linker).map_err(failed)?;
        let calls = Semaphore::new(limits.concurrent_calls as usize);
        let shared =
            Arc::new(Shared { engine, limits, clock, calls, quarantine: Quarantine::default(), linker, cache });
        tick(Arc::downgrade(&shared))?;
        Ok(Self(shared))
    }

    /// Loads a connector: reads the file, checks what it imports and exports, compiles it or takes
    /// it from the cache, asks it for its manifest and checks that.
    pub async fn load(&self, component: &Path) -> Result<Plugin, LoadError> {
        let shared = self.0.clone();
        let path = component.to_owned();
        let compiled = tokio::task::spawn_blocking(move || shared.compile(&path)).await;
        let (pre, digest, inspection) = compiled.map_err(|_| LoadError::NotAComponent {
            path: component.to_owned(),
            reason: "compiling it failed".into(),
        })??;
        let text = Plugin::manifest_text(&self.0, &pre, &digest).await.map_err(LoadError::NoManifest)?;
        Ok(Plugin::new(self.0.clone(), pre, digest, inspection, Manifest::parse(&text)?))
    }
}

impl Shared {
    fn compile(&self, path: &Path) -> Result<(ConnectorPre<Guest>, String, Inspection), LoadError> {
        let bytes = self.read(path)?;
        let refuse =
            |error: wasmtime::Error| LoadError::NotAComponent { path: path.to_owned(), reason: format!("{error:#}") };
        if Engine::detect_precompiled(&bytes).is_some() {
            return Err(LoadError::Precompiled { path: path.to_owned() });
        }
        // Before anything is compiled: what asks for too much costs no work.
        let inspection =
            Inspection::of(&bytes).map_err(|reason| LoadError::NotAComponent { path: path.to_owned(), reason })?;
        inspection.check()?;
        let digest = hex::encode(Sha256::digest(&bytes));
        let component = match self.cache.load(&self.engine, &digest) {
            Some(component) => component,
            None => {
                let component = Component::from_binary(&self.engine, &bytes).map_err(refuse)?;
                self.cache.keep(&digest, &component);
                component
            }
        };
        let pre = self.linker.instantiate_pre(&component).map_err(refuse)?;
        let pre = ConnectorPre::new(pre).map_err(refuse)?;
        Ok((pre, digest, inspection))
    }

    /// Reads the file: a regular one, and not more of it than is allowed.
    fn read(&self, path: &Path) -> Result<Vec<u8>, LoadError> {
        let failed = |reason: String| LoadError::File { path: path.to_owned(), reason };
        // Looked at before it is opened: opening a pipe would wait for its other end.
        if !std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.is_file() {
            return Err(failed("it is not a regular file".into()));
        }
        let most = self.limits.component_bytes;
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let size = file.metadata().map_err(|error| failed(error.to_string()))?.len();
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
        if bytes.len() as u64 > most {
            return Err(LoadError::TooLarge { path: path.to_owned(), size, most });
        }
        Ok(bytes)
    }
}

fn config(limits: &Limits, pooling: bool) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack)
        .async_stack_size(limits.stack + (1 << 20))
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    if pooling {
        let calls = limits.concurrent_calls;
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(calls)
            .total_stacks(calls)
            .total_core_instances(calls * CORE_INSTANCES)
            .total_memories(calls * MEMORIES)
            .total_tables(calls * TABLES)
            .max_core_instances_per_component(CORE_INSTANCES)
            .max_memories_per_component(MEMORIES)
            .max_tables_per_component(TABLES)
            .max_tables_per_module(TABLES)
            .table_elements(limits.table_elements)
            .max_memory_size(limits.memory)
            .linear_memory_keep_resident(1 << 20)
            .table_keep_resident(64 << 10)
            .async_stack_keep_resident(64 << 10);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

/// Lets running guests look at the clock, for as long as the engine lives.
fn tick(shared: Weak<Shared>) -> Result<(), PluginError> {
    let run = move || {
        while let Some(shared) = shared.upgrade() {
            shared.engine.increment_epoch();
            drop(shared);
            std::thread::sleep(TICK);
        }
    };
    let started = std::thread::Builder::new().name("epoch".into()).spawn(run);
    started.map(drop).map_err(|error| PluginError::Engine(error.to_string()))
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plugins")
    }
}
