//! Passes over JSON texts, byte by byte, without taking them apart.
//!
//! The connector is compiled for size. What reads every byte of a delivery or an answer is here, and compiled for
//! speed (`Cargo.toml` of the workspace, `profile.guest`): a crate is the smallest piece that can be.

use std::ops::Range;

/// Nested deeper than this, serde_json refuses a text.
const DEEPEST: usize = 127;
/// How many brackets may be open around a value whose place is noted: enough for a document in a field of an issue on a
/// page.
const LEVELS: usize = 16;
/// How many places are noted. What has more gets none: a text shall not cost many times its size.
const MOST: usize = 1 << 16;
/// Numbers with at most so many characters and no exponent are in the range of every reader.
const SURELY_IN_RANGE: usize = 300;

/// Every byte of a word one, and the highest bit of every byte.
const ONES: u64 = u64::MAX / 255;
const HIGHEST: u64 = ONES << 7;

/// What a byte means outside of strings. Few kinds: a branch with many ways is a jump through a table in WebAssembly,
/// and slower than all the comparisons it saves.
const OTHER: u8 = 0;
const QUOTE: u8 = 1;
const OPENS: u8 = 2;
const CLOSES: u8 = 3;

const OUTSIDE: [u8; 256] = {
    let mut table = [OTHER; 256];
    table[b'"' as usize] = QUOTE;
    table[b'{' as usize] = OPENS;
    table[b'[' as usize] = OPENS;
    table[b'}' as usize] = CLOSES;
    table[b']' as usize] = CLOSES;
    table
};

/// The first place from `at` on that holds no blank.
#[inline(never)]
pub fn skip_blanks(text: &str, at: usize) -> usize {
    blanks(text.as_bytes(), at)
}

/// Where the value that begins at `at` ends. Of a text that is not JSON it is some place within the text.
#[inline(never)]
pub fn end_of_value(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    match bytes.get(at) {
        Some(b'"') => end_of_string(bytes, at),
        Some(b'{' | b'[') => end_of_nested(bytes, at),
        _ => {
            let rest = bytes.get(at..).unwrap_or_default();
            at + rest.iter().position(|byte| b",]} \n\r\t:".contains(byte)).unwrap_or(rest.len())
        }
    }
}

/// The first byte from `at` on that ends a string, begins an escape or may not stand in a string; eight at a time.
#[inline]
fn end_of_plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some((eight, _)) = bytes.get(at..).and_then(<[u8]>::split_first_chunk) {
        let word = u64::from_le_bytes(*eight);
        // The highest bit of a byte is set where it was zero, or below 0x20. What a borrow sets falsely lies above.
        let quote = word ^ (ONES * 0x22);
        let escape = word ^ (ONES * 0x5c);
        let zero = quote.wrapping_sub(ONES) & !quote | escape.wrapping_sub(ONES) & !escape;
        let found = (zero | word.wrapping_sub(ONES * 0x20) & !word) & HIGHEST;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\') {
        at += 1;
    }
    at
}

/// Behind the string that begins at `at`.
#[inline]
fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut at = end_of_plain(bytes, at + 1);
    while let Some(byte) = bytes.get(at) {
        if *byte == b'"' {
            return at + 1;
        }
        at = end_of_plain(bytes, at + 1 + usize::from(*byte == b'\\'));
    }
    bytes.len()
}

/// Behind the object or list that begins at `at`.
fn end_of_nested(bytes: &[u8], at: usize) -> usize {
    let (mut at, mut open) = (at, 0_usize);
    while let Some(byte) = bytes.get(at) {
        let kind = OUTSIDE[*byte as usize];
        if kind == QUOTE {
            at = end_of_string(bytes, at);
            continue;
        }
        at += 1;
        open += usize::from(kind == OPENS);
        if kind == CLOSES {
            open -= 1;
            if open == 0 {
                return at;
            }
        }
    }
    bytes.len()
}

#[inline]
fn blanks(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| *byte <= b' ' && b" \n\r\t".contains(byte)) {
        at += 1;
    }
    at
}

/// Where the values of a text begin and end, as deep as is asked for often: noted by the pass that finds the text sound,
/// so that no byte of what is nested is looked at again for each level above it.
#[derive(Clone, Debug, Default)]
pub struct Outline(Vec<Node>);

/// A value, or the name of the member that follows.
#[derive(Clone, Copy, Debug)]
struct Node {
    begin: u32,
    end: u32,
    /// The node after this one and all that is noted of what is in it.
    next: u32,
}

impl Outline {
    /// Passes over a text. None where it is not surely JSON that serde_json reads, which is no verdict: numbers with an
    /// exponent, halves of surrogate pairs and the like are left to serde_json itself.
    #[inline(never)]
    pub fn of(text: &str) -> Option<Self> {
        u32::try_from(text.len()).ok()?;
        let mut outline = Self(Vec::with_capacity(256));
        outline.pass(text.as_bytes())?;
        Some(outline)
    }

    /// What is directly in a value, as a place in the text and the number that asks for what is in that: of an object
    /// names and members by turns, of a list its items. The text itself has the number 0. None where nothing is noted,
    /// be it that there is nothing.
    pub fn inside(&self, value: usize) -> Option<impl Iterator<Item = (Range<usize>, usize)>> {
        let end = self.0.get(value)?.next as usize;
        let mut at = value + 1;
        (at < end).then_some(std::iter::from_fn(move || {
            let node = self.0.get(at).filter(|_| at < end)?;
            let found = (node.begin as usize..node.end as usize, at);
            at = node.next as usize;
            Some(found)
        }))
    }

    #[expect(clippy::cast_possible_truncation, reason = "texts are shorter, and there are fewer nodes than bytes")]
    fn note(&mut self, begin: usize, end: usize) {
        let next = self.0.len() as u32 + 1;
        self.0.push(Node { begin: begin as u32, end: end as u32, next });
    }

    /// Notes the end of a value that holds others.
    #[expect(clippy::cast_possible_truncation, reason = "texts are shorter, and there are fewer nodes than bytes")]
    fn close(&mut self, value: usize, end: usize) {
        let next = self.0.len() as u32;
        if let Some(node) = self.0.get_mut(value) {
            (node.end, node.next) = (end as u32, next);
        }
    }

    /// Passes over a whole text; none where it is not surely sound.
    fn pass(&mut self, bytes: &[u8]) -> Option<()> {
        // One bit for each open bracket, the innermost lowest: whether it is an object's.
        let (mut kinds, mut open) = (0_u128, 0_usize);
        // The nodes of the outermost open brackets, and how many brackets may be open where something is noted.
        let (mut outer, mut noted) = ([0_usize; LEVELS], LEVELS);
        let mut at = blanks(bytes, 0);
        loop {
            // A value begins here.
            if self.0.len() > MOST {
                self.0.clear();
                noted = 0;
            }
            let begin = at;
            let first = *bytes.get(at)?;
            if first == b'"' {
                at = sound_string(bytes, at)?;
            } else if first | 0x20 == b'{' {
                if open == DEEPEST {
                    return None;
                }
                at = blanks(bytes, at + 1);
                if bytes.get(at) == Some(&(first + 2)) {
                    at += 1;
                } else {
                    if open < noted {
                        outer[open] = self.0.len();
                        self.note(begin, begin);
                    }
                    let object = first == b'{';
                    open += 1;
                    kinds = kinds << 1 | u128::from(object);
                    if object {
                        at = self.pass_name(bytes, at, open < noted)?;
                    }
                    continue;
                }
            } else {
                at = sound_scalar(bytes, at)?;
            }
            if open < noted {
                self.note(begin, at);
            }
            // A value has ended, and perhaps what it is in.
            loop {
                at = blanks(bytes, at);
                if open == 0 {
                    return (at == bytes.len()).then_some(());
                }
                let object = kinds & 1 == 1;
                let next = *bytes.get(at)?;
                if next == b',' {
                    at = blanks(bytes, at + 1);
                    if object {
                        at = self.pass_name(bytes, at, open < noted)?;
                    }
                    break;
                }
                if next != if object { b'}' } else { b']' } {
                    return None;
                }
                at += 1;
                open -= 1;
                kinds >>= 1;
                if open < noted {
                    self.close(outer[open], at);
                }
            }
        }
    }

    /// Behind a member's name, its colon and blanks.
    #[inline]
    fn pass_name(&mut self, bytes: &[u8], at: usize, noted: bool) -> Option<usize> {
        if bytes.get(at) != Some(&b'"') {
            return None;
        }
        let end = sound_string(bytes, at)?;
        if noted {
            self.note(at, end);
        }
        let at = blanks(bytes, end);
        (bytes.get(at) == Some(&b':')).then(|| blanks(bytes, at + 1))
    }
}

/// Writes a text as a JSON string, as serde_json writes it.
#[inline(never)]
pub fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    loop {
        let plain = end_of_plain(rest.as_bytes(), 0);
        // What ends there is ASCII.
        let (before, behind) = rest.split_at(plain);
        out.push_str(before);
        let Some(byte) = behind.bytes().next() else { break };
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            8 => b'b',
            12 => b'f',
            _ => b'u',
        };
        out.push('\\');
        out.push(char::from(short));
        if short == b'u' {
            out.push_str(if byte < 0x10 { "000" } else { "001" });
            out.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
        }
        rest = &behind[1..];
    }
    out.push('"');
}

/// What the inside of a sound JSON string says. None where it is not sound, or has a character as a pair of escapes.
#[inline(never)]
pub fn unescaped(inside: &str) -> Option<String> {
    let mut out = String::with_capacity(inside.len());
    let mut rest = inside;
    loop {
        let plain = end_of_plain(rest.as_bytes(), 0);
        let (before, behind) = rest.split_at(plain);
        out.push_str(before);
        let mut bytes = behind.bytes();
        match bytes.next() {
            None => return Some(out),
            Some(b'\\') => {}
            Some(_) => return None,
        }
        let mut length = 2;
        out.push(match bytes.next()? {
            same @ (b'"' | b'\\' | b'/') => char::from(same),
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                length = 6;
                let digits = behind.get(2..6).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
            }
            _ => return None,
        });
        rest = &behind[length..];
    }
}

/// The first place from `at` on with one of these bytes; the text's end where there is none.
#[inline(never)]
pub fn first_of(text: &str, at: usize, bytes: &[bool; 128]) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    let found = rest.iter().position(|byte| bytes.get(usize::from(*byte)).is_some_and(|is| *is));
    found.map_or(text.len(), |found| at + found)
}

#[inline]
fn sound_string(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = end_of_plain(bytes, at + 1);
    loop {
        let byte = *bytes.get(at)?;
        if byte == b'"' {
            return Some(at + 1);
        }
        if byte != b'\\' {
            return None;
        }
        at = end_of_plain(bytes, sound_escape(bytes, at + 1)?);
    }
}

fn sound_escape(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => {
            let digits = bytes.get(at + 1..at + 5)?;
            // `D8` to `DF` begin the halves of pairs.
            let half = matches!(digits, [b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..]);
            (!half && digits.iter().all(u8::is_ascii_hexdigit)).then_some(at + 5)
        }
        _ => None,
    }
}

/// Behind a number, `true`, `false` or `null`.
#[inline(never)]
fn sound_scalar(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b't' => word(bytes, at, b"true"),
        b'f' => word(bytes, at, b"false"),
        b'n' => word(bytes, at, b"null"),
        _ => sound_number(bytes, at),
    }
}

fn sound_number(bytes: &[u8], begin: usize) -> Option<usize> {
    let digits = |mut at: usize| {
        while matches!(bytes.get(at), Some(b'0'..=b'9')) {
            at += 1;
        }
        at
    };
    let whole = begin + usize::from(bytes[begin] == b'-');
    let mut at = match bytes.get(whole)? {
        b'0' => whole + 1,
        b'1'..=b'9' => digits(whole),
        _ => return None,
    };
    if bytes.get(at) == Some(&b'.') {
        let fraction = at + 1;
        at = digits(fraction);
        if at == fraction {
            return None;
        }
    }
    (!matches!(bytes.get(at), Some(b'e' | b'E')) && at - begin <= SURELY_IN_RANGE).then_some(at)
}

#[inline]
fn word(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes.get(at..at + word.len()).is_some_and(|there| there == word).then_some(at + word.len())
}

#[cfg(test)]
mod tests;
