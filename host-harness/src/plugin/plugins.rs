//! Loading connectors: one engine for the process, one compiled component for each file.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails,
};

use super::cache::{Cache, Kind, deserialize};
use super::call::Plugin;
use super::compile::{self, Compiler, Refusal};
use super::fault::CallError;
use super::guest::{self, Guest};
use super::inspect::{Inspection, NotAConnector};
use super::limits::{CORE_INSTANCES, Limits, MEMORIES, TABLES};
use super::linked::Linked;
use super::manifest::{Manifest, ManifestError};
use super::quarantine::Quarantine;
use super::ticker::Ticker;
use crate::clock::SharedClock;

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
    /// It could not be compiled within the limits.
    #[error(
        "compiling {path} was stopped: {reason}. A connector takes seconds and some hundred MiB: take it from a source you trust"
    )]
    Stopped {
        /// The file.
        path: PathBuf,
        /// Which limit it was.
        reason: String,
    },
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
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) limits: Limits,
    pub(crate) clock: SharedClock,
    pub(crate) calls: Semaphore,
    pub(crate) quarantine: Quarantine,
    linker: Linker<Guest>,
    cache: Option<Cache>,
    compiler: Compiler,
}

/// A component as code, and what is known of it.
struct Loaded {
    linked: Linked,
    inspection: Inspection,
    /// Its manifest, if it was checked before.
    manifest: Option<String>,
}

impl Plugins {
    /// Sets up the engine. Compiled code is kept in `cache_dir`, which is made where it does not exist. Components
    /// are compiled in this process.
    pub fn new(cache_dir: &Path, limits: Limits, clock: SharedClock) -> Result<Self, PluginError> {
        Self::with(Some(cache_dir), Compiler::Here, limits, clock)
    }

    /// The same with another place to compile in, and without a folder nothing is kept.
    pub fn with(
        cache_dir: Option<&Path>,
        compiler: Compiler,
        limits: Limits,
        clock: SharedClock,
    ) -> Result<Self, PluginError> {
        let failed = |error: wasmtime::Error| PluginError::Engine(format!("{error:#}"));
        // A machine that cannot set aside so much address space gets memory on demand.
        let engine = Engine::new(&config(&limits, true)).or_else(|_| Engine::new(&config(&limits, false)));
        let engine = engine.map_err(failed)?;
        let open = |folder: &Path| {
            Cache::open(folder, &engine, &clock).map_err(|cause| PluginError::Cache { path: folder.to_owned(), cause })
        };
        let cache = cache_dir.map(open).transpose()?;
        let mut linker = Linker::new(&engine);
        guest::link(&mut linker).map_err(failed)?;
        let calls = Semaphore::new(limits.concurrent_calls as usize);
        let quarantine = Quarantine::default();
        let ticker = Ticker::start(&engine).map_err(|error| PluginError::Engine(error.to_string()))?;
        let shared = Arc::new(Shared { engine, ticker, limits, clock, calls, quarantine, linker, cache, compiler });
        Ok(Self(shared))
    }

    /// Loads a connector: reads the file; takes what is known of it from the cache, or checks what it imports and
    /// exports, compiles it, asks it for its manifest and checks that.
    pub async fn load(&self, component: &Path) -> Result<Plugin, LoadError> {
        let path = component.to_owned();
        let (bytes, digest, known) = self.blocking(component, move |shared| shared.look_up(&path)).await?;
        let loaded = match known {
            Some(loaded) => loaded,
            None => self.compile(component, bytes, &digest).await?,
        };
        let Loaded { linked, inspection, manifest } = loaded;
        if let Some(manifest) = manifest {
            let manifest = Manifest::checked_before(&manifest)?;
            return Ok(Plugin::new(self.0.clone(), linked, digest, inspection, manifest));
        }
        let text = Plugin::manifest_text(&self.0, &linked, &digest).await.map_err(LoadError::NoManifest)?;
        let manifest = Manifest::parse(&text)?;
        if let Some(cache) = &self.0.cache {
            cache.keep(Kind::Manifest, &digest, text.as_bytes());
        }
        Ok(Plugin::new(self.0.clone(), linked, digest, inspection, manifest))
    }

    async fn compile(&self, path: &Path, bytes: Vec<u8>, digest: &str) -> Result<Loaded, LoadError> {
        let compiled = match &self.0.compiler {
            Compiler::Child(program) => compile::in_child(program, &bytes).await,
            Compiler::Here => self.blocking(path, move |shared| Ok(compile::here(&shared.engine, &bytes))).await?,
        };
        let path = path.to_owned();
        let compiled = compiled.map_err(|refusal| match refusal {
            Refusal::NotAComponent(reason) => LoadError::NotAComponent { path: path.clone(), reason },
            Refusal::NotAConnector(reason) => reason.into(),
            Refusal::Stopped(reason) => LoadError::Stopped { path: path.clone(), reason },
        })?;
        let digest = digest.to_owned();
        self.blocking(&path.clone(), move |shared| {
            if let Some(cache) = &shared.cache {
                cache.keep(Kind::Native, &digest, &compiled.answer);
            }
            let linked = shared.link(&compiled.answer, &path)?;
            Ok(Loaded { linked, inspection: compiled.inspection, manifest: None })
        })
        .await
    }

    /// Does what takes long without holding up the other tasks.
    async fn blocking<T: Send + 'static>(
        &self,
        path: &Path,
        work: impl FnOnce(&Shared) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let shared = self.0.clone();
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.unwrap_or_else(|_| {
            Err(LoadError::Stopped { path: path.to_owned(), reason: "the host's own code broke off".into() })
        })
    }
}

impl Shared {
    /// Reads a component, and what is known of these very bytes.
    fn look_up(&self, path: &Path) -> Result<(Vec<u8>, String, Option<Loaded>), LoadError> {
        let bytes = self.read(path)?;
        if Engine::detect_precompiled(&bytes).is_some() {
            return Err(LoadError::Precompiled { path: path.to_owned() });
        }
        let digest = hex::encode(Sha256::digest(&bytes));
        let known = self.known(path, &digest)?;
        Ok((bytes, digest, known))
    }

    fn known(&self, path: &Path, digest: &str) -> Result<Option<Loaded>, LoadError> {
        let Some(cache) = &self.cache else { return Ok(None) };
        let Some(answer) = cache.load(Kind::Native, digest) else { return Ok(None) };
        let Some((inspection, _)) = compile::read(&answer) else { return Ok(None) };
        inspection.check()?;
        let manifest = cache.load(Kind::Manifest, digest).and_then(|text| String::from_utf8(text).ok());
        Ok(Some(Loaded { linked: self.link(&answer, path)?, inspection, manifest }))
    }

    /// Makes code of the compiler's answer, which this process or its child has just given or authenticated.
    fn link(&self, answer: &[u8], path: &Path) -> Result<Linked, LoadError> {
        let refuse = |reason: String| LoadError::NotAComponent { path: path.to_owned(), reason };
        let (_, native) = compile::read(answer).ok_or_else(|| refuse("the compiler's answer cannot be read".into()))?;
        let component = deserialize(&self.engine, native);
        let component =
            component.map_err(|error| refuse(format!("it asks for more than this host gives: {error:#}")))?;
        let pre = self.linker.instantiate_pre(&component).map_err(|error| refuse(format!("{error:#}")))?;
        Linked::new(pre).map_err(|error| refuse(format!("{error:#}")))
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

/// The engine's settings. But for the fuel, nothing that decides about the code may depend on the limits or on the
/// pool: the process that compiles knows neither.
pub(super) fn config(limits: &Limits, pooling: bool) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .consume_fuel(limits.fuel.is_some())
        .max_wasm_stack(limits.stack)
        .async_stack_size(limits.stack + (1 << 20))
        .cranelift_opt_level(OptLevel::Speed)
        .concurrency_support(false)
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
            .pagemap_scan(Enabled::Auto)
            .linear_memory_keep_resident(if finds_dirty_pages() { 1 << 20 } else { 0 })
            .table_keep_resident(64 << 10);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

/// Whether the system says which pages of a memory were written to, so that only those have to be cleaned for the
/// next call. To be asked before the process is closed to inspection: it keeps open what it asks by.
pub(crate) fn finds_dirty_pages() -> bool {
    PoolingAllocationConfig::is_pagemap_scan_available()
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plugins")
    }
}
