//! Names and patterns (SPEC §2). Pure.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// The longest name there is, in bytes.
pub const MAX_NAME: usize = 63;

/// The name of a box, bundle, workflow, person, team or secret: `[a-z0-9][a-z0-9-]{0,62}`. A clone shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why some text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("a name may not be empty")]
    Empty,
    /// More than [`MAX_NAME`] bytes.
    #[error("a name has at most {MAX_NAME} characters, this one has {0}")]
    TooLong(usize),
    /// A character outside `[a-z0-9-]`, or a dash in front.
    #[error(
        "a name is made of a-z, 0-9 and - and begins with a letter or digit; {0:?} may not stand in it there"
    )]
    Character(char),
}

impl Name {
    /// Checks the text and keeps it.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let wrong = text.char_indices().find(|&(at, c)| {
            !(c.is_ascii_lowercase() || c.is_ascii_digit() || (c == '-' && at > 0))
        });
        if let Some((_, c)) = wrong {
            return Err(NameError::Character(c));
        }
        if text.len() > MAX_NAME {
            return Err(NameError::TooLong(text.len()));
        }
        Ok(Self(text.into()))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A pattern over names: the characters of a name, and `*` for any run of characters, also none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Checks the text and keeps it; only `[a-z0-9-]` and `*` may stand in it.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(c) = text
            .chars()
            .find(|&c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '*'))
        {
            return Err(NameError::Character(c));
        }
        if text.len() > MAX_NAME {
            return Err(NameError::TooLong(text.len()));
        }
        Ok(Self(text.into()))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.len() >= part.len() && rest.ends_with(part);
            }
            let Some(at) = rest.find(part) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        true
    }

    /// Whether everything that `other` matches is matched by this one as well: `lab-*` covers `lab-3` and `lab-b-*`,
    /// and `*` covers all.
    pub fn covers(&self, other: &Pattern) -> bool {
        // A `*` of `other` stands for text that only a `*` of ours can swallow: as a character that no name
        // has, it is matched by our `*` and by nothing else.
        self.matches(&other.0)
    }
}

impl Pattern {
    /// Whether some text is matched by both.
    pub fn overlaps(&self, other: &Pattern) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), other.0.as_bytes());
        // Row by row over `ours`: whether what is left of each pattern has a text in common.
        let mut below = vec![false; theirs.len() + 1];
        for i in (0..=ours.len()).rev() {
            let mut row = vec![false; theirs.len() + 1];
            for j in (0..=theirs.len()).rev() {
                row[j] = match (ours.get(i), theirs.get(j)) {
                    (None, None) => true,
                    (Some(b'*'), Some(b'*')) => below[j] || row[j + 1],
                    (Some(b'*'), next) => below[j] || (next.is_some() && row[j + 1]),
                    (next, Some(b'*')) => row[j + 1] || (next.is_some() && below[j]),
                    (Some(a), Some(b)) => a == b && below[j + 1],
                    (None, Some(_)) | (Some(_), None) => false,
                };
            }
            below = row;
        }
        below[0]
    }
}

impl TryFrom<String> for Pattern {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0.into()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
