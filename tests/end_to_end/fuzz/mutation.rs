//! Inputs made from others.

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// The longest input.
const LONGEST: usize = 64 << 10;

/// What readers like to stumble over.
const WORDS: [&[u8]; 40] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b":",
    b",",
    b"null",
    b"true",
    b"-0",
    b"1e999",
    b"-1",
    b"9223372036854775808",
    b"18446744073709551616",
    b"0.1",
    b"\0",
    b"\r\n",
    b"\n",
    b"\xff",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"%2e%2e",
    b"%00",
    b"//",
    b"../",
    b"@",
    b"=",
    b";",
    b"${{",
    b"}}",
    b"'",
    b"`",
    b"&a [*a]",
    b"!!",
    b"- ",
    b"  ",
];

/// Makes inputs, the same ones for the same seed.
pub(super) struct Mutator(TestRng);

impl Mutator {
    pub(super) fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    fn below(&mut self, most: usize) -> usize {
        (self.0.next_u64() % most.max(1) as u64) as usize
    }

    /// The next input: one of the seeds, changed in up to eight places; now and then nothing but noise.
    pub(super) fn next(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        if self.below(50) == 0 {
            let mut noise = vec![0; self.below(256)];
            self.0.fill_bytes(&mut noise);
            return noise;
        }
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(8) {
            self.change(&mut input, seeds);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(64) + 1);
        match self.below(8) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.below(256) as u8,
            2 => drop(input.drain(at..end)),
            3 => {
                let piece = input[at..end].to_vec();
                let times = 1 << self.below(8);
                input.splice(at..at, piece.repeat(times).into_iter().take(LONGEST));
            }
            4 => {
                let word = WORDS[self.below(WORDS.len())];
                let times = if self.below(16) == 0 { 1 << self.below(12) } else { 1 };
                input.splice(at..at, word.repeat(times).into_iter().take(LONGEST));
            }
            5 => {
                let word = WORDS[self.below(WORDS.len())];
                input.splice(at..end, word.iter().copied());
            }
            6 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len() + 1);
                let to = from + self.below(other.len() - from + 1);
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => input.truncate(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let seeds = [b"{\"a\": [1, 2]}".to_vec(), b"abc".to_vec()];
        let made = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..100).map(|_| mutator.next(&seeds)).collect::<Vec<_>>()
        };
        assert_eq!(made(7), made(7));
        assert_ne!(made(7), made(8));
    }
}
