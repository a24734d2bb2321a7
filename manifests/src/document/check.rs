//! A document's tables held against their shapes: unknown and missing keys, types, forms, ranges. Pure.

use super::{Item, Table};
use crate::{
    characters::is_bidirectional,
    near::nearest,
    rules::file::{BAD_VALUE, CHARACTERS, MISSING_KEY, NOT_BUILT, UNKNOWN_KEY, WRONG_TYPE},
    shape::{Form, Kind},
};
use std::ops::Range;
use toml::de::DeValue;

impl Table<'_> {
    pub(super) fn check(&self) {
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
        let near = nearest(&shown, self.shape.keys.iter().map(|key| key.name));
        let elsewhere = self.shape.keys.iter().find_map(|key| match key.kind {
            Kind::Table(shape) if shape.key(name).is_some() => Some(shape.title),
            _ => None,
        });
        let hint = match (near, elsewhere) {
            (Some(near), _) => format!("did you mean {near:?}?"),
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
}

impl Item<'_> {
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
                self.check_form(self.text().unwrap_or_default(), self.span.clone(), form);
            }
            Kind::List(min, of) => {
                let items = self.items();
                if items.len() < *min {
                    self.bad_value(kind, &format!("needs at least {min}"));
                }
                for item in &items {
                    item.check(of);
                }
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
            format!("{} takes {}, and {found} stands here", self.name, kind.of()),
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
