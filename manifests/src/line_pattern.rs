//! What a line of output is searched for. Pure.

/// What `[ready] log-regex` looks for. Matching takes time in proportion to the line, whatever the pattern.
#[derive(Debug)]
pub struct LinePattern(regex_lite::Regex);

impl LinePattern {
    /// So much memory may one pattern take, in bytes.
    const SIZE: usize = 256 << 10;

    /// Reads a pattern; what is wrong with it, in words that go on after it.
    pub fn new(pattern: &str) -> Result<Self, String> {
        regex_lite::RegexBuilder::new(pattern)
            .size_limit(Self::SIZE)
            .build()
            .map(Self)
            .map_err(|error| format!("is no regular expression: {error}"))
    }

    /// Whether some part of the line matches.
    pub fn is_in(&self, line: &str) -> bool {
        self.0.is_match(line)
    }
}
