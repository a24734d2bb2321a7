//! "Bundles" of the attacks: every forged bundle is refused alone, by its rule, while what runs goes on.

use anyhow::Result;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
use swarm_manifests::status::State;
use swarm_tests::{
    ByHand, Deploy, SwarmBox, TICKER, World,
    by_hand::{File, Line},
    daemon, process,
};

const MAIN: &[u8] = b"echo owned; sleep 1000\n";

/// A forged bundle: what it is called, the rule that refuses it, a word of the reason, files and lock lines beside main.sh and bundle.toml.
struct Forged<'a> {
    name: &'a str,
    rule: &'a str,
    word: &'a str,
    files: &'a [File<'a>],
    lines: &'a [Line<'a>],
}

/// `what` is the entry by itself, listed in the lock as if it were good.
macro_rules! forged {
    ($name:literal, $rule:literal, $word:literal, $files:expr, $lines:expr) => {
        Forged {
            name: $name,
            rule: $rule,
            word: $word,
            files: $files,
            lines: $lines,
        }
    };
}

fn forge(hand: &ByHand<'_>, root: &str, forged: &Forged<'_>) -> Result<String> {
    let name = forged.name;
    let toml =
        format!("name = \"{name}\"\nversion = \"1.0.0\"\nengine = \"sh\"\nentry = \"main.sh\"\n");
    let mut lines: Vec<Line<'_>> = vec![
        ("644", "bundle.toml", toml.as_bytes()),
        ("644", "main.sh", MAIN),
    ];
    lines.extend(forged.lines);
    let lock = ByHand::lock(name, &lines);
    let signature = hand.sign("alice", "swarm-bundle@v1", &lock)?;
    let mut files: Vec<File<'_>> = vec![
        ("100644", b"bundle.lock", lock.as_bytes()),
        ("100644", b"bundle.lock.sig", signature.as_bytes()),
        ("100644", b"bundle.toml", toml.as_bytes()),
        ("100644", b"main.sh", MAIN),
    ];
    for file in forged.files {
        files.retain(|(_, path, _)| path != &file.1);
        files.push(*file);
    }
    let folder = hand.folder(&files)?;
    hand.graft(
        Some(root),
        &format!("bundles/{name}/1.0.0"),
        "40000",
        &folder,
    )
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn every_forged_bundle_is_refused_alone_and_what_runs_goes_on() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let hand = ByHand::new(&world, &deploy);
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    let before = here.until_runs("ticker", "1.0.0")?;
    let long = vec![b'n'; 300];
    let big = vec![b'x'; 3 << 20];
    let cases = [
        forged!(
            "submodule",
            "S-BUNDLE-12",
            "sub",
            &[("160000", b"sub", b"")],
            &[]
        ),
        forged!(
            "setuid",
            "S-BUNDLE-12",
            "106755",
            &[("106755", b"su", b"#!/bin/sh\n")],
            &[("755", "su", b"#!/bin/sh\n")]
        ),
        forged!(
            "setuid-main",
            "S-BUNDLE-12",
            "main.sh",
            &[("106755", b"main.sh", MAIN)],
            &[]
        ),
        forged!(
            "writable",
            "S-BUNDLE-12",
            "100666",
            &[("100666", b"w", b"w")],
            &[("644", "w", b"w")]
        ),
        forged!(
            "no-mode",
            "S-BUNDLE-12",
            "zero",
            &[("0", b"zero", b"w")],
            &[("644", "zero", b"w")]
        ),
        forged!(
            "git-upper",
            "S-BUNDLE-09",
            ".GIT",
            &[("100644", b".GIT/config", b"w")],
            &[]
        ),
        forged!(
            "git-short",
            "S-BUNDLE-09",
            "git~1",
            &[("100644", b"git~1/hooks", b"w")],
            &[]
        ),
        forged!(
            "newline",
            "S-BUNDLE-09",
            "",
            &[("100644", b"a\nb", b"w")],
            &[]
        ),
        forged!(
            "escape",
            "S-BUNDLE-09",
            "",
            &[("100644", b"a\x1b[2Jb", b"w")],
            &[]
        ),
        forged!(
            "not-utf8",
            "S-BUNDLE-09",
            "",
            &[("100644", b"a\xff", b"w")],
            &[]
        ),
        forged!(
            "dots",
            "S-BUNDLE-09",
            "..",
            &[("100644", b"../evil", b"w")],
            &[]
        ),
        forged!(
            "backslash",
            "S-BUNDLE-09",
            "",
            &[("100644", b"a\\b", b"w")],
            &[]
        ),
        forged!(
            "long",
            "S-BUNDLE-09",
            "300",
            &[("100644", &long, b"w")],
            &[]
        ),
        forged!(
            "absolute",
            "S-BUNDLE-10",
            "/etc/shadow",
            &[("120000", b"l", b"/etc/shadow")],
            &[("link", "l", b"/etc/shadow")]
        ),
        forged!(
            "out",
            "S-BUNDLE-10",
            "out of the bundle",
            &[("120000", b"d/l", b"../../../x")],
            &[("link", "d/l", b"../../../x")]
        ),
        forged!(
            "through",
            "S-BUNDLE-10",
            "out of the bundle",
            &[
                ("120000", b"out", b"x/y/up/../etc"),
                ("120000", b"x/y/up", b"../..")
            ],
            &[
                ("link", "out", b"x/y/up/../etc"),
                ("link", "x/y/up", b"../..")
            ]
        ),
        forged!(
            "circle",
            "S-BUNDLE-10",
            "circle",
            &[("120000", b"one", b"two"), ("120000", b"two", b"one")],
            &[("link", "one", b"two"), ("link", "two", b"one")]
        ),
        forged!(
            "extra",
            "S-BUNDLE-06",
            "extra.sh",
            &[("100644", b"extra.sh", b"w")],
            &[]
        ),
        forged!(
            "missing",
            "S-BUNDLE-05",
            "gone.sh",
            &[],
            &[("644", "gone.sh", b"w")]
        ),
        forged!(
            "differs",
            "S-BUNDLE-05",
            "data",
            &[("100644", b"data", b"one")],
            &[("644", "data", b"two")]
        ),
        forged!(
            "larger",
            "S-BUNDLE-05",
            "data",
            &[("100644", b"data", &big)],
            &[("644", "data", b"0123456789")]
        ),
    ];
    for case in &cases {
        deploy.write(&format!("manifests/{}.toml", case.name), daemon("1.0.0"))?;
    }
    deploy.git(&["add", "manifests"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "manifests"])?;
    let mut root = hand.head_tree()?;
    for case in &cases {
        root = forge(&hand, &root, case)?;
    }
    let commit = hand.commit(&root, "forged")?;
    deploy.push()?;
    let trusted = here.until_row("ticker", "told of the forged commit", |row| {
        row.commit.is_some()
    })?;
    assert_eq!(trusted.pid, before.pid);
    for case in &cases {
        let row = here.until_row(case.name, &format!("refused by {}", case.rule), |row| {
            row.state == State::Refused && row.rule.as_deref() == Some(case.rule)
        })?;
        let reason = row.reason.unwrap_or_default();
        assert!(
            reason.contains(case.word) && reason.contains(case.name),
            "{}: {reason}",
            case.name
        );
        assert!(
            !reason.contains('\u{1b}') && !reason.contains('\n'),
            "{reason:?}"
        );
    }
    let status = here.agent(&["status"])?;
    assert!(
        status.contains(&commit[..7]),
        "the trunk itself is good:\n{status}"
    );
    let after = here.until_runs("ticker", "1.0.0")?;
    assert_eq!(after.pid, before.pid, "a forged bundle touched what runs");
    nothing_odd_below(&here.path("state"))?;
    here.assert_no_panic();
    Ok(())
}

/// No setuid file, no file that others may write, no link out, anywhere in the store.
fn nothing_odd_below(state: &Path) -> Result<()> {
    let found = process::run(
        std::process::Command::new("find")
            .arg(state.join("store"))
            .args([
                "(", "-perm", "/6000", "-o", "-type", "f", "-perm", "/022", "-o", "-type", "l", ")",
            ]),
    )
    .or_else(|_| {
        process::run(
            std::process::Command::new("find")
                .arg(state)
                .args(["-type", "f", "-perm", "/6000"]),
        )
    })?;
    assert!(found.is_empty(), "{found}");
    Ok(())
}

#[test]
fn a_stored_file_changed_afterwards_is_noticed_before_the_next_start() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    here.until_runs("ticker", "1.0.0")?;
    let store = process::run(
        std::process::Command::new("find")
            .arg(here.path("state"))
            .args(["-path", "*/tree/main.sh"]),
    )?;
    let stored = Path::new(store.lines().next().unwrap_or_default());
    fs::set_permissions(stored, fs::Permissions::from_mode(0o644))?;
    fs::write(stored, "echo owned\n")?;
    fs::set_permissions(stored, fs::Permissions::from_mode(0o444))?;
    here.try_agent(&["restart", "ticker"])?;
    here.until_runs("ticker", "1.0.0")?;
    assert!(
        !here.printed("ticker")?.iter().any(|line| line == "owned"),
        "changed bytes ran"
    );
    assert_eq!(
        fs::read_to_string(stored)?,
        TICKER,
        "it was not stored anew"
    );
    here.assert_no_panic();
    Ok(())
}
