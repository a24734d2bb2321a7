//! A line of a file and the mark under it, in plain characters, for pipes, logs and narrow terminals. Pure.

use std::ops::Range;

/// No line of an excerpt is longer, in characters.
const WIDTH: usize = 60;
/// So much of the line stands before the mark at least, where there is so much.
const BEFORE: usize = 20;

/// Two lines: what stands there, and the mark. Ends of lines, tabs and the like count as blanks.
pub fn excerpt(text: &str, span: Range<usize>, number: usize) -> Option<String> {
    let start = text.get(..span.start)?.rfind('\n').map_or(0, |at| at + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let before = text[start..span.start].chars().count();
    let marked = text.get(span)?.lines().next().unwrap_or_default();
    let gutter = number.to_string();
    let room = WIDTH.saturating_sub(gutter.len() + 5);
    // What does not fit is left out at the sides, so that the mark is seen.
    let skipped = if line.chars().count() > room {
        before.saturating_sub(BEFORE)
    } else {
        0
    };
    let shown: String = line.chars().skip(skipped).take(room).map(plain).collect();
    let column = before - skipped;
    let length = marked
        .chars()
        .count()
        .clamp(1, room.saturating_sub(column).max(1));
    Some(format!(
        "  {gutter} | {}\n  {} | {}{}",
        shown.trim_end(),
        " ".repeat(gutter.len()),
        " ".repeat(column),
        "^".repeat(length)
    ))
}

fn plain(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, marked: &str) -> String {
        let at = text.find(marked).expect("it stands there");
        let number = text[..at].matches('\n').count() + 1;
        excerpt(text, at..at + marked.len(), number).expect("a place in the text")
    }

    #[test]
    fn the_mark_stands_under_what_is_meant() {
        assert_eq!(
            of("a = 1\nmode = \"sometimes\"\nb = 2\n", "\"sometimes\""),
            "  2 | mode = \"sometimes\"\n    |        ^^^^^^^^^^^"
        );
        assert_eq!(of("é = ü", "ü"), "  1 | é = ü\n    |     ^");
    }

    #[test]
    fn a_long_line_is_shown_around_the_mark_and_fits() {
        let text = format!(
            "args = [\"{}\", \"{{nope}}\", \"{}\"]",
            "x".repeat(300),
            "y".repeat(300)
        );
        let shown = of(&text, "{nope}");
        let lines: Vec<&str> = shown.lines().collect();
        assert!(
            lines.iter().all(|line| line.chars().count() <= WIDTH),
            "{shown}"
        );
        let column = lines[0].find("{nope}").expect("it is shown");
        assert_eq!(lines[1].find("^^^^^^"), Some(column), "{shown}");
    }

    #[test]
    fn a_place_beyond_the_text_shows_nothing_and_an_empty_one_is_marked() {
        assert_eq!(excerpt("a", 5..6, 1), None);
        assert_eq!(excerpt("a", 1..1, 1).as_deref(), Some("  1 | a\n    |  ^"));
    }
}
