//! A body as it comes in.

/// How much is set aside at once. A large buffer for a body that never comes whole would stay with the allocator.
const BLOCK: usize = 64 << 10;

/// The part of a body that has come so far, copied into blocks of our own: what a client sends in small pieces would
/// otherwise keep whole read buffers, and a list as long as the body.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    blocks: Vec<Vec<u8>>,
    length: usize,
}

impl Gathered {
    /// How much has come.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Takes what came next.
    pub(super) fn push(&mut self, mut data: &[u8]) {
        self.length += data.len();
        while !data.is_empty() {
            let room = match self.blocks.last() {
                // The only block of a short body is no larger than it needs to be.
                Some(last) if self.blocks.len() > 1 || last.capacity() >= BLOCK => last.capacity() - last.len(),
                Some(last) => BLOCK - last.len(),
                None => 0,
            };
            if room == 0 {
                self.blocks.push(Vec::with_capacity(if self.blocks.is_empty() {
                    data.len().min(BLOCK)
                } else {
                    BLOCK
                }));
                continue;
            }
            let (now, later) = data.split_at(data.len().min(room));
            if let Some(last) = self.blocks.last_mut() {
                last.extend_from_slice(now);
            }
            data = later;
        }
    }

    /// The whole body.
    pub(super) fn whole(mut self) -> Vec<u8> {
        match self.blocks.len() {
            0 | 1 => self.blocks.pop().unwrap_or_default(),
            _ => self.blocks.concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_comes_in_pieces_is_the_same_as_what_was_sent(pieces in prop::collection::vec(0..100_000_usize, 0..8)) {
            let mut gathered = Gathered::default();
            let mut sent = Vec::new();
            for (number, length) in pieces.into_iter().enumerate() {
                let piece = vec![number as u8; length];
                gathered.push(&piece);
                sent.extend(piece);
            }
            prop_assert_eq!(gathered.len(), sent.len());
            prop_assert_eq!(gathered.whole(), sent);
        }
    }

    #[test]
    fn small_pieces_take_no_more_memory_than_large_ones() {
        let mut gathered = Gathered::default();
        for _ in 0..3 * BLOCK {
            gathered.push(b"x");
        }
        let taken: usize = gathered.blocks.iter().map(Vec::capacity).sum();
        assert!(taken <= 4 * BLOCK, "{taken} bytes for {}", 3 * BLOCK);
    }
}
