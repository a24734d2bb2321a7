//! bundle.lock: the canonical text, its digest, and the rules for paths (SPEC §3.2). Pure.

use crate::{id::Digest, name::Name, problem::Refusal, rules::bundle::{LINK, LOCK, PATH, TOO_LARGE}};
use semver::Version;
use std::{collections::{HashMap, HashSet}, fmt::Write};

/// The namespace of a signature over bundle.lock.
pub const NAMESPACE: &str = "swarm-bundle@v1";
/// The most files a bundle may have.
pub const MAX_FILES: usize = 50_000;
/// The most bytes that a bundle's files may have together.
pub const MAX_BYTES: u64 = 1 << 30;
/// The deepest path, in components.
pub const MAX_DEPTH: usize = 32;

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

const HEADER: &str = "swarm-bundle-v1";
/// The largest bundle.lock that is read, in bytes: 50,000 lines of the longest sort would be more, and nobody has those.
pub const MAX_TEXT: usize = 32 << 20;

impl Lock {
    /// Sorts the entries and checks every path and the limits.
    pub fn new(name: Name, version: Version, mut entries: Vec<Entry>) -> Result<Self, Refusal> {
        entries.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        check_entries(&entries)?;
        Ok(Self { name, version, entries })
    }

    /// Reads a bundle.lock; only the canonical text is taken.
    pub fn parse(text: &[u8]) -> Result<Self, Refusal> {
        if text.len() > MAX_TEXT {
            return Err(Refusal::new(&TOO_LARGE, format!("bundle.lock has {} bytes", text.len())));
        }
        let refused = |what: String| Refusal::new(&LOCK, format!("bundle.lock {what}"));
        let text = std::str::from_utf8(text).map_err(|_| refused("is not UTF-8".into()))?;
        let mut lines = text.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(refused(format!("does not begin with {HEADER}")));
        }
        let name = lines.next().and_then(|line| line.strip_prefix("name ")).and_then(|name| Name::new(name).ok());
        let name = name.ok_or_else(|| refused("line 2 is not a name".into()))?;
        let version = lines.next().and_then(|line| line.strip_prefix("version ")).and_then(|text| Version::parse(text).ok());
        let version = version.ok_or_else(|| refused("line 3 is not a version".into()))?;
        let mut entries = Vec::new();
        for (at, line) in lines.enumerate() {
            if line.is_empty() {
                continue; // Only the end may be empty; the comparison below sees to it.
            }
            entries.push(entry(line).ok_or_else(|| refused(format!("line {} is not a file's", at + 4)))?);
            if entries.len() > MAX_FILES {
                break;
            }
        }
        let lock = Self::new(name, version, entries)?;
        // What does not read back as itself has another order, other blanks, another line ending, or digits of another form.
        if lock.text() == text { Ok(lock) } else { Err(refused("is not canonical".into())) }
    }

    /// The canonical text.
    pub fn text(&self) -> String {
        let mut text = format!("{HEADER}\nname {}\nversion {}\n", self.name, self.version);
        for entry in &self.entries {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} {} {} {}", entry.hash.hex(), entry.kind.as_str(), entry.size, entry.path);
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

impl Kind {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "644",
            Self::Executable => "755",
            Self::Link => "link",
        }
    }
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.splitn(4, ' ');
    let hash = Digest::from_hex(words.next()?).ok()?;
    let kind = match words.next()? {
        "644" => Kind::Plain,
        "755" => Kind::Executable,
        "link" => Kind::Link,
        _ => return None,
    };
    let size = words.next()?.parse().ok()?;
    Some(Entry { hash, kind, size, path: words.next()?.to_string() })
}

/// Checks paths one by one and against each other, and the limits. The entries are sorted, or will be refused as not canonical.
fn check_entries(entries: &[Entry]) -> Result<(), Refusal> {
    if entries.len() > MAX_FILES {
        return Err(Refusal::new(&TOO_LARGE, format!("the bundle has more than {MAX_FILES} files")));
    }
    let total = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.size));
    if total > MAX_BYTES {
        return Err(Refusal::new(&TOO_LARGE, format!("the bundle has {total} bytes, more than {MAX_BYTES}")));
    }
    let mut folded: HashMap<String, &str> = HashMap::with_capacity(entries.len());
    for entry in entries {
        check_path(&entry.path)?;
        if matches!(entry.path.as_str(), "bundle.lock" | "bundle.lock.sig") {
            return Err(Refusal::new(&LOCK, format!("bundle.lock lists {}, which it never does", entry.path)));
        }
        // The folders above count too: `A/x` and `a/y` are one folder where case does not count.
        for (end, _) in entry.path.match_indices('/').chain([(entry.path.len(), "")]) {
            let part = &entry.path[..end];
            let is_file = end == entry.path.len();
            match folded.insert(part.to_lowercase(), part) {
                Some(other) if other != part => return Err(Refusal::new(&PATH, format!("{other} and {part} are equal but for case"))),
                Some(_) if is_file => return Err(Refusal::new(&PATH, format!("{part} stands there twice, or is a file and a folder"))),
                _ => {}
            }
        }
    }
    // A file above another one: its path was inserted as a file first, then met again as a folder.
    let files: HashSet<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    for entry in entries {
        if let Some((end, _)) = entry.path.match_indices('/').find(|(end, _)| files.contains(&entry.path[..*end])) {
            return Err(Refusal::new(&PATH, format!("{} lies below {}, which is a file or a link", entry.path, &entry.path[..end])));
        }
    }
    Ok(())
}

/// Checks one path of a bundle: its components, its depth.
pub fn check_path(path: &str) -> Result<(), Refusal> {
    let refused = |what: &str| Err(Refusal::new(&PATH, format!("{path:?} {what}")));
    if path.split('/').count() > MAX_DEPTH {
        return refused("is more than 32 components deep");
    }
    for component in path.split('/') {
        if component.is_empty() || component == "." || component == ".." {
            return refused("has an empty component, or . or ..");
        }
        if component.len() > 255 {
            return refused("has a component of more than 255 bytes");
        }
        if component.chars().any(|c| c.is_control() || c == '\\' || is_bidirectional(c)) {
            return refused("has a control character, a bidirectional mark or a backslash");
        }
        if is_dot_git(component) {
            return refused("has a component that some file system takes for .git");
        }
    }
    Ok(())
}

/// Whether a character turns the direction of what is shown (Unicode TR 9).
pub fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `.git` as case-insensitive, NTFS and HFS+ file systems know it: `.GIT`, `.git. `, `git~1`, `.g\u{200c}it`.
fn is_dot_git(component: &str) -> bool {
    let kept: String = component
        .chars()
        .filter(|c| !matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'))
        .flat_map(char::to_lowercase)
        .collect();
    let stem = kept.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    stem == ".git" || stem.strip_prefix("git~").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

/// Checks that a link at `path` with this target text stays inside the bundle.
pub fn check_link(path: &str, target: &str) -> Result<(), Refusal> {
    let refused = |what: &str| Err(Refusal::new(&LINK, format!("the link {path:?} to {target:?} {what}")));
    if target.is_empty() || target.len() > 4095 || target.chars().any(|c| c.is_control() || c == '\\') {
        return refused("has a target that no link may have");
    }
    if target.starts_with('/') {
        return refused("is absolute");
    }
    let mut depth = path.matches('/').count();
    for component in target.split('/') {
        match component {
            "" | "." => {}
            ".." if depth == 0 => return refused("leaves the bundle"),
            ".." => depth -= 1,
            component if is_dot_git(component) => return refused("goes into .git"),
            _ => depth += 1,
        }
    }
    Ok(())
}

/// Checks all links of a bundle together: none through another link, none into a cycle. `links` is (path, target text).
pub fn check_links(links: &[(&str, &str)]) -> Result<(), Refusal> {
    let paths: HashSet<&str> = links.iter().map(|(path, _)| *path).collect();
    for (path, target) in links {
        check_link(path, target)?;
        let mut at: Vec<&str> = path.split('/').collect();
        at.pop();
        for component in target.split('/') {
            match component {
                "" | "." => continue,
                ".." => drop(at.pop()),
                component => at.push(component),
            }
            if paths.contains(at.join("/").as_str()) {
                return Err(Refusal::new(&LINK, format!("the link {path:?} to {target:?} goes through the link {:?}", at.join("/"))));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(paths: &[&str]) -> Result<Lock, Refusal> {
        let entries = paths.iter().map(|path| Entry { hash: Digest::of(b""), kind: Kind::Plain, size: 0, path: (*path).into() });
        Lock::new(Name::new("ramp").expect("a name"), Version::new(1, 2, 0), entries.collect())
    }

    #[test]
    fn what_is_written_reads_back_as_itself() {
        let lock = lock(&["b", "a b/ü[x]", "a"]).expect("a lock");
        assert_eq!(Lock::parse(lock.text().as_bytes()), Ok(lock));
    }

    #[test]
    fn only_the_canonical_text_is_taken() {
        let text = lock(&["a", "b"]).expect("a lock").text();
        for wrong in [text.replace('\n', "\r\n"), text.trim_end().to_string(), text.clone() + "\n", text.replace(" 0 ", " 00 "), text.replace("644", " 644")] {
            assert_eq!(Lock::parse(wrong.as_bytes()).expect_err(&wrong).rule.id, "S-BUNDLE-02", "{wrong:?}");
        }
        let mut lines: Vec<&str> = text.lines().collect();
        lines.swap(3, 4);
        assert!(Lock::parse((lines.join("\n") + "\n").as_bytes()).is_err(), "another order was taken");
    }

    #[test]
    fn paths_that_no_bundle_may_have_are_refused() {
        for path in ["", "/a", "a/", "a//b", "..", "a/../b", ".git", "x/.GIT/y", ".git. ", "git~1", ".g\u{200c}it", "a\\b", "a\nb", "a\u{202e}b"] {
            assert!(check_path(path).is_err(), "{path:?} was taken");
        }
        assert!(check_path(&vec!["a"; 33].join("/")).is_err());
        assert!(check_path(&"a".repeat(256)).is_err());
        for path in ["a", ".gitignore", "git~x", "a b/[c]/ü.txt", "..."] {
            assert!(check_path(path).is_ok(), "{path:?} was refused");
        }
    }

    #[test]
    fn no_two_paths_collide() {
        for paths in [&["a", "A"][..], &["a/x", "A/y"], &["a", "a/b"], &["a", "a"], &["a", "a-", "a/b"]] {
            assert!(lock(paths).is_err(), "{paths:?} was taken");
        }
        assert!(lock(&["a/x", "a/y", "b"]).is_ok());
    }

    #[test]
    fn links_stay_inside_and_go_through_no_other_link() {
        assert!(check_link("bin/run", "../lib/x").is_ok());
        for target in ["/etc/passwd", "../../x", "", "../.git/x"] {
            assert!(check_link("bin/run", target).is_err(), "{target:?} was taken");
        }
        assert!(check_links(&[("a", "b/c"), ("b", "d")]).is_err());
        assert!(check_links(&[("a", "b"), ("b", "a")]).is_err());
        assert!(check_links(&[("a", "d"), ("b", "d")]).is_ok());
    }
}
