//! Tokens: the seam to whoever can tell whose a token is.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::SystemTime};

use crate::model::Caller;

/// A token of which it is known whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whose it is.
    pub caller: Arc<Caller>,
    /// When it ends to be valid, if it says so.
    pub expires: Option<SystemTime>,
}

/// Why nobody is known by a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token is not valid, or not meant for us.
    #[error("the token is refused: {0}")]
    Refused(String),
    /// Nobody could be asked.
    #[error("tokens cannot be verified now: {0}")]
    Unavailable(String),
}

/// What is found out of a token.
pub type Verifying = Pin<Box<dyn Future<Output = Result<Verified, TokenError>> + Send>>;

/// Finds out whose a token is. What it finds is kept by those who ask, so it keeps nothing.
pub trait TokenVerifier: Send + Sync {
    /// Asks for one token.
    fn verify(&self, token: Token) -> Verifying;
}

/// A token, to be shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token of this text; `None` if it is empty or has other characters than a token has (RFC 6750 §2.1).
    pub fn new(text: &[u8]) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
        text.as_bytes().iter().all(allowed).then(|| Self(text.to_owned()))
    }

    /// Its text, for whoever verifies it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_characters_of_a_token_and_is_not_printed() {
        assert_eq!(format!("{:?}", Token::new(b"secret.a-b_c").unwrap()), "Token(…)");
        for text in [&b""[..], b"a b", b"a\"b", b"\xff", "ä".as_bytes()] {
            assert_eq!(Token::new(text), None, "{text:?}");
        }
    }
}
