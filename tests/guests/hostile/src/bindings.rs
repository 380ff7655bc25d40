//! What wit-bindgen generates from the contract in `wit/`. Nothing here is written by hand.

#![allow(missing_docs, unsafe_code, unreachable_pub, reason = "generated code")]

use super::Hostile;

wit_bindgen::generate!({ path: "../../../wit", world: "connector", additional_derives: [Clone] });
export!(Hostile);
