//! A Jira connector that any workflow host can load.
#[cfg(target_arch = "wasm32")]
mod component;
