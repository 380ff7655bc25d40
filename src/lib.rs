//! A Jira connector that any workflow host can load.
//!
//! The core is sans-IO: [`catalog`], [`connection`], [`action`] and [`event`] have one function per function of the
//! contract, take the values of [`contract`] and a [`host::Host`], and are tested natively. On WebAssembly
//! `component.rs` exports them and gives them a host over WASI; it alone knows wit-bindgen. Below them, `jira` knows
//! the HTTP API, `field` the types of fields, and `document` rich text.

pub mod action;
pub mod catalog;
pub mod connection;
pub mod contract;
pub mod document;
pub mod event;
pub mod host;
pub mod jira;

mod field;
mod form;
mod json;
mod sorted;

#[cfg(target_arch = "wasm32")]
mod component;

#[cfg(test)]
mod fake;
