//! W: what the receiver takes in, what it refuses, how fast, and what it does when the machine fails it.

mod identity;
mod load;
mod proofs;
mod sender;
mod sizes;
mod trouble;
mod wire;
