//! One asynchronous runtime for all tests of the process: the tests themselves are plain functions.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::Runtime;

/// The runtime. Simulators and services run on it.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime can be started"))
}

/// Waits for a future.
pub(crate) fn wait_for<F: Future>(future: F) -> F::Output {
    runtime().block_on(future)
}
