//! The shape of each file: which keys, which types. From it come the reader's checks and the JSON Schema. Pure.
//!
//! A file's module says its shape as a table of [`Key`]s; `document` holds a text against it, `schema` writes it down.

use crate::rules::Rule;

/// The largest bundle.toml (and manifest, policy, roster entry) that is read at all, in bytes.
pub const MAX_TEXT: usize = 1 << 20;

/// A table: the file itself, or one within it.
#[derive(Debug)]
pub struct Shape {
    /// What it is called, such as `bundle.toml` or `[run]`.
    pub title: &'static str,
    /// The keys that may stand in it; any other is an error.
    pub keys: &'static [Key],
}

/// One key of a table.
#[derive(Debug)]
pub struct Key {
    /// As it is written, in kebab-case.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether it has to be there.
    pub required: bool,
    /// What it means, in one line.
    pub doc: &'static str,
}

/// What a key takes.
#[derive(Debug)]
pub enum Kind {
    /// true or false.
    Bool,
    /// A whole number, both ends included.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// Any finite number.
    Number,
    /// A text of a certain form.
    Text(&'static Form),
    /// One of some words.
    OneOf(&'static [&'static str]),
    /// A list with so many items at least.
    List(usize, &'static Kind),
    /// `[table]`
    Table(&'static Shape),
    /// `[[table]]`
    Tables(&'static Shape),
    /// A table whose keys people choose.
    Map(&'static Form, &'static Kind),
    /// The first of these whose type fits.
    Either(&'static [Kind]),
    /// Something that the contract describes and this version does not do.
    NotBuilt,
}

/// The form of a text.
#[derive(Debug)]
pub struct Form {
    /// In words, with an example: `a duration such as "6s"`.
    pub what: &'static str,
    /// A regular expression of JSON Schema for it; empty for none.
    pub pattern: &'static str,
    /// The rule that a text of another form breaks.
    pub rule: &'static Rule,
    /// Why a text is not of this form, in words that go on after the text; none where it is.
    pub check: fn(&str) -> Option<String>,
}

impl Key {
    /// A key that may be absent.
    pub(crate) const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            required: false,
            doc,
        }
    }

    /// A key that has to be there.
    pub(crate) const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            required: true,
            doc,
        }
    }
}

impl Shape {
    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Kind {
    /// Its type, in words.
    pub fn of(&self) -> String {
        match self {
            Self::Bool => "true or false".into(),
            Self::Integer { .. } => "a whole number".into(),
            Self::Number => "a number".into(),
            Self::Text(_) | Self::OneOf(_) => "a text".into(),
            Self::List(..) => "a list".into(),
            Self::Table(_) | Self::Map(..) => "a table".into(),
            Self::Tables(_) => "tables".into(),
            Self::Either(kinds) => kinds.iter().map(Self::of).collect::<Vec<_>>().join(" or "),
            Self::NotBuilt => "nothing yet".into(),
        }
    }

    /// What it takes, in words.
    pub fn what(&self) -> String {
        let list =
            |kinds: &mut dyn Iterator<Item = String>, by: &str| kinds.collect::<Vec<_>>().join(by);
        match self {
            Self::Bool => "true or false".into(),
            Self::Integer { min: i64::MIN, .. } => "a whole number".into(),
            Self::Integer { min, max: i64::MAX } => format!("a whole number from {min}"),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Number => "a number".into(),
            Self::Text(form) => form.what.into(),
            Self::OneOf([word]) => format!("{word:?}"),
            Self::OneOf(words) => format!(
                "one of {}",
                list(&mut words.iter().map(|word| format!("{word:?}")), ", ")
            ),
            Self::List(_, of) => format!("a list, each item {}", of.what()),
            Self::Table(shape) => format!("a table {}", shape.title),
            Self::Tables(shape) => format!("tables {}", shape.title),
            Self::Map(keys, of) => {
                format!("a table, each key {}, each value {}", keys.what, of.what())
            }
            Self::Either(kinds) => list(&mut kinds.iter().map(Kind::what), ", or "),
            Self::NotBuilt => "nothing yet".into(),
        }
    }
}
