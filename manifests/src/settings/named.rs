//! The files that an agent.toml names, each with its place: for whoever looks whether they are there. Pure.

use std::{ops::Range, path::PathBuf};
use toml::de::DeTable;

/// What has to be there when the agent starts. Not `[map] token-file`: it is used once.
const NAMED: [(&str, &str); 6] = [
    ("repository", "credentials-file"),
    ("repository", "known-hosts"),
    ("repository", "identity-file"),
    ("repository", "ca"),
    ("map", "ca"),
    ("webhook", "secret-file"),
];

/// A file that is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// By this key: `[webhook] secret-file`.
    pub key: String,
    /// Its path.
    pub path: PathBuf,
    /// Where in the text.
    pub span: Range<usize>,
}

/// The files that a good agent.toml names.
pub fn files(text: &str) -> Vec<NamedFile> {
    let (tree, _) = DeTable::parse_recoverable(text);
    let named = NAMED.iter().filter_map(|(table, key)| {
        let value = tree.get_ref().get(*table)?.get_ref().get(*key)?;
        Some(NamedFile {
            key: format!("[{table}] {key}"),
            path: value.get_ref().as_str()?.into(),
            span: value.span(),
        })
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_named_file_has_its_key_and_its_place() {
        let text = "[webhook]\nlisten = \"0.0.0.0:1\"\nsecret-file = \"/etc/s\"\n[map]\nurl = \"https://m\"\ntoken-file = \"/t\"\n";
        let found = files(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].key, "[webhook] secret-file");
        assert_eq!(&text[found[0].span.clone()], "\"/etc/s\"");
        assert!(files("[webhook]\nlisten = \"0.0.0.0:1\"\n").is_empty());
    }
}
