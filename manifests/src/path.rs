//! Paths inside a bundle, and links between them (SPEC §3.2). Pure.

use crate::{
    characters::{find_hidden, is_ignored_by_hfs},
    problem::Refusal,
    rules::bundle::{LINK, PATH, TOO_LARGE},
};
use std::collections::BTreeMap;

/// The deepest path, in components.
pub const MAX_DEPTH: usize = 32;
/// The longest component, in bytes.
pub const MAX_COMPONENT: usize = 255;
/// The longest target of a link, in bytes (Linux `PATH_MAX` without its NUL).
pub const MAX_TARGET: usize = 4095;
/// So many links may be followed one after another (as Linux does).
const MAX_LINKS: usize = 40;
/// So many components are walked for all links of a bundle together: one that is made of nothing but links keeps no box busy.
const MAX_STEPS: u32 = 2_000_000;

/// Checks one path of a bundle: its components, its depth.
pub fn check_path(path: &str) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::new(&PATH, format!("{path:?} {why}")));
    if path.is_empty() {
        return refuse("is empty");
    }
    if path.starts_with('/') {
        return refuse("is absolute");
    }
    for component in path.split('/') {
        if let Some(why) = why_not_component(component) {
            return refuse(&why);
        }
    }
    let depth = path.split('/').count();
    if depth > MAX_DEPTH {
        return Err(Refusal::new(
            &TOO_LARGE,
            format!("{path:?} is {depth} deep, {MAX_DEPTH} at most"),
        ));
    }
    Ok(())
}

fn why_not_component(component: &str) -> Option<String> {
    Some(match component {
        "" => "has an empty component".into(),
        "." | ".." => format!("has the component {component}"),
        _ if component.len() > MAX_COMPONENT => format!(
            "has a component of {} bytes, {MAX_COMPONENT} at most",
            component.len()
        ),
        _ if component.contains('\\') => "has a backslash".into(),
        _ if is_git(component) => {
            format!("has the component {component:?}, which some system reads as .git")
        }
        _ => format!("has the character {:?}", find_hidden(component)?),
    })
}

/// Whether some system takes the name for `.git`: other case, trailing dots and spaces, a stream or the short name of
/// NTFS, characters that HFS+ ignores.
fn is_git(component: &str) -> bool {
    let plain: String = component
        .chars()
        .filter(|&c| !is_ignored_by_hfs(c))
        .flat_map(char::to_lowercase)
        .collect();
    let plain = plain
        .split(':')
        .next()
        .unwrap_or_default()
        .trim_end_matches(['.', ' ']);
    plain == ".git" || plain == "git~1"
}

/// Checks that a link at `path` with this target text stays inside the bundle, as the text says it;
/// [`check_links`] follows links through links.
pub fn check_link(path: &str, target: &str) -> Result<(), Refusal> {
    follow(path, target, &BTreeMap::new(), &mut { MAX_STEPS })
}

/// Checks all links of a bundle, path to target, together: none leads out of the bundle through another one, or in a circle.
pub fn check_links(links: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let mut steps = MAX_STEPS;
    for (path, target) in links {
        let within = path
            .match_indices('/')
            .find(|(at, _)| links.contains_key(&path[..*at]));
        if let Some((at, _)) = within {
            return Err(Refusal::new(
                &LINK,
                format!("{path:?} lies below the link {:?}", &path[..at]),
            ));
        }
        follow(path, target, links, &mut steps)?;
    }
    Ok(())
}

fn follow(
    path: &str,
    target: &str,
    links: &BTreeMap<String, String>,
    steps: &mut u32,
) -> Result<(), Refusal> {
    let refuse = |why: String| {
        Err(Refusal::new(
            &LINK,
            format!("the link {path:?} -> {target:?} {why}"),
        ))
    };
    if target.is_empty() || target.len() > MAX_TARGET {
        return refuse(format!("has a target of {} bytes", target.len()));
    }
    if let Some(c) = find_hidden(target).or(target.contains('\\').then_some('\\')) {
        return refuse(format!("has the character {c:?} in its target"));
    }
    let mut here: Vec<&str> = path.split('/').collect();
    here.pop();
    // What is still to walk, the next component last.
    let mut ahead: Vec<&str> = target.rsplit('/').collect();
    if target.starts_with('/') {
        return refuse("is absolute".into());
    }
    let mut followed = 0;
    while let Some(component) = ahead.pop() {
        *steps = steps.saturating_sub(1);
        if *steps == 0 {
            return refuse("and the others have more components than can be followed".into());
        }
        match component {
            "" | "." => continue,
            ".." => {
                if here.pop().is_none() {
                    return refuse("leads out of the bundle".into());
                }
                continue;
            }
            _ if here.len() >= MAX_DEPTH => {
                return refuse(format!("leads deeper than {MAX_DEPTH} folders"));
            }
            name => here.push(name),
        }
        if let Some(next) = links.get(&here.join("/")) {
            followed += 1;
            if followed > MAX_LINKS {
                return refuse("leads in a circle, or through too many links".into());
            }
            if next.starts_with('/') {
                return refuse(format!(
                    "leads through {:?}, which is absolute",
                    here.join("/")
                ));
            }
            here.pop();
            ahead.extend(next.rsplit('/'));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_taken() {
        for path in [
            "a",
            "a/b",
            "with space/[x]{y}",
            "ä/é.txt",
            ".gitignore",
            ".github/x",
            "git~2",
            "a.git",
            "...",
            "-rf",
        ] {
            assert_eq!(check_path(path), Ok(()), "{path:?}");
        }
        assert_eq!(check_path(&["a"; 32].join("/")), Ok(()));
    }

    #[test]
    fn odd_paths_are_refused() {
        let deep = ["a"; 33].join("/");
        let long = "x".repeat(256);
        let paths = [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "./a",
            "a\\b",
            "a\nb",
            "a\0b",
            "a\u{7f}",
            "a\u{85}b",
            "a\u{202e}b",
            ".git",
            ".GIT/config",
            "x/.gIt",
            ".git.",
            ".git ",
            ".git. .",
            "git~1",
            "GIT~1",
            ".g\u{200c}it",
            ".git\u{feff}",
            ".git::$INDEX_ALLOCATION",
            &deep,
            &long,
        ];
        for path in paths {
            assert!(check_path(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_link_stays_inside() {
        for (path, target) in [
            ("a", "b"),
            ("a/b", "../c"),
            ("bin/x", "./../lib//y"),
            ("a/b", ".."),
        ] {
            assert_eq!(check_link(path, target), Ok(()), "{path} -> {target}");
        }
        for (path, target) in [
            ("a", ".."),
            ("a", "/etc/passwd"),
            ("a/b", "../../c"),
            ("a", ""),
            ("a", "b\0"),
            ("a", "c/../../d"),
            ("a", "x\\y"),
        ] {
            assert!(check_link(path, target).is_err(), "{path} -> {target}");
        }
    }

    #[test]
    fn links_through_links_are_followed() {
        let check = |links: &[(&str, &str)]| {
            check_links(
                &links
                    .iter()
                    .map(|(p, t)| ((*p).into(), (*t).into()))
                    .collect(),
            )
        };
        assert_eq!(check(&[("a", "b"), ("b", "c")]), Ok(()));
        assert_eq!(check(&[("bin/x", "../lib/y"), ("lib/y", "z")]), Ok(()));
        assert!(check(&[("a", "b"), ("b", "a")]).is_err(), "a circle");
        assert!(check(&[("a", "a")]).is_err(), "a circle of one");
        // By its text `x/up/..` stays inside; through the link `x/up` it does not.
        assert!(
            check(&[("x/y/up", "../.."), ("out", "x/y/up/..")]).is_err(),
            "out through another"
        );
        assert!(check(&[("a", "b"), ("a/c", "d")]).is_err(), "below a link");
    }

    #[test]
    fn a_bundle_made_of_links_is_refused_soon() {
        let around = "d/../".repeat(800);
        let links = (0..50_000)
            .map(|at| (format!("l{at}"), format!("{around}l{}", at / 2 + 1)))
            .collect();
        assert!(check_links(&links).is_err(), "more than can be followed");
        let deep = check_link("a", &"d/".repeat(MAX_DEPTH + 1));
        assert!(deep.is_err(), "deeper than any bundle");
    }
}
