//! The format of SQLite's write-ahead log, as far as one must know it to see whether a part is missing
//! (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>).

use std::io;

/// The length of the log's header, in bytes.
pub(super) const HEADER: usize = 32;
/// The length of the header before each page.
const FRAME_HEADER: usize = 24;

/// Follows the chain of checksums through a log.
#[derive(Debug)]
pub(super) struct Chain {
    big_endian: bool,
    page: usize,
    salt: [u8; 8],
    sum: (u32, u32),
}

impl Chain {
    /// Begins with the log's header; an error where that is none.
    pub(super) fn begin(header: &[u8; HEADER]) -> io::Result<Self> {
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let big_endian = match word(0) {
            0x377f_0682 => false,
            0x377f_0683 => true,
            _ => return Err(broken("it does not begin as a write-ahead log does")),
        };
        let page = word(8) as usize;
        if !page.is_power_of_two() || !(512..=65536).contains(&page) {
            return Err(broken("the size of its pages is none"));
        }
        let mut salt = [0; 8];
        salt.copy_from_slice(&header[16..24]);
        let sum = checksum((0, 0), &header[..24], big_endian);
        if sum != (word(24), word(28)) {
            return Err(broken("its header is damaged"));
        }
        Ok(Self { big_endian, page, salt, sum })
    }

    /// The length of a frame, in bytes.
    pub(super) fn frame(&self) -> usize {
        FRAME_HEADER + self.page
    }

    /// Takes the next frame; an error where it does not follow from what stands before it.
    pub(super) fn follow(&mut self, frame: &[u8]) -> io::Result<()> {
        let word = |at: usize| u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
        if frame[8..16] != self.salt {
            return Err(broken("a frame is left over from before"));
        }
        let sum = checksum(self.sum, &frame[..8], self.big_endian);
        let sum = checksum(sum, &frame[FRAME_HEADER..], self.big_endian);
        if sum != (word(16), word(20)) {
            return Err(broken("a frame is damaged"));
        }
        self.sum = sum;
        Ok(())
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn checksum(start: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let word = |bytes: &[u8]| {
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    bytes.chunks_exact(8).fold(start, |(one, two), pair| {
        let one = one.wrapping_add(word(&pair[..4])).wrapping_add(two);
        (one, two.wrapping_add(word(&pair[4..])).wrapping_add(one))
    })
}
