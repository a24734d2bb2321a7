//! A TOML file held against its [`Shape`]: bytes come in, every problem of them and tables to read from go out. Pure.
//!
//! The check finds what the shape can say (unknown keys, types, forms, ranges); the file's module then builds its value
//! from the [`Table`]s and reports what only it can know. What is wrong in form is simply absent for it.

use crate::{
    bundle::MAX_TEXT,
    characters::is_bidirectional,
    problem::Problem,
    rules::{
        Rule,
        file::{
            BAD_VALUE, CHARACTERS, MISSING_KEY, NOT_BUILT, SYNTAX, TOO_LARGE, UNKNOWN_KEY,
            WRONG_TYPE,
        },
    },
    shape::{Form, Kind, Shape},
    units::{ByteSize, parse_duration},
};
use std::{cell::RefCell, ops::Range, time::Duration};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

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

fn text_of<'t>(file: &str, bytes: &'t [u8]) -> Result<&'t str, Problem> {
    if bytes.len() > MAX_TEXT {
        return Err(Problem::whole(
            file,
            &TOO_LARGE,
            format!("the file has {} bytes, {MAX_TEXT} at most", bytes.len()),
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes
            .get(..error.valid_up_to())
            .and_then(|good| std::str::from_utf8(good).ok())
            .unwrap_or_default();
        Problem::at(
            file,
            good,
            good.len()..good.len() + 1,
            &SYNTAX,
            "the file is not UTF-8 from here on",
        )
        .hint("save it as UTF-8")
    })?;
    if text.starts_with('\u{feff}') {
        let problem = Problem::at(
            file,
            text,
            0..3,
            &CHARACTERS,
            "the file begins with a byte order mark",
        );
        return Err(problem.hint("save it as UTF-8 without a byte order mark"));
    }
    Ok(text)
}

/// One file that is being read, and what is wrong with it so far.
pub(crate) struct Sheet<'t> {
    file: &'t str,
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
}

impl Sheet<'_> {
    fn report(
        &self,
        span: Option<Range<usize>>,
        rule: &'static Rule,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() > MAX_PROBLEMS {
            return;
        }
        let mut problem = if problems.len() == MAX_PROBLEMS {
            Problem::whole(
                self.file,
                rule,
                "there are more problems; these are the first ones",
            )
        } else {
            match span {
                Some(span) => Problem::at(self.file, self.text, span, rule, message),
                None => Problem::whole(self.file, rule, message),
            }
        };
        problem.hint = hint;
        problems.push(problem);
    }

    fn check_characters(&self) {
        for (at, c) in self
            .text
            .char_indices()
            .filter(|(_, c)| is_bidirectional(*c))
        {
            self.report(
                Some(at..at + c.len_utf8()),
                &CHARACTERS,
                format!("the character {c:?} changes how the text is shown"),
                None,
            );
        }
    }

    /// Adds the errors of syntax; of the other problems keeps those that are not their consequence.
    fn keep_beside(&self, errors: &[toml::de::Error]) {
        let found: Vec<Problem> = errors
            .iter()
            .take(MAX_PROBLEMS)
            .map(|error| {
                let span = error.span().unwrap_or(self.text.len()..self.text.len());
                Problem::at(self.file, self.text, span, &SYNTAX, error.message())
            })
            .collect();
        let mut problems = self.problems.borrow_mut();
        problems.retain(|problem| {
            problem.rule != &MISSING_KEY
                && problem.line != 0
                && found.iter().all(|error| error.line != problem.line)
        });
        problems.extend(found);
    }

    fn finish(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems
            .sort_by_key(|problem| problem.span.as_ref().map_or((1, 0), |span| (0, span.start)));
        problems
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
    fn check(&self) {
        for (key, value) in self.tree {
            let name: &str = key.get_ref();
            match self.shape.key(name) {
                Some(key) => self.item(name, value).check(&key.kind),
                None => self.unknown(name, key.span()),
            }
        }
        for key in self
            .shape
            .keys
            .iter()
            .filter(|key| key.required && !self.tree.contains_key(key.name))
        {
            let hint = match key.kind {
                Kind::Table(shape) => format!("add the table {}: {}", shape.title, key.doc),
                _ => format!("add {} = …, {}", key.name, key.kind.what()),
            };
            let message = format!("{} lacks {:?}", self.shape.title, key.name);
            self.sheet
                .report(self.span.clone(), &MISSING_KEY, message, Some(hint));
        }
    }

    fn unknown(&self, name: &str, span: Range<usize>) {
        let shown: String = name.chars().take(63).collect();
        let near = self
            .shape
            .keys
            .iter()
            .map(|key| (strsim::damerau_levenshtein(key.name, &shown), key.name))
            .min();
        let elsewhere = self.shape.keys.iter().find_map(|key| match key.kind {
            Kind::Table(shape) if shape.key(name).is_some() => Some(shape.title),
            _ => None,
        });
        let hint = match (near, elsewhere) {
            (Some((distance, near)), _) if distance <= 1 + shown.chars().count() / 4 => {
                format!("did you mean {near:?}?")
            }
            (_, Some(title)) => format!("it belongs into {title}"),
            _ => format!(
                "known here: {}",
                self.shape
                    .keys
                    .iter()
                    .map(|key| key.name)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        self.sheet.report(
            Some(span),
            &UNKNOWN_KEY,
            format!("unknown key {shown:?} in {}", self.shape.title),
            Some(hint),
        );
    }

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

    fn check(&self, kind: &'static Kind) {
        match kind {
            Kind::NotBuilt => self.report(
                &NOT_BUILT,
                format!("{} is not built yet", self.name),
                "leave it out",
            ),
            Kind::Either(kinds) => match kinds.iter().find(|kind| self.has_type(kind)) {
                Some(kind) => self.check(kind),
                None => self.wrong_type(kind),
            },
            _ if !self.has_type(kind) => self.wrong_type(kind),
            Kind::Bool => {}
            Kind::Number => {
                if self.number().is_none() {
                    self.bad_value(kind, "is not a number that can be used");
                }
            }
            Kind::Integer { min, max } => match self.integer() {
                Some(number) if (*min..=*max).contains(&number) => {}
                _ => self.bad_value(kind, "is out of range"),
            },
            Kind::OneOf(words) => {
                if !self.text().is_some_and(|text| words.contains(&text)) {
                    self.bad_value(kind, "is not known here");
                }
            }
            Kind::Text(form) => {
                self.check_form(self.text().unwrap_or_default(), self.span.clone(), form)
            }
            Kind::List(min, of) => {
                let items = self.items();
                if items.len() < *min {
                    self.bad_value(kind, &format!("needs at least {min}"));
                }
                items.iter().for_each(|item| item.check(of));
            }
            Kind::Table(shape) => self.table(shape).iter().for_each(Table::check),
            Kind::Tables(shape) => self
                .items()
                .iter()
                .for_each(|item| match item.table(shape) {
                    Some(table) => table.check(),
                    None => item.wrong_type(kind),
                }),
            Kind::Map(keys, of) => {
                for (key, span, item) in self.entries() {
                    self.check_form(key, span, keys);
                    item.check(of);
                }
            }
        }
    }

    fn has_type(&self, kind: &Kind) -> bool {
        match kind {
            Kind::Bool => self.value.is_bool(),
            Kind::Integer { .. } => self.value.is_integer(),
            Kind::Number => self.value.is_integer() || self.value.is_float(),
            Kind::Text(_) | Kind::OneOf(_) => self.value.is_str(),
            Kind::List(..) | Kind::Tables(_) => self.value.is_array(),
            Kind::Table(_) | Kind::Map(..) => self.value.is_table(),
            Kind::Either(kinds) => kinds.iter().any(|kind| self.has_type(kind)),
            Kind::NotBuilt => true,
        }
    }

    fn wrong_type(&self, kind: &Kind) {
        let found = match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.report(
            &WRONG_TYPE,
            format!("{} is {found}", self.name),
            format!("write {}", kind.what()),
        );
    }

    fn bad_value(&self, kind: &Kind, why: &str) {
        let shown: String = self
            .sheet
            .text
            .get(self.span.clone())
            .unwrap_or_default()
            .chars()
            .take(80)
            .collect();
        self.report(
            &BAD_VALUE,
            format!("{}: {shown} {why}", self.name),
            format!("write {}", kind.what()),
        );
    }

    fn check_form(&self, text: &str, span: Range<usize>, form: &'static Form) {
        let shown: String = text.chars().take(80).collect();
        let hidden = text.chars().find(|c| is_bidirectional(*c));
        let raw = self.sheet.text.get(span.clone()).unwrap_or_default();
        if let Some(c) = hidden.filter(|c| !raw.contains(*c)) {
            self.sheet.report(
                Some(span.clone()),
                &CHARACTERS,
                format!(
                    "{}: the character {c:?} changes how the text is shown",
                    self.name
                ),
                None,
            );
        }
        if let Some(why) = (form.check)(text) {
            self.sheet.report(
                Some(span),
                form.rule,
                format!("{}: {shown:?} {why}", self.name),
                Some(format!("write {}", form.what)),
            );
        }
    }
}
