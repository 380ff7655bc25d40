//! A secret that cannot be printed.

use std::fmt;

use zeroize::Zeroizing;

/// A secret text: a password, a token, a key. It shows itself as `[secret]`, cannot be serialised,
/// and its memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text into keeping.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The one way out. Whoever calls it keeps the text out of logs, errors and arguments.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
