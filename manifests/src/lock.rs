//! bundle.lock: the canonical text and its digest (SPEC §3.2). Pure.
//!
//! Entries or the text come in; a [`Lock`] goes out, whose text is the only one that says the same.

use crate::{
    characters::fold_case,
    id::Digest,
    name::Name,
    problem::Refusal,
    rules::bundle::{LOCK, PATH, TOO_LARGE},
};
use semver::Version;
use std::{collections::HashMap, fmt::Write as _};

pub use crate::path::{MAX_DEPTH, check_link, check_links, check_path};

/// The namespace of a signature over bundle.lock.
pub const NAMESPACE: &str = "swarm-bundle@v1";
/// The most files a bundle may have.
pub const MAX_FILES: usize = 50_000;
/// The most bytes that a bundle's files may have together.
pub const MAX_BYTES: u64 = 1 << 30;
/// The files that no lock lists: they speak of it.
pub const UNLISTED: [&str; 2] = ["bundle.lock", "bundle.lock.sig"];

const HEAD: &str = "swarm-bundle-v1";

/// The kind of a listed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A plain file, mode 644.
    Plain,
    /// An executable file, mode 755.
    Executable,
    /// A symbolic link; hash and size are those of its target text.
    Link,
}

impl Kind {
    /// As it is written in the lock.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "644",
            Self::Executable => "755",
            Self::Link => "link",
        }
    }

    fn read(word: &str) -> Option<Self> {
        [Self::Plain, Self::Executable, Self::Link]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// One line of bundle.lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// SHA-256 of the bytes.
    pub hash: Digest,
    /// What it is.
    pub kind: Kind,
    /// In bytes.
    pub size: u64,
    /// Relative to the bundle.
    pub path: String,
}

/// A bundle.lock that was read or made; its text is canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    name: Name,
    version: Version,
    entries: Vec<Entry>,
}

impl Lock {
    /// Sorts the entries and checks every path and the limits.
    pub fn new(name: Name, version: Version, mut entries: Vec<Entry>) -> Result<Self, Refusal> {
        if entries.len() > MAX_FILES {
            return Err(Refusal::new(
                &TOO_LARGE,
                format!(
                    "the bundle has {} files, {MAX_FILES} at most",
                    entries.len()
                ),
            ));
        }
        entries.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        check_paths(&entries)?;
        let bytes = entries
            .iter()
            .try_fold(0_u64, |sum, entry| sum.checked_add(entry.size))
            .filter(|sum| *sum <= MAX_BYTES);
        if bytes.is_none() {
            return Err(Refusal::new(
                &TOO_LARGE,
                "the bundle's files have more than 1 GiB together",
            ));
        }
        Ok(Self {
            name,
            version,
            entries,
        })
    }

    /// Reads a bundle.lock; only the canonical text is taken.
    pub fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let refuse = |why: String| Refusal::new(&LOCK, format!("bundle.lock {why}"));
        let lines = text.split(|byte| *byte == b'\n').count() - 1;
        if lines > MAX_FILES + 3 {
            return Err(Refusal::new(
                &TOO_LARGE,
                format!("bundle.lock lists more than {MAX_FILES} files"),
            ));
        }
        let text = std::str::from_utf8(text).map_err(|_| refuse("is not UTF-8".into()))?;
        let mut lines = text
            .strip_suffix('\n')
            .ok_or_else(|| refuse("does not end with a newline".into()))?
            .split('\n');
        if lines.next() != Some(HEAD) {
            return Err(refuse(format!("does not begin with {HEAD}")));
        }
        let mut field = |word: &str| {
            lines
                .next()
                .and_then(|line| line.strip_prefix(word)?.strip_prefix(' '))
        };
        let name = field("name")
            .and_then(|name| Name::new(name).ok())
            .ok_or_else(|| refuse("has no name in line 2".into()))?;
        let version = field("version")
            .and_then(|version| Version::parse(version).ok())
            .ok_or_else(|| refuse("has no version in line 3".into()))?;
        let entries = lines.enumerate().map(|(at, line)| {
            entry(line).ok_or_else(|| refuse(format!("has no entry in line {}", at + 4)))
        });
        let lock = Self::new(name, version, entries.collect::<Result<_, _>>()?)?;
        if lock.text() != text {
            return Err(refuse("is not in its canonical form: order, spaces or numbers differ from what swarm-pack build writes".into()));
        }
        Ok(lock)
    }

    /// The canonical text.
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}\nname {}\nversion {}\n", self.name, self.version);
        for Entry {
            hash,
            kind,
            size,
            path,
        } in &self.entries
        {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{} {} {size} {path}", hash.hex(), kind.as_str());
        }
        text
    }

    /// The bundle's digest: the SHA-256 of the canonical text.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text().as_bytes())
    }

    /// The bundle's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The bundle's version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The files in order of their path's bytes.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.splitn(4, ' ');
    let hash = Digest::from_hex(words.next()?).ok()?;
    let kind = Kind::read(words.next()?)?;
    let size = words.next()?.parse().ok()?;
    Some(Entry {
        hash,
        kind,
        size,
        path: words.next()?.into(),
    })
}

/// Each path by itself, and all together: no file is a folder as well, no two differ in case only.
fn check_paths(entries: &[Entry]) -> Result<(), Refusal> {
    let refuse = |why: String| Err(Refusal::new(&PATH, why));
    // Folded path -> the path as it is written, and whether it is a folder.
    let mut seen: HashMap<String, (&str, bool)> = HashMap::with_capacity(entries.len());
    for Entry { path, .. } in entries {
        check_path(path)?;
        if UNLISTED.iter().any(|name| fold_case(path) == *name) {
            return Err(Refusal::new(
                &LOCK,
                format!("bundle.lock lists {path:?}; it may not list itself or its signature"),
            ));
        }
        let folders = path.match_indices('/').map(|(at, _)| (&path[..at], true));
        for (part, is_folder) in folders.chain([(path.as_str(), false)]) {
            match seen.insert(fold_case(part), (part, is_folder)) {
                Some((other, _)) if other != part => {
                    return refuse(format!("{other:?} and {part:?} are equal but for case"));
                }
                Some((_, was_folder)) if was_folder != is_folder => {
                    return refuse(format!("{part:?} is a file and a folder"));
                }
                Some(_) if !is_folder => return refuse(format!("{part:?} stands there twice")),
                None | Some(_) => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(path: &str) -> Entry {
        Entry {
            hash: Digest::of(path.as_bytes()),
            kind: Kind::Plain,
            size: 3,
            path: path.into(),
        }
    }

    fn lock(paths: &[&str]) -> Result<Lock, Refusal> {
        let name = Name::new("ramp").expect("a name");
        Lock::new(
            name,
            Version::new(1, 2, 0),
            paths.iter().map(|path| file(path)).collect(),
        )
    }

    #[test]
    fn the_text_is_the_one_of_the_contract() {
        let text = lock(&["b c", "a/x", "a.b"]).expect("a lock").text();
        let hash = |path: &str| Digest::of(path.as_bytes()).hex();
        let want = format!(
            "swarm-bundle-v1\nname ramp\nversion 1.2.0\n{} 644 3 a.b\n{} 644 3 a/x\n{} 644 3 b c\n",
            hash("a.b"),
            hash("a/x"),
            hash("b c")
        );
        assert_eq!(text, want);
    }

    #[test]
    fn paths_that_collide_are_refused() {
        for paths in [
            ["a", "A"],
            ["a/x", "A/y"],
            ["a", "a/b"],
            ["a", "a"],
            ["straße", "STRASSE"],
            ["x", "bundle.lock"],
            ["x", "Bundle.Lock.sig"],
        ] {
            assert!(lock(&paths).is_err(), "{paths:?}");
        }
    }

    #[test]
    fn more_than_a_gibibyte_together_is_refused() {
        let big = |size| Entry {
            size,
            ..file("big")
        };
        let make = |entries| {
            Lock::new(
                Name::new("b").expect("a name"),
                Version::new(1, 0, 0),
                entries,
            )
        };
        assert!(make(vec![big(MAX_BYTES)]).is_ok());
        assert!(make(vec![big(MAX_BYTES), file("a")]).is_err());
        assert!(make(vec![big(u64::MAX), file("a")]).is_err());
    }

    #[test]
    fn any_other_spelling_is_refused() {
        let text = lock(&["a", "b"]).expect("a lock").text();
        assert!(Lock::parse(text.as_bytes()).is_ok());
        let (head, lines) = text.split_at(text.find("1.2.0\n").expect("a version") + 6);
        let swapped: Vec<&str> = lines.lines().rev().collect();
        for bad in [
            text.replace('\n', "\r\n"),
            text.replace(" 3 a", " 03 a"),
            text.replace(" 3 a", " +3 a"),
            text.replace(" 3 a", "  3 a"),
            text.replace(" 644 ", " 664 "),
            text.trim_end().to_string(),
            format!("{text}\n"),
            format!("\u{feff}{text}"),
            format!("{head}{}\n", swapped.join("\n")),
            text.to_uppercase(),
            text.replace("v1", "v2"),
            text.replace("1.2.0", "1.2"),
            text.replace("name ramp", "name Ramp"),
            text.replace("name ramp\n", ""),
            String::new(),
        ] {
            assert!(Lock::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(paths in proptest::collection::btree_set("[a-zé .]{1,6}(/[a-z]{1,3}){0,3}", 0..20), size in 0..1000_u64) {
            let entries = paths.iter().map(|path| Entry { size, ..file(path) }).collect();
            if let Ok(lock) = Lock::new(Name::new("x").expect("a name"), Version::new(0, 1, 0), entries) {
                prop_assert_eq!(Lock::parse(lock.text().as_bytes()), Ok(lock));
            }
        }

        #[test]
        fn only_what_is_written_is_read(text in "swarm-bundle-v1\nname x\nversion 1.0.0\n([0-9a-f]{64} (644|755|link) [0-9]{1,3} [a-zA-Z./ ]{1,5}\n){0,3}[ \n]{0,1}") {
            if let Ok(lock) = Lock::parse(text.as_bytes()) {
                prop_assert_eq!(lock.text(), text);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Lock::parse(&bytes);
        }
    }
}
