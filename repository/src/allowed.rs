//! What a commit may bring into the tree, wherever in it. In: a changed path and the mode that it gets. Out: why not, in words. Pure.
//!
//! Boxes never check a tree out, people do: what git refuses to check out, or what would do harm in somebody's clone, stays out.
//! Every other name is free where boxes do not read (`sources/`, …).

use crate::{changes::Change, tree::Mode};

/// The longest name of a file that file systems take, in bytes.
const LONGEST: usize = 255;
/// A submodule: a clone makes an empty folder of it, and no box reads it.
const SUBMODULE: u32 = 0o160_000;

/// Why what a commit changes here may not stand with this mode.
pub fn why_not(change: &Change<'_>, mode: Mode) -> Option<String> {
    if let Mode::Other(bits) = mode
        && bits != SUBMODULE
    {
        return Some(format!("has the mode {bits:o}, which is no file's"));
    }
    if change.path.split('/').any(is_not_checked_out) {
        return Some("has a name that git does not check out".into());
    }
    if change.path.chars().any(char::is_control) {
        return Some("has a control character in its name".into());
    }
    let mut names = change.raw.split(|byte| *byte == b'/');
    if names.any(|name| name.len() > LONGEST) {
        return Some(format!("has a name of more than {LONGEST} bytes"));
    }
    let is_modules = mode == Mode::Link && change.path.split('/').any(is_modules);
    is_modules.then(|| {
        "is a link that some system takes for .gitmodules, which git does not check out".into()
    })
}

fn is_not_checked_out(name: &str) -> bool {
    matches!(name, "" | "." | "..") || could_be(name, |file| is_one_of(file, &[".git", "git~1"]))
}

/// Whether a file system of any kind could take this name for `.gitmodules`, as git's own `is_ntfs_dotgitmodules` and
/// `is_hfs_dotgitmodules` ask. The short name that NTFS makes is `gitmod~1` to `~4`, or `gi7eba~1` and so on, where those are taken.
fn is_modules(name: &str) -> bool {
    let hashed = |file: &str| {
        let (stem, number) = file.split_once('~')?;
        let is_number =
            number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
        let has_stem = "gi7eba".get(..stem.len())?.eq_ignore_ascii_case(stem);
        Some(is_number && has_stem && file.len() == "gi7eba~1".len() && !number.is_empty())
    };
    let short = ["gitmod~1", "gitmod~2", "gitmod~3", "gitmod~4"];
    could_be(name, |file| {
        file.eq_ignore_ascii_case(".gitmodules")
            || is_one_of(file, &short)
            || hashed(file).unwrap_or_default()
    })
}

fn is_one_of(file: &str, names: &[&str]) -> bool {
    names.iter().any(|name| file.eq_ignore_ascii_case(name))
}

/// Whether a file system of any kind could take this name for one of these files, as git's own `verify_path` asks: HFS+ leaves some
/// characters out, NTFS knows streams, folders behind a backslash, and dots and spaces that it drops at the end.
fn could_be(name: &str, is_it: impl Fn(&str) -> bool) -> bool {
    let ignored = |c: char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let plain: String = name.chars().filter(|c| !ignored(*c)).collect();
    plain.split('\\').any(|piece| {
        let file = piece.split(':').next().unwrap_or_default();
        is_it(file.trim_end_matches(['.', ' ']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_manifests::id::Oid;

    fn of(path: &str, mode: Mode) -> Option<String> {
        of_bytes(path.as_bytes(), mode)
    }

    fn of_bytes(raw: &[u8], mode: Mode) -> Option<String> {
        let path = String::from_utf8_lossy(raw);
        let change = Change {
            path: &path,
            raw,
            is_text: std::str::from_utf8(raw).is_ok(),
            old: None,
            new: Some((mode, Oid([0; 20]))),
        };
        why_not(&change, mode)
    }

    #[test]
    fn what_git_does_not_check_out_or_harms_a_clone_stays_out() {
        let long = "a".repeat(256);
        for path in [
            "..",
            "sources/../x",
            "a/.",
            ".git/config",
            "sources/x/.GIT/hooks/post-checkout",
            "git~1",
            "GIT~1/x",
            ".git.",
            ".git ",
            ".git::$INDEX_ALLOCATION/x",
            "a\\.git\\config",
            ".g\u{200c}it/x",
            "new\nline",
            "esc\u{1b}[2J",
            "del\u{7f}",
            &long,
        ] {
            assert!(of(path, Mode::File).is_some(), "{path:?}");
        }
        for bits in [0, 0o106_755, 0o100_666, 0o100_664, 0o104_755, 0o60_000] {
            assert!(of("a", Mode::of(bits)).is_some(), "{bits:o}");
        }
    }

    #[test]
    fn a_link_that_some_system_takes_for_gitmodules_stays_out() {
        for name in [".gitmodules", "GITMOD~4", "gi7eba~1", "\u{feff}.gitmoduleS"] {
            for path in [
                name.to_string(),
                format!("sources/{name}"),
                format!("{name}/x"),
            ] {
                assert!(of(&path, Mode::Link).is_some(), "{path:?}");
                assert_eq!(of(&path, Mode::File), None, "{path:?}");
            }
        }
        for name in ["gitmod~5", ".gitmodules.txt", ".gitattributes"] {
            assert_eq!(of(name, Mode::Link), None, "{name:?}");
        }
    }

    #[test]
    fn a_name_is_as_long_as_its_bytes() {
        let said = Some("has a name of more than 255 bytes".to_string());
        assert_eq!(
            of_bytes(&[b"a/", &[0xff; 255][..]].concat(), Mode::File),
            None
        );
        assert_eq!(
            of_bytes(&[b"a/", &[0xff; 256][..]].concat(), Mode::File),
            said
        );
        assert_eq!(of(&"\u{fffd}".repeat(85), Mode::File), None);
        assert_eq!(of(&"\u{fffd}".repeat(86), Mode::File), said);
    }

    #[test]
    fn every_other_name_is_free() {
        let long = "a".repeat(255);
        for path in [
            "sources/ä ö/ü.txt",
            ".github/workflows/check.yml",
            ".gitignore",
            ".gitmodules",
            "git~2",
            "...",
            "a\\b",
            "con:",
            "-rf",
            "\u{1f980}",
            &long,
        ] {
            assert_eq!(of(path, Mode::File), None, "{path:?}");
        }
        for mode in [
            Mode::Executable,
            Mode::Link,
            Mode::Folder,
            Mode::of(SUBMODULE),
        ] {
            assert_eq!(of("a", mode), None, "{mode:?}");
        }
    }
}
