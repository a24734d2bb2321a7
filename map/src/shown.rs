//! Text of workflows, commits and people, made safe to look at: what would steer a terminal, hide or turn text around is
//! shown instead of done. Pure. (Markup is escaped where HTML is made.)

use std::fmt::Write as _;

/// The longest text that is shown, in characters.
const MOST: usize = 600;

/// The text as it may be shown.
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(4 * MOST));
    let mut characters = text.chars();
    for c in characters.by_ref().take(MOST) {
        match c {
            '\0'..='\x1f' => out.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}')),
            '\x7f' => out.push('\u{2421}'),
            c if is_hidden(c) => {
                let _ = write!(out, "⟨U+{:04X}⟩", c as u32);
            }
            c => out.push(c),
        }
    }
    if characters.next().is_some() {
        out.push('…');
    }
    out
}

/// C1 controls, and what is invisible or changes the direction of writing.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_act_is_shown_instead() {
        assert_eq!(shown("a\x1b[2Jb\r\n\x07"), "a␛[2Jb␍␊␇");
        assert_eq!(shown("abc\u{202e}fed\u{200b}"), "abc⟨U+202E⟩fed⟨U+200B⟩");
        assert_eq!(shown("Grüße, 世界 — ok"), "Grüße, 世界 — ok");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(shown(&"x".repeat(10_000_000)).chars().count(), MOST + 1);
    }
}
