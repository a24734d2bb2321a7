//! Selectors: `where = 'site == "berkeley" && engine.node >= "18"'` (SPEC §3.3). Pure.
//!
//! Grammar: `or := and ("||" and)*`, `and := unary ("&&" unary)*`, `unary := "!" unary | "(" or ")" | comparison`,
//! `comparison := name (("==" | "!=" | "<" | "<=" | ">" | ">=") literal)?`; a literal is a string, a number, true or false.
//! A bare name holds where the label is true, or is there and is neither false, 0 nor empty. A comparison with what the
//! box does not have does not hold (and its negation by `!` does). Strings that are sizes on both sides
//! compare as sizes, versions as versions, anything else only by == and != as text.

use crate::{
    compare::{Sign, show},
    facts::{self, Facts, Value},
};
use std::{fmt, ops::Range};

/// The longest selector, in bytes.
pub const MAX_SELECTOR: usize = 4 << 10;
/// The deepest nesting of `!` and parentheses.
pub const MAX_DEPTH: usize = 32;

/// A selector that parses.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    text: String,
    tree: Tree,
}

#[derive(Debug, Clone, PartialEq)]
enum Tree {
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Not(Box<Tree>),
    Holds(String),
    Compare(String, Sign, Value),
}

/// Where and why a selector does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SelectorError {
    /// The bytes of the selector's text to underline.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
}

/// Whether a box is chosen, and if not, by which comparison: `memory 512M < 1G`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Chosen,
    /// It does not; in words.
    NotChosen(String),
}

impl Selector {
    /// Reads a selector; at most 4 KiB and 32 levels deep.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > MAX_SELECTOR {
            return Err(SelectorError {
                span: 0..text.len(),
                message: format!(
                    "the selector has {} bytes, {MAX_SELECTOR} at most",
                    text.len()
                ),
            });
        }
        let mut parser = Parser {
            text,
            at: 0,
            depth: 0,
        };
        let tree = parser.any()?;
        parser.space();
        match parser.rest() {
            "" => Ok(Self {
                text: text.into(),
                tree,
            }),
            rest if rest.starts_with('=') => Err(parser.error(1, "a comparison is written ==")),
            rest if rest.starts_with(['&', '|']) => {
                Err(parser.error(1, "conditions are joined by && or ||"))
            }
            _ => Err(parser.error_at_word("expected && or || or the end")),
        }
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Holds it against a box.
    pub fn choose(&self, facts: &Facts) -> Verdict {
        self.tree
            .hold(facts)
            .map_or_else(Verdict::NotChosen, |()| Verdict::Chosen)
    }

    /// Holds it against a box of which only name and labels are known (the roster): none where it depends on facts
    /// (memory, engines, …) that only the box itself can tell.
    pub fn foresee(&self, known: &Facts) -> Option<bool> {
        self.tree.foresee(known)
    }
}

impl Tree {
    /// Three-valued: none is "only the box can tell".
    fn foresee(&self, known: &Facts) -> Option<bool> {
        match self {
            Self::All(parts) => fold(parts.iter().map(|part| part.foresee(known)), false),
            Self::Any(parts) => fold(parts.iter().map(|part| part.foresee(known)), true),
            Self::Not(inner) => inner.foresee(known).map(|holds| !holds),
            Self::Holds(name) | Self::Compare(name, ..)
                if facts::is_fact(name) && known.lookup(name).is_none() =>
            {
                None
            }
            Self::Holds(_) | Self::Compare(..) => Some(self.hold(known).is_ok()),
        }
    }

    /// Whether it holds; if not, why.
    fn hold(&self, facts: &Facts) -> Result<(), String> {
        match self {
            Self::All(parts) => parts.iter().try_for_each(|part| part.hold(facts)),
            Self::Any(parts) => {
                let mut reasons = Vec::new();
                for part in parts {
                    match part.hold(facts) {
                        Ok(()) => return Ok(()),
                        Err(reason) => reasons.push(reason),
                    }
                }
                Err(reasons.join(" and "))
            }
            Self::Not(inner) => match inner.hold(facts) {
                Ok(()) => Err(format!("{inner} holds")),
                Err(_) => Ok(()),
            },
            Self::Holds(name) => match facts.lookup(name) {
                None => Err(format!("{name} is not there")),
                Some(Value::Bool(false) | Value::Number(0)) => Err(format!("{name} does not hold")),
                Some(Value::Text(text)) if text.is_empty() => Err(format!("{name} is empty")),
                Some(_) => Ok(()),
            },
            Self::Compare(name, sign, wanted) => {
                let Some(found) = facts.lookup(name) else {
                    return Err(format!("{name} is not there"));
                };
                let (shown, limit) = (show(&found, Some(wanted)), show(wanted, None));
                match sign.compare(&found, wanted) {
                    Some(true) => Ok(()),
                    Some(false) => Err(format!(
                        "{name} {shown} {} {limit}",
                        sign.opposite().as_str()
                    )),
                    None => Err(format!(
                        "{name} {shown} cannot be compared with {limit} by {}",
                        sign.as_str()
                    )),
                }
            }
        }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |parts: &[Tree], by: &str| {
            parts
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(by)
        };
        match self {
            Self::All(parts) => write!(f, "({})", join(parts, " && ")),
            Self::Any(parts) => write!(f, "({})", join(parts, " || ")),
            Self::Not(inner) => write!(f, "!{inner}"),
            Self::Holds(name) => f.write_str(name),
            Self::Compare(name, sign, Value::Text(text)) => {
                write!(f, "{name} {} {text:?}", sign.as_str())
            }
            Self::Compare(name, sign, value) => {
                write!(f, "{name} {} {}", sign.as_str(), show(value, None))
            }
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

type Parsed<T> = Result<T, SelectorError>;

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at = self.text.len()
            - self
                .rest()
                .trim_start_matches([' ', '\t', '\n', '\r'])
                .len();
    }

    /// Takes this sign, if it comes next.
    fn take(&mut self, sign: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    fn error(&self, length: usize, message: impl Into<String>) -> SelectorError {
        SelectorError {
            span: self.at..(self.at + length).min(self.text.len()),
            message: message.into(),
        }
    }

    /// An error at the next word, or at its single character.
    fn error_at_word(&self, message: impl Into<String>) -> SelectorError {
        let rest = self.rest();
        let word = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        self.error(
            word.max(rest.chars().next().map_or(0, char::len_utf8)),
            message,
        )
    }

    fn any(&mut self) -> Parsed<Tree> {
        let mut parts = vec![self.all()?];
        while self.take("||") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Tree::Any))
    }

    fn all(&mut self) -> Parsed<Tree> {
        let mut parts = vec![self.unary()?];
        while self.take("&&") {
            parts.push(self.unary()?);
        }
        Ok(one_or(parts, Tree::All))
    }

    fn unary(&mut self) -> Parsed<Tree> {
        self.space();
        if !self.rest().starts_with(['!', '(']) {
            return self.comparison();
        }
        if self.depth == MAX_DEPTH {
            return Err(self.error(1, format!("more than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        let tree = if self.take("!") {
            Tree::Not(Box::new(self.unary()?))
        } else {
            let open = self.at;
            self.at += 1;
            let tree = self.any()?;
            if !self.take(")") {
                return Err(SelectorError {
                    span: open..open + 1,
                    message: "this parenthesis is not closed".into(),
                });
            }
            tree
        };
        self.depth -= 1;
        Ok(tree)
    }

    fn comparison(&mut self) -> Parsed<Tree> {
        let rest = self.rest();
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Err(self.error_at_word(if rest.is_empty() {
                "expected the name of a label or fact, found the end"
            } else {
                "expected the name of a label or fact"
            }));
        }
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let name = rest[..end].to_string();
        self.at += end;
        self.space();
        for sign in [
            Sign::Equal,
            Sign::Unequal,
            Sign::LessOrEqual,
            Sign::GreaterOrEqual,
            Sign::Less,
            Sign::Greater,
        ] {
            if self.take(sign.as_str()) {
                return Ok(Tree::Compare(name, sign, self.literal()?));
            }
        }
        Ok(Tree::Holds(name))
    }

    fn literal(&mut self) -> Parsed<Value> {
        self.space();
        let rest = self.rest();
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            let Some(length) = rest[1..].find(quote) else {
                return Err(self.error(rest.len(), "this string is not closed"));
            };
            self.at += length + 2;
            return Ok(Value::Text(rest[1..=length].into()));
        }
        let word = &rest[..rest.find(|c: char| !is_name(c)).unwrap_or(rest.len())];
        let value = match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => match word.parse() {
                Ok(number) => Value::Number(number),
                Err(_) if word.is_empty() => return Err(self.error_at_word("expected a string, a whole number, true or false")),
                Err(_) => return Err(self.error_at_word(format!("expected a string, a whole number, true or false; a string is written \"{word}\""))),
            },
        };
        self.at += word.len();
        Ok(value)
    }
}

/// One part of this value decides; else one that cannot be told leaves the whole open.
fn fold(parts: impl Iterator<Item = Option<bool>>, deciding: bool) -> Option<bool> {
    let mut open = false;
    for part in parts {
        match part {
            Some(value) if value == deciding => return Some(deciding),
            Some(_) => {}
            None => open = true,
        }
    }
    (!open).then_some(!deciding)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.-".contains(c)
}

fn one_or(mut parts: Vec<Tree>, join: fn(Vec<Tree>) -> Tree) -> Tree {
    if parts.len() == 1 {
        parts.remove(0)
    } else {
        join(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn facts() -> Facts {
        let text = |text: &str| Value::Text(text.into());
        Facts {
            name: "lab-1".into(),
            labels: BTreeMap::from([
                ("site".into(), text("berkeley")),
                ("rack".into(), Value::Number(2)),
                ("gpu".into(), Value::Bool(true)),
                ("old".into(), Value::Bool(false)),
            ]),
            facts: BTreeMap::from([
                ("engine.node".into(), text("20.20.2")),
                ("memory".into(), Value::Number(512 << 20)),
                ("os".into(), text("linux")),
                ("site".into(), text("hidden")),
            ]),
        }
    }

    fn reason(text: &str) -> Option<String> {
        match Selector::parse(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
            .choose(&facts())
        {
            Verdict::Chosen => None,
            Verdict::NotChosen(reason) => Some(reason),
        }
    }

    #[test]
    fn what_holds_chooses() {
        for text in [
            r#"site == "berkeley" && engine.node >= "18""#,
            "gpu",
            "!old",
            "gpu == true",
            "rack == 2",
            "rack == '2'",
            "rack>=2&&rack<3",
            "box == 'lab-1'",
            "name == \"lab-1\"",
            "memory < '1G'",
            "engine.node > 18",
            "old || (gpu && !(rack > 5))",
            "!nowhere",
            "!(nowhere == 1)",
            "os != 'windows'",
            "site != 'hidden'",
            "engine.node",
        ] {
            assert_eq!(reason(text), None, "{text}");
        }
    }

    #[test]
    fn what_does_not_hold_says_why() {
        for (text, want) in [
            ("memory >= '1G'", "memory 512M < 1G"),
            ("gpu && memory >= '1G' && old", "memory 512M < 1G"),
            ("site == 'oakland'", "site berkeley != oakland"),
            (
                "site < 'oakland'",
                "site berkeley cannot be compared with oakland by <",
            ),
            ("engine.java >= '17'", "engine.java is not there"),
            ("engine.node >= '22'", "engine.node 20.20.2 < 22"),
            ("old", "old does not hold"),
            ("!gpu", "gpu holds"),
            ("!(gpu && rack == 2)", "(gpu && rack == 2) holds"),
            ("rack > 5 || old", "rack 2 <= 5 and old does not hold"),
        ] {
            assert_eq!(reason(text).as_deref(), Some(want), "{text}");
        }
    }

    #[test]
    fn what_does_not_parse_is_marked() {
        for (text, mark) in [
            ("", ""),
            ("site = 'x'", "="),
            ("site == ", ""),
            ("site == berkeley", "berkeley"),
            ("site == 'x", "'x"),
            ("(site", "("),
            ("site)", ")"),
            ("a & b", "&"),
            ("a | b", "|"),
            ("a b", "b"),
            ("1 == 2", "1"),
            ("a == 1.5", "1.5"),
            ("a == 99999999999999999999", "99999999999999999999"),
            ("&& a", "&"),
            ("a in [1]", "in"),
            ("é == 1", "é"),
        ] {
            let error = Selector::parse(text).expect_err(text);
            assert_eq!(&text[error.span.clone()], mark, "{text:?}: {error}");
        }
    }

    #[test]
    fn what_only_the_box_can_tell_is_left_open() {
        let known = Facts {
            facts: BTreeMap::new(),
            ..facts()
        };
        for (text, want) in [
            ("site == 'berkeley'", Some(true)),
            ("site == 'oakland'", Some(false)),
            ("nowhere == 'x'", Some(false)),
            ("memory >= '1G'", None),
            ("engine.node", None),
            ("site == 'oakland' && memory >= '1G'", Some(false)),
            ("site == 'berkeley' && memory >= '1G'", None),
            ("gpu || memory >= '1G'", Some(true)),
            ("!(memory >= '1G')", None),
            ("!old && box == 'lab-1'", Some(true)),
        ] {
            let selector = Selector::parse(text).expect(text);
            assert_eq!(selector.foresee(&known), want, "{text}");
        }
    }

    #[test]
    fn depth_and_length_have_limits() {
        let nested = |levels| format!("{}a{}", "(".repeat(levels), ")".repeat(levels));
        assert!(Selector::parse(&nested(MAX_DEPTH)).is_ok());
        assert!(Selector::parse(&nested(MAX_DEPTH + 1)).is_err());
        assert!(Selector::parse(&("!".repeat(MAX_DEPTH + 1) + "a")).is_err());
        assert!(Selector::parse(&"a&&".repeat(MAX_SELECTOR)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = Selector::parse(&text);
        }

        #[test]
        fn near_selectors_do_not_make_it_panic(text in "[!()ab=<>&|'\" 1é]{0,20}") {
            if let Err(error) = Selector::parse(&text) {
                proptest::prop_assert!(text.get(error.span).is_some());
            }
        }
    }
}
