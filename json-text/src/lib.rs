//! Passes over JSON texts, byte by byte, without taking them apart.
//!
//! The connector is compiled for size. What reads every byte of a delivery or an answer is here, and compiled for
//! speed (`Cargo.toml` of the workspace, `profile.guest`): a crate is the smallest piece that can be.

/// Nested deeper than this, serde_json refuses a text.
const DEEPEST: usize = 127;
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

/// Whether a text is surely JSON that serde_json reads. No is no verdict: numbers with an exponent, halves of
/// surrogate pairs and the like are left to serde_json itself.
#[inline(never)]
pub fn surely_sound(text: &str) -> bool {
    sound(text.as_bytes()).is_some()
}

/// Passes over a whole text; none where it is not surely sound.
fn sound(bytes: &[u8]) -> Option<()> {
    // One bit for each open bracket, the innermost lowest: whether it is an object's.
    let (mut kinds, mut open) = (0_u128, 0_usize);
    let mut at = blanks(bytes, 0);
    loop {
        // A value begins here.
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
                let object = first == b'{';
                open += 1;
                kinds = kinds << 1 | u128::from(object);
                if object {
                    at = sound_name(bytes, at)?;
                }
                continue;
            }
        } else {
            at = sound_scalar(bytes, at)?;
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
                    at = sound_name(bytes, at)?;
                }
                break;
            }
            if next != if object { b'}' } else { b']' } {
                return None;
            }
            at += 1;
            open -= 1;
            kinds >>= 1;
        }
    }
}

/// Behind a member's name, its colon and blanks.
#[inline]
fn sound_name(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let at = blanks(bytes, sound_string(bytes, at)?);
    (bytes.get(at) == Some(&b':')).then(|| blanks(bytes, at + 1))
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
mod tests {
    use super::{end_of_value, surely_sound};
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn what_every_delivery_holds_is_surely_sound() {
        for text in [
            r#" {"a" : [1, -2.50, true ,false,null, "x\n\u00e9\\\"" , {}, [ ]] } "#,
            "0",
            "\"\"",
            "[[[{\"a\":{\"b\":[]}}]]]",
        ] {
            assert!(surely_sound(text), "{text}");
        }
        assert!(surely_sound(&format!("{}{}", "[".repeat(127), "]".repeat(127))));
    }

    #[test]
    fn what_serde_json_refuses_never_is() {
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        let long = "9".repeat(400);
        for text in [
            "",
            " ",
            "{",
            "[",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "[1}",
            "{\"a\":1]",
            "1 2",
            "01",
            "-",
            "1.",
            ".5",
            "tru",
            "\"a",
            "\"\u{1}\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\u12g4\"",
            "1e999",
            "]",
            "[]]",
            &deep,
            &long,
        ] {
            assert!(!surely_sound(text), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn what_is_surely_sound_is_read(text in "[\\[\\]{}\",:\\\\0-9.eE+a-du ntrfls-]{0,24}") {
            if surely_sound(&text) {
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            }
        }

        #[test]
        fn a_broken_text_is_not_surely_sound(at in 0_usize..80, byte in "[\\[\\]{}\",:\\\\0-9a-f \n-]") {
            let mut text = r#"{"a":[1,-2.5,{"b":"c\u00e9\"d","e":null}],"f":{"g":[],"h":true,"i":"\\"}}"#.to_owned();
            let at = at.min(text.len() - 1);
            text.replace_range(at..=at, &byte);
            if surely_sound(&text) {
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            }
        }

        #[test]
        fn a_value_ends_within_its_text(text in "[\\[\\]{}\",:\\\\a1é ]{0,40}", at in 0_usize..50) {
            prop_assert!(end_of_value(&text, at.min(text.len())) <= text.len());
        }
    }
}
