//! Reads all memory that the guest can reach, in search of what should not be there.

#![allow(unsafe_code, reason = "a guest that wants secrets looks everywhere, and only raw reads look everywhere")]

use serde_json::{Value, json};
use std::arch::wasm32::memory_size;
use std::ptr::{read_volatile, with_exposed_provenance};

/// What the bytes of every pattern are combined with (exclusive or) before they are handed to the
/// guest, so that the pattern in the question is not itself a hit.
pub(crate) const VEIL: u8 = 0x5a;

const PAGE: usize = 65536;

/// Looks through the linear memory for each veiled pattern (hexadecimal digits of its bytes, each
/// xor 0x5a) and answers `{"bytes-read": n, "hits": [{"pattern": index, "address": n}]}`.
pub(crate) fn search(veiled: &[String]) -> Value {
    let patterns: Vec<Vec<u8>> = veiled.iter().map(|digits| unhex(digits)).collect();
    let end = memory_size::<0>() * PAGE;
    let mut hits = Vec::new();
    for (index, pattern) in patterns.iter().enumerate().filter(|(_, pattern)| !pattern.is_empty()) {
        for address in 1..end.saturating_sub(pattern.len()) {
            if pattern.iter().enumerate().all(|(offset, byte)| read(address + offset) ^ VEIL == *byte) {
                hits.push(json!({"pattern": index, "address": address}));
            }
        }
    }
    json!({"bytes-read": end, "hits": hits})
}

/// One byte of the linear memory.
fn read(address: usize) -> u8 {
    // SAFETY: the callers stay above 0 and below the size of the memory, all of which is readable;
    // nothing else runs while this does.
    unsafe { read_volatile(with_exposed_provenance(address)) }
}

/// The text itself; of `hex:…` the bytes, whether or not they are text.
pub(crate) fn raw(text: &str) -> String {
    let Some(digits) = text.strip_prefix("hex:") else { return text.to_owned() };
    // SAFETY: none. What is no UTF-8 only travels to the host, which has to refuse it.
    unsafe { String::from_utf8_unchecked(unhex(digits)) }
}

fn unhex(digits: &str) -> Vec<u8> {
    let digits: Vec<_> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}
