//! What a reader may rely on: every room is on the map of the house, says what it is, and is not too large.

use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

const CRATES: [&str; 7] = [
    "manifests",
    "repository",
    "wire",
    "supervisor",
    "agent",
    "packager",
    "map",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every source file below a crate's `src`, relative to it.
fn rooms(krate: &str) -> Result<Vec<PathBuf>> {
    let top = root().join(krate).join("src");
    let (mut found, mut folders) = (Vec::new(), vec![top.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path.strip_prefix(&top)?.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Tests that lie in a file of their own.
fn is_test(room: &Path) -> bool {
    room.file_stem()
        .is_some_and(|stem| stem == "tests" || stem == "simulation")
}

fn text(krate: &str, room: &Path) -> Result<String> {
    Ok(fs::read_to_string(
        root().join(krate).join("src").join(room),
    )?)
}

/// Those for which `wrong` says something, a line each.
fn complaints(wrong: impl Fn(&str, &Path, &str) -> Option<String>) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for krate in CRATES {
        for room in rooms(krate)? {
            all.extend(
                wrong(krate, &room, &text(krate, &room)?)
                    .map(|what| format!("{krate}/src/{}: {what}", room.display())),
            );
        }
    }
    Ok(all)
}

#[test]
fn every_room_says_first_what_it_is() -> Result<()> {
    let silent = complaints(|_, room, text| {
        (!text.starts_with("//!") && !is_test(room)).then(|| "does not begin with //!".into())
    })?;
    assert!(silent.is_empty(), "{}", silent.join("\n"));
    Ok(())
}

#[test]
fn no_room_has_two_ideas() -> Result<()> {
    let large = complaints(|_, room, text| {
        let lines = text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .count();
        (lines > 400 && !is_test(room))
            .then(|| format!("{lines} lines before its tests, more than 400"))
    })?;
    assert!(large.is_empty(), "{}", large.join("\n"));
    Ok(())
}

#[test]
fn every_room_is_on_the_map_of_the_house() -> Result<()> {
    let house = fs::read_to_string(root().join("ARCHITECTURE.md"))?;
    let missing = complaints(|krate, room, _| {
        let name = room.display().to_string();
        let trivial = matches!(name.as_str(), "lib.rs" | "main.rs")
            || name.ends_with("/tests.rs")
            || name.ends_with("/mod.rs");
        let entry = format!("`{krate}/{}`", name.trim_end_matches(".rs"));
        (!trivial && !house.contains(&entry)).then(|| format!("ARCHITECTURE.md has no {entry}"))
    })?;
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    Ok(())
}

#[test]
fn only_the_operating_systems_rooms_are_unsafe() -> Result<()> {
    let unsafe_ones = complaints(|krate, room, text| {
        let allowed = krate == "supervisor" && room.starts_with("os");
        let mut lines = text.lines().filter(|line| {
            let line = line.trim_start();
            // libgit2's options are global, so git2 calls setting them unsafe; they are set once, before anything else.
            let option = krate == "repository" && line.contains("git2::opts::");
            !line.starts_with("//") && !option
        });
        let has = lines.any(|line| {
            ["unsafe {", "unsafe fn", "unsafe impl"]
                .iter()
                .any(|word| line.contains(word))
        });
        (has && !allowed).then(|| "has unsafe code".into())
    })?;
    assert!(unsafe_ones.is_empty(), "{}", unsafe_ones.join("\n"));
    Ok(())
}

#[test]
fn deciding_rooms_touch_nothing() -> Result<()> {
    let pure = |krate: &str, room: &Path| {
        krate == "manifests"
            || (krate == "supervisor" && room.starts_with("machine"))
            || (krate == "agent" && (room.starts_with("resolve") || room == Path::new("plan.rs")))
    };
    let touching = complaints(|krate, room, text| {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let used = [
            "tokio::",
            "std::fs",
            "git2::",
            "nix::",
            "std::net::Tcp",
            "SystemTime::now",
            "Instant::now",
        ]
        .into_iter()
        .find(|word| code.contains(word))?;
        pure(krate, room).then(|| format!("is said to be pure and uses {used}"))
    })?;
    assert!(touching.is_empty(), "{}", touching.join("\n"));
    Ok(())
}

#[test]
fn the_crates_know_only_whom_they_may() -> Result<()> {
    let may = [
        ("manifests", &[][..]),
        ("repository", &["manifests"]),
        ("wire", &["manifests"]),
        ("supervisor", &["manifests"]),
        ("agent", &["manifests", "repository", "wire", "supervisor"]),
        ("packager", &["manifests", "repository", "wire"]),
        // The supervisor for its sandbox only: the map, too, takes packs apart that came from the network.
        ("map", &["manifests", "repository", "wire", "supervisor"]),
    ];
    for (krate, known) in may {
        let cargo = fs::read_to_string(root().join(krate).join("Cargo.toml"))?;
        for other in ["manifests", "repository", "wire", "supervisor"] {
            let knows = cargo.contains(&format!("swarm-{other}.workspace"));
            assert!(
                !knows || known.contains(&other),
                "{krate} may not know {other}"
            );
        }
        let git2 = cargo.lines().any(|line| line.starts_with("git2"));
        assert!(
            !git2 || krate == "repository",
            "{krate} uses git2; only repository may"
        );
        let nix = cargo.lines().any(|line| line.starts_with("nix"));
        assert!(
            !nix || krate == "supervisor",
            "{krate} uses nix; only supervisor may"
        );
    }
    Ok(())
}

#[test]
fn every_rule_has_its_page() -> Result<()> {
    let page = fs::read_to_string(root().join("docs/reference/rules.md"))?;
    for rule in swarm_manifests::rules::all() {
        let entry = format!(
            "## {}: {}\n\n{}\n\nWhat to do: {}\n",
            rule.id, rule.title, rule.meaning, rule.remedy
        );
        assert!(
            page.contains(&entry),
            "docs/reference/rules.md lacks or differs for {}; write it anew: cargo run -p swarm-tests --bin rules > docs/reference/rules.md",
            rule.id
        );
    }
    Ok(())
}

/// `./dev mutants` plants each of them where this text stands, once.
#[test]
fn every_mutant_still_has_its_place() -> Result<()> {
    let table: toml::Table = fs::read_to_string(root().join("tests/mutants.toml"))?.parse()?;
    let mutants = table.get("mutant").and_then(toml::Value::as_array);
    let mut lost = Vec::new();
    for mutant in mutants.context("no mutants")? {
        let field = |key: &str| {
            mutant
                .get(key)
                .and_then(toml::Value::as_str)
                .context("a field")
        };
        let text = fs::read_to_string(root().join(field("file")?))?;
        let count = text.matches(field("find")?).count();
        if count != 1 {
            lost.push(format!(
                "{}: {count} times in {}",
                field("rule")?,
                field("file")?
            ));
        }
    }
    assert!(lost.is_empty(), "tests/mutants.toml: {lost:#?}");
    Ok(())
}
