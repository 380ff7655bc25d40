//! What wasmtime generates from the contract in `wit/`: the records of the contract as Rust types
//! and the typed exports of a connector. Nothing here is written by hand.

#![allow(missing_docs, reason = "generated from wit/, whose items carry the documentation")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "connector",
    exports: { default: async },
    additional_derives: [Clone],
});
