//! Object ids and digests: bytes with one spelling each. Pure.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// Why some text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}")]
pub struct IdError {
    text: String,
    what: &'static str,
}

/// A git object id (SHA-1), written as 40 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Oid(pub [u8; 20]);

/// A SHA-256, written as `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Oid {
    /// The first ten digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..5])
    }
}

impl Digest {
    /// The SHA-256 of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 64 digits without the `sha256:` in front.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads 64 lower-case digits without a prefix.
    pub fn from_hex(text: &str) -> Result<Self, IdError> {
        bytes(text).map(Self).ok_or_else(|| IdError {
            text: clip(text),
            what: "a SHA-256 of 64 lower-case hexadecimal digits",
        })
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let mut out = [0; N];
    hex::decode_to_slice(text, &mut out).ok()?;
    Some(out)
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

impl FromStr for Oid {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        bytes(text).map(Self).ok_or_else(|| IdError {
            text: clip(text),
            what: "a commit id of 40 lower-case hexadecimal digits",
        })
    }
}

impl FromStr for Digest {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let digits = text.strip_prefix("sha256:");
        digits.and_then(bytes).map(Self).ok_or_else(|| IdError {
            text: clip(text),
            what: "a digest: sha256: and 64 lower-case hexadecimal digits",
        })
    }
}

macro_rules! text_form {
    ($type:ty, $form:literal) => {
        impl TryFrom<String> for $type {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(id: $type) -> Self {
                id.to_string()
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!($form, hex::encode(self.0)))
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}
text_form!(Oid, "{}");
text_form!(Digest, "sha256:{}");
