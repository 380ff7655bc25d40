//! Text → tokens with their places.

use super::JqlError;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(String),
    Quoted(String),
    Symbol(&'static str),
    End,
}

#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) line: usize,
    pub(super) character: usize,
}

const SYMBOLS: [&str; 15] = ["!=", "!~", "<=", ">=", "&&", "||", "=", "~", "<", ">", "(", ")", ",", "!", "&"];

pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, JqlError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let (mut line, mut character) = (1, 1);
    while let Some(first) = rest.chars().next() {
        let at = (line, character);
        let length = if first.is_whitespace() {
            first.len_utf8()
        } else if first == '"' || first == '\'' {
            let (quoted, length) = quoted(rest, first).ok_or_else(|| JqlError::Syntax {
                what: format!("The quoted string '{}' has not been completed.", &rest[1..]),
                line,
                character,
            })?;
            tokens.push(Placed { token: Token::Quoted(quoted), line: at.0, character: at.1 });
            length
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            tokens.push(Placed { token: Token::Symbol(symbol), line: at.0, character: at.1 });
            symbol.len()
        } else {
            let length = rest
                .find(|c: char| c.is_whitespace() || "=!~<>(),&|\"'".contains(c))
                .filter(|length| *length > 0)
                .unwrap_or(if first == '|' { 1 } else { rest.len() });
            let word = &rest[..length];
            if let Some(reserved) = word.chars().find(|c| "{}*^%$#@?;|".contains(*c)) {
                return Err(JqlError::Syntax {
                    what: format!(
                        "The character '{reserved}' is a reserved JQL character. You must enclose it in a string or use the escape '\\u{:04x}' instead.",
                        u32::from(reserved)
                    ),
                    line,
                    character,
                });
            }
            tokens.push(Placed { token: Token::Word(word.to_owned()), line: at.0, character: at.1 });
            length
        };
        for passed in rest[..length].chars() {
            if passed == '\n' {
                (line, character) = (line + 1, 1);
            } else {
                character += 1;
            }
        }
        rest = &rest[length..];
    }
    tokens.push(Placed { token: Token::End, line, character });
    Ok(tokens)
}

/// The text between quotes and how many bytes it took.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => match characters.next()?.1 {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                'u' => {
                    let digits: String = characters.by_ref().take(4).map(|(_, digit)| digit).collect();
                    out.push(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)?);
                }
                other => out.push(other),
            },
            end if end == quote => return Some((out, at + end.len_utf8())),
            other => out.push(other),
        }
    }
    None
}
