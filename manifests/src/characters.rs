//! Characters that make a text look like another one: bidirectional controls, invisible ones, control characters. Pure.

/// Whether the character changes the direction in which text is shown (Unicode `Bidi_Control`).
pub fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether HFS+ leaves the character out when it compares names (git's `utf8.c`, `next_hfs_char`).
pub(crate) fn is_ignored_by_hfs(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// The first character that may not stand in a line shown to people.
pub(crate) fn find_hidden(text: &str) -> Option<char> {
    text.chars()
        .find(|&c| c.is_control() || is_bidirectional(c))
}

/// The text in a form in which two texts are equal where they differ in case only.
pub(crate) fn fold_case(text: &str) -> String {
    text.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}
