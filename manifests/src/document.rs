//! A TOML file held against its [`Shape`]: bytes come in, every problem of them and tables to read from go out. Pure.
//!
//! The check finds what the shape can say (unknown keys, types, forms, ranges); the file's module then builds its value
//! from the [`Table`]s and reports what only it can know. What is wrong in form is simply absent for it.

use crate::{
    problem::Problem,
    rules::{Rule, file::BAD_VALUE},
    shape::{Kind, Shape},
    units::{ByteSize, parse_duration},
};
use std::{cell::RefCell, ops::Range, time::Duration};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

mod check;
mod sheet;

use sheet::{Sheet, text_of};

/// So many problems of one file are told.
const MAX_PROBLEMS: usize = 100;
/// The longest file whose errors of syntax are all told; of a longer one it is the first (they could be a million).
const MAX_RECOVERED: usize = 64 << 10;

/// Reads a file: checks it against the shape, then lets `build` make the value. It comes out only where there is no problem.
pub(crate) fn read<T>(
    file: &str,
    bytes: &[u8],
    shape: &'static Shape,
    build: impl FnOnce(&Table<'_>) -> Option<T>,
) -> (Option<T>, Vec<Problem>) {
    let text = match text_of(file, bytes) {
        Ok(text) => text,
        Err(problem) => return (None, vec![problem]),
    };
    let sheet = Sheet {
        file,
        text,
        problems: RefCell::default(),
    };
    sheet.check_characters();
    let (tree, errors) = match DeTable::parse(text) {
        Ok(tree) => (tree, Vec::new()),
        Err(_) if text.len() <= MAX_RECOVERED => DeTable::parse_recoverable(text),
        Err(error) => (Spanned::new(0..0, DeTable::new()), vec![error]),
    };
    let root = Table {
        sheet: &sheet,
        tree: tree.get_ref(),
        span: None,
        shape,
    };
    root.check();
    let value = build(&root);
    if !errors.is_empty() {
        sheet.keep_beside(&errors);
    }
    let problems = sheet.finish();
    match value {
        Some(value) if problems.is_empty() => (Some(value), problems),
        None if problems.is_empty() => (
            None,
            vec![Problem::whole(
                file,
                &BAD_VALUE,
                "the file could not be read as a whole",
            )],
        ),
        _ => (None, problems),
    }
}

/// A table of the file, with the shape that it was checked against.
#[derive(Clone)]
pub(crate) struct Table<'t> {
    sheet: &'t Sheet<'t>,
    tree: &'t DeTable<'t>,
    span: Option<Range<usize>>,
    shape: &'static Shape,
}

/// A value of the file and where it stands.
#[derive(Clone)]
pub(crate) struct Item<'t> {
    sheet: &'t Sheet<'t>,
    /// The key's name, for messages.
    name: &'t str,
    value: &'t DeValue<'t>,
    pub(crate) span: Range<usize>,
}

impl<'t> Table<'t> {
    fn item(&self, name: &'t str, value: &'t Spanned<DeValue<'t>>) -> Item<'t> {
        Item {
            sheet: self.sheet,
            name,
            value: value.get_ref(),
            span: value.span(),
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &'static str) -> Option<Item<'t>> {
        debug_assert!(
            self.shape.key(key).is_some(),
            "{} has no {key}",
            self.shape.title
        );
        self.tree.get(key).map(|value| self.item(key, value))
    }

    /// A text that is of its form; `read` makes a value of it.
    pub(crate) fn text<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.get(key)?.text().and_then(read)
    }

    /// A text as it stands there.
    pub(crate) fn string(&self, key: &'static str) -> Option<String> {
        self.text(key, |text| Some(text.to_string()))
    }

    pub(crate) fn duration(&self, key: &'static str) -> Option<Duration> {
        self.text(key, |text| parse_duration(text).ok())
    }

    pub(crate) fn size(&self, key: &'static str) -> Option<ByteSize> {
        self.text(key, |text| ByteSize::parse(text).ok())
    }

    pub(crate) fn integer<T: TryFrom<i64>>(&self, key: &'static str) -> Option<T> {
        self.get(key)?.integer()?.try_into().ok()
    }

    pub(crate) fn bool(&self, key: &'static str) -> Option<bool> {
        self.get(key)?.value.as_bool()
    }

    /// The items of a list; none where the key is absent.
    pub(crate) fn list<T>(
        &self,
        key: &'static str,
        read: impl Fn(&Item<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        Some(self.get(key)?.items().iter().filter_map(read).collect())
    }

    pub(crate) fn strings(&self, key: &'static str) -> Option<Vec<String>> {
        self.list(key, |item| item.text().map(Into::into))
    }

    /// A `[table]` within this one.
    pub(crate) fn table(&self, key: &'static str) -> Option<Table<'t>> {
        match self.shape.key(key)?.kind {
            Kind::Table(shape) => self.get(key)?.table(shape),
            _ => None,
        }
    }

    /// The `[[tables]]` of a key.
    pub(crate) fn tables(&self, key: &'static str) -> Vec<Table<'t>> {
        match self.shape.key(key).map(|key| &key.kind) {
            Some(Kind::Tables(shape)) => self
                .get(key)
                .map(|item| {
                    item.items()
                        .iter()
                        .filter_map(|item| item.table(shape))
                        .collect()
                })
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// The entries of a table whose keys people choose: key, where it stands, value.
    pub(crate) fn entries(&self, key: &'static str) -> Vec<(&'t str, Range<usize>, Item<'t>)> {
        self.get(key).map(|item| item.entries()).unwrap_or_default()
    }

    /// Says that something is wrong with this table as a whole.
    pub(crate) fn report(
        &self,
        rule: &'static Rule,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.sheet
            .report(self.span.clone(), rule, message, Some(hint.into()));
    }

    /// Says that something is wrong at a place.
    pub(crate) fn report_at(
        &self,
        span: Range<usize>,
        rule: &'static Rule,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.sheet
            .report(Some(span), rule, message, Some(hint.into()));
    }
}

impl<'t> Item<'t> {
    pub(crate) fn text(&self) -> Option<&'t str> {
        self.value.as_str()
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        let number = self.value.as_integer()?;
        i64::from_str_radix(number.as_str(), number.radix()).ok()
    }

    pub(crate) fn bool(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// A number of either kind.
    #[allow(clippy::cast_precision_loss)] // a coordinate has few digits
    pub(crate) fn number(&self) -> Option<f64> {
        match self.value {
            DeValue::Float(float) => float
                .as_str()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite()),
            _ => self.integer().map(|number| number as f64),
        }
    }

    /// The items of a list; a single value is a list of itself.
    pub(crate) fn items(&self) -> Vec<Item<'t>> {
        match self.value {
            DeValue::Array(array) => array
                .iter()
                .map(|item| Item {
                    value: item.get_ref(),
                    span: item.span(),
                    ..*self
                })
                .collect(),
            _ => vec![self.clone()],
        }
    }

    pub(crate) fn table(&self, shape: &'static Shape) -> Option<Table<'t>> {
        Some(Table {
            sheet: self.sheet,
            tree: self.value.as_table()?,
            span: Some(self.span.clone()),
            shape,
        })
    }

    pub(crate) fn entries(&self) -> Vec<(&'t str, Range<usize>, Item<'t>)> {
        let table = self.value.as_table().into_iter().flatten();
        let entry =
            |(key, value): (&'t Spanned<_>, &'t Spanned<_>)| -> (&'t str, Range<usize>, Item<'t>) {
                let name: &'t std::borrow::Cow<'t, str> = key.get_ref();
                (
                    name,
                    key.span(),
                    Item {
                        sheet: self.sheet,
                        name,
                        value: value.get_ref(),
                        span: value.span(),
                    },
                )
            };
        table.map(entry).collect()
    }

    /// The text between the quotes, where it stands in the file as it is, and where that begins.
    pub(crate) fn literal(&self) -> Option<usize> {
        let text = self.text()?;
        let start = self.span.start + 1;
        (self.sheet.text.get(start..self.span.end.checked_sub(1)?)? == text).then_some(start)
    }

    pub(crate) fn report(
        &self,
        rule: &'static Rule,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.sheet
            .report(Some(self.span.clone()), rule, message, Some(hint.into()));
    }
}
