//! Text of workflows, commits and people on a terminal: data, whatever it holds. Pure, but for asking how wide the terminal is.

use std::{fmt::Write, io::IsTerminal, time::Duration};

/// The same text, with everything that a terminal would obey made visible: control characters, escape sequences, bidirectional marks.
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let obeyed = c.is_control() && c != '\n' && c != '\t';
        let bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if obeyed || bidi {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// The same on one line.
pub fn one_line(text: &str) -> String {
    shown(&text.replace(['\n', '\r', '\t'], " "))
}

/// The first names of many: `a, b, c and 4 more`.
pub fn some_of(names: &[String]) -> String {
    const FIRST: usize = 3;
    if names.len() <= FIRST + 1 {
        return names.join(", ");
    }
    format!(
        "{} and {} more",
        names[..FIRST].join(", "),
        names.len() - FIRST
    )
}

/// How long, in the two largest units: `3d4h`, `12m5s`, `7s`.
pub fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
    let first = units
        .iter()
        .position(|(size, _)| seconds >= *size)
        .unwrap_or(3);
    let (size, unit) = units[first];
    let mut text = format!("{}{unit}", seconds / size);
    if let Some((next, unit)) = units.get(first + 1) {
        let rest = seconds % size / next;
        if rest > 0 {
            let _ = write!(text, "{rest}{unit}");
        }
    }
    text
}

/// Bytes, rounded: `512B`, `64K`, `1.5G`.
#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
pub fn rough_bytes(bytes: u64) -> String {
    let units = ["B", "K", "M", "G", "T"];
    let mut number = bytes as f64;
    let mut unit = 0;
    while number >= 1024.0 && unit + 1 < units.len() {
        number /= 1024.0;
        unit += 1;
    }
    if number < 10.0 && unit > 0 {
        format!("{number:.1}{}", units[unit])
    } else {
        format!("{number:.0}{}", units[unit])
    }
}

/// How wide stdout is, where it is a terminal.
pub fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.parse().ok())
        .or_else(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_is_shown_and_not_obeyed() {
        assert_eq!(shown("\x1b[31mred\u{202e}"), "\\u{1b}[31mred\\u{202e}");
        assert_eq!(one_line("a\nb"), "a b");
    }

    #[test]
    fn durations_and_sizes_are_rounded_for_people() {
        assert_eq!(rough(Duration::from_secs(7)), "7s");
        assert_eq!(rough(Duration::from_secs(90_000)), "1d1h");
        assert_eq!(rough_bytes(512), "512B");
        assert_eq!(rough_bytes(1536), "1.5K");
    }
}
