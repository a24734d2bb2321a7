//! How values of boxes are compared: numbers, sizes, versions, texts. Pure.
//!
//! A size or number is compared with a size or number, a version with a version; texts know equal and unequal only.

use crate::{units::ByteSize, value::Value};
use std::cmp::Ordering;

/// A comparison's sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Sign {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// What holds where this one does not.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Equal => Self::Unequal,
            Self::Unequal => Self::Equal,
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }

    /// Whether it holds for values in this order.
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    /// Whether `found sign wanted` holds; none where the two cannot be put in order and the sign asks for it.
    pub fn compare(self, found: &Value, wanted: &Value) -> Option<bool> {
        match (order(found, wanted), self) {
            (Some(order), _) => Some(self.holds(order)),
            (None, Self::Equal) => Some(false),
            (None, Self::Unequal) => Some(true),
            (None, _) => None,
        }
    }
}

/// The order of two values, where they have one; equal texts are equal.
fn order(found: &Value, wanted: &Value) -> Option<Ordering> {
    match (found, wanted) {
        (Value::Bool(a), Value::Bool(b)) => (a == b).then_some(Ordering::Equal),
        (Value::Bool(_), _) | (_, Value::Bool(_)) => None,
        (Value::Text(a), Value::Text(b)) if a == b => Some(Ordering::Equal),
        _ => match (amount(found), amount(wanted)) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => Some(compare_versions(&version_of(found)?, &version_of(wanted)?)),
        },
    }
}

/// A number, or a text that is a number or a size.
fn amount(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Text(text) => ByteSize::parse(text)
            .ok()
            .and_then(|size| i64::try_from(size.0).ok()),
        Value::Bool(_) => None,
    }
}

fn version_of(value: &Value) -> Option<Vec<u64>> {
    match value {
        Value::Number(number) => Some(vec![u64::try_from(*number).ok()?]),
        Value::Text(text) => version(text),
        Value::Bool(_) => None,
    }
}

/// The numbers of a version as programs print it: `20.20.2`, `v18`, `6.1.0-18-amd64`, `3.11.2+`. What follows the numbers is left out.
pub(crate) fn version(text: &str) -> Option<Vec<u64>> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    if !(rest.is_empty() || rest.starts_with(['-', '+', '_', '~'])) {
        return None;
    }
    let part = |part: &str| {
        if part.len() > 1 && part.starts_with('0') {
            None
        } else {
            part.parse().ok()
        }
    };
    numbers.split('.').map(part).collect()
}

/// Missing parts count as zero: 18 is 18.0.0.
pub(crate) fn compare_versions(a: &[u64], b: &[u64]) -> Ordering {
    let part = |parts: &[u64], at: usize| parts.get(at).copied().unwrap_or(0);
    (0..a.len().max(b.len()))
        .map(|at| part(a, at).cmp(&part(b, at)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// A value for people, a number as a size where it is held against one.
pub(crate) fn show(value: &Value, beside: Option<&Value>) -> String {
    let is_size =
        |text: &str| text.ends_with(['K', 'M', 'G', 'T']) && ByteSize::parse(text).is_ok();
    match (value, beside) {
        (Value::Number(number), Some(Value::Text(text))) if is_size(text) => show_size(*number),
        (Value::Number(number), _) => number.to_string(),
        (Value::Text(text), _) => text.chars().take(80).collect(),
        (Value::Bool(truth), _) => truth.to_string(),
    }
}

/// A size in the largest unit that leaves at most four digits; rounded down where it does not fit exactly.
fn show_size(number: i64) -> String {
    let Ok(bytes) = u64::try_from(number) else {
        return number.to_string();
    };
    let exact = ByteSize(bytes).to_string();
    if exact.len() <= 6 {
        return exact;
    }
    let (shift, unit) = [(40, "T"), (30, "G"), (20, "M"), (10, "K")]
        .into_iter()
        .find(|(shift, _)| bytes >> shift >= 10)
        .unwrap_or((0, ""));
    format!("{}{unit}", bytes >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn values_are_compared_as_what_they_are() {
        use Ordering::{Equal, Greater, Less};
        for (a, b, want) in [
            (text("20.20.2"), text("18"), Some(Greater)),
            (text("20"), text("20.0.0"), Some(Equal)),
            (text("9.9"), text("10"), Some(Less)),
            (text("512M"), text("1G"), Some(Less)),
            (text("1024M"), text("1G"), Some(Equal)),
            (Value::Number(512 << 20), text("1G"), Some(Less)),
            (Value::Number(2), Value::Number(10), Some(Less)),
            (text("18.1.0"), Value::Number(18), Some(Greater)),
            (text("6.1.0-18-amd64"), text("6.2"), Some(Less)),
            (text("v20.1"), text("20.1"), Some(Equal)),
            (text("berkeley"), text("berkeley"), Some(Equal)),
            (text("berkeley"), text("oakland"), None),
            (text("1.02"), text("1.2"), None),
            (Value::Bool(true), Value::Bool(true), Some(Equal)),
            (Value::Bool(true), Value::Number(1), None),
        ] {
            assert_eq!(order(&a, &b), want, "{a:?} {b:?}");
        }
    }

    #[test]
    fn sizes_are_shown_short() {
        let gigabyte = text("1G");
        for (bytes, want) in [
            (512 << 20, "512M"),
            (1 << 30, "1G"),
            (16_493_199_360, "15G"),
            (1_000_000, "976K"),
            (-1, "-1"),
        ] {
            assert_eq!(show(&Value::Number(bytes), Some(&gigabyte)), want);
        }
    }
}
