//! What a commit may bring into the tree, wherever in it. In: a changed path and the mode that it gets. Out: why not, in words. Pure.
//!
//! Boxes never check a tree out, people do: what git refuses to check out, or what would do harm in somebody's clone, stays out.
//! Every other name is free where boxes do not read (`sources/`, …).

use crate::tree::Mode;

/// The longest name of a file that file systems take, in bytes.
const LONGEST: usize = 255;
/// A submodule: a clone makes an empty folder of it, and no box reads it.
const SUBMODULE: u32 = 0o160_000;

/// Why nothing may stand at this path with this mode.
pub fn why_not(path: &str, mode: Mode) -> Option<String> {
    if let Mode::Other(bits) = mode
        && bits != SUBMODULE
    {
        return Some(format!("has the mode {bits:o}, which is no file's"));
    }
    let of_name = path.split('/').find_map(name_why_not);
    let last = path.rsplit('/').next().unwrap_or(path);
    of_name.or_else(|| {
        let is_modules = mode == Mode::Link && last.eq_ignore_ascii_case(".gitmodules");
        is_modules.then(|| "is a link called .gitmodules, which git does not check out".into())
    })
}

/// Why nothing may have this name.
fn name_why_not(name: &str) -> Option<String> {
    // A byte that is no UTF-8 was replaced by a character of three.
    let bytes: usize = name
        .chars()
        .map(|c| if c == '\u{fffd}' { 1 } else { c.len_utf8() })
        .sum();
    if matches!(name, "" | "." | "..") || is_git(name) {
        Some("has a name that git does not check out".into())
    } else if name.chars().any(char::is_control) {
        Some("has a control character in its name".into())
    } else if bytes > LONGEST {
        Some(format!("has a name of more than {LONGEST} bytes"))
    } else {
        None
    }
}

/// Whether a file system of any kind could take this name for `.git`, as git's own `verify_path` asks: HFS+ leaves some
/// characters out, NTFS knows a short name, streams, and dots and spaces that it drops at the end.
fn is_git(name: &str) -> bool {
    let ignored = |c: char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let plain: String = name.chars().filter(|c| !ignored(*c)).collect();
    plain.split('\\').any(|piece| {
        let file = piece.split(':').next().unwrap_or_default();
        let file = file.trim_end_matches(['.', ' ']);
        file.eq_ignore_ascii_case(".git") || file.eq_ignore_ascii_case("git~1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(why_not(path, Mode::File).is_some(), "{path:?}");
        }
        for bits in [0, 0o106_755, 0o100_666, 0o100_664, 0o104_755, 0o60_000] {
            assert!(why_not("a", Mode::of(bits)).is_some(), "{bits:o}");
        }
        assert!(why_not("a/.gitmodules", Mode::Link).is_some());
    }

    #[test]
    fn every_other_name_is_free() {
        let long = "a".repeat(255);
        let replaced = "\u{fffd}".repeat(255);
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
            &replaced,
        ] {
            assert_eq!(why_not(path, Mode::File), None, "{path:?}");
        }
        for mode in [
            Mode::Executable,
            Mode::Link,
            Mode::Folder,
            Mode::of(SUBMODULE),
        ] {
            assert_eq!(why_not("a", mode), None, "{mode:?}");
        }
    }
}
