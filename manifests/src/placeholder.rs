//! Placeholders (SPEC §3.5): where `{words}` stand in a text, and which there are. Pure.
//!
//! Braces around anything that is not a word of letters, digits, dots, dashes and underscores are text, so that JSON may stand in an
//! argument. `{{word}}` is the text `{word}`.

/// Those that are one word; `label.X` and `port.N` come to them.
const NAMES: [&str; 10] = [
    "bundle", "state", "entry", "box", "host", "workflow", "version", "instance", "arch", "os",
];

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Stays as it is.
    Text(&'a str),
    /// What stands between braces.
    Placeholder(&'a str),
    /// What stands between two braces each: this word in braces, as text.
    Literal(&'a str),
}

/// A text, taken apart.
pub fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let opens = rest.match_indices('{');
        let mut found = opens.filter_map(|(at, _)| Some((at, part_at(&rest[at..])?)));
        let (part, length) = match found.next() {
            Some((0, found)) => found,
            Some((at, _)) => (Part::Text(&rest[..at]), at),
            None => (Part::Text(rest), rest.len()),
        };
        rest = &rest[length..];
        Some(part)
    })
}

/// What `{word}…` or `{{word}}…` begins with, and how long that is.
fn part_at(text: &str) -> Option<(Part<'_>, usize)> {
    if let Some(word) = word_at(text) {
        return Some((Part::Placeholder(word), word.len() + 2));
    }
    let word = word_at(text.strip_prefix('{')?)?;
    let is_closed = text[word.len() + 3..].starts_with('}');
    is_closed.then_some((Part::Literal(word), word.len() + 4))
}

/// The word of `{word}…`.
fn word_at(text: &str) -> Option<&str> {
    let (word, _) = text.strip_prefix('{')?.split_once('}')?;
    let is_word = word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    is_word.then_some(word)
}

/// Whether there is such a placeholder; whether it has a value, each box says.
pub fn is_known(word: &str) -> bool {
    NAMES.contains(&word)
        || word
            .strip_prefix("label.")
            .is_some_and(|label| !label.is_empty())
        || word
            .strip_prefix("port.")
            .is_some_and(|number| number.parse::<usize>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_braces_are_placeholders_and_json_is_text() {
        let of = |text| parts(text).collect::<Vec<_>>();
        assert_eq!(
            of("a{box}{\"b\": {os}}"),
            [
                Part::Text("a"),
                Part::Placeholder("box"),
                Part::Text("{\"b\": "),
                Part::Placeholder("os"),
                Part::Text("}")
            ]
        );
        assert_eq!(of("{"), [Part::Text("{")]);
        assert_eq!(
            of("${{HOME}}{{{os}}"),
            [
                Part::Text("$"),
                Part::Literal("HOME"),
                Part::Text("{"),
                Part::Literal("os"),
            ]
        );
        assert_eq!(
            of("{{os}"),
            [Part::Text("{"), Part::Placeholder("os")],
            "one brace is no second one"
        );
        assert_eq!(of("{}{ box }"), [Part::Text("{}{ box }")]);
        assert_eq!(of(""), []);
    }

    #[test]
    fn those_of_the_contract_are_known() {
        for word in ["bundle", "label.site", "port.0", "os"] {
            assert!(is_known(word), "{word}");
        }
        for word in ["Box", "label.", "port.x", "port", "home"] {
            assert!(!is_known(word), "{word}");
        }
    }
}
