//! What somebody probably meant: a word that is not known and those that are come in, the nearest goes out. Pure.

/// The nearest of the known words, where it is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: String = word.chars().take(63).collect();
    let distances = known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(known, &word), known));
    let (distance, near) = distances.min()?;
    (distance <= 1 + word.chars().count() / 4).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_another_word_is_not() {
        let known = ["dumper", "esc", "ramp"];
        assert_eq!(nearest("rmap", known), Some("ramp"));
        assert_eq!(nearest("dumpr", known), Some("dumper"));
        assert_eq!(nearest("nosuch", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
