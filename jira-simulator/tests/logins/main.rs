//! Every way in over TCP: what opens which door, what is refused, and how.

#![allow(missing_docs, unreachable_pub)]

#[path = "../client/mod.rs"]
mod client;

mod center;
mod cloud;
mod doors;
mod links;
mod oauth;
mod raw;
