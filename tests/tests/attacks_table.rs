//! The table of attacks names tests that exist.

use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command};

#[test]
fn every_test_that_the_table_of_attacks_names_exists() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("a root")?;
    let table = fs::read_to_string(root.join("docs/explanation/attacks.md"))?;
    let sources = Command::new("grep")
        .args([
            "-rhoE",
            "fn [a-z0-9_]+",
            "--include=*.rs",
            "--exclude-dir=target",
            ".",
        ])
        .current_dir(root)
        .output()?;
    let sources = String::from_utf8(sources.stdout)?;
    let there: std::collections::BTreeSet<&str> = sources
        .lines()
        .filter_map(|line| line.strip_prefix("fn "))
        .collect();
    // A name of a test has several words; `sha1=` and paths have not.
    let words = table.split('`').skip(1).step_by(2);
    let named: Vec<&str> = words.filter(|word| word.matches('_').count() > 2).collect();
    assert!(named.len() > 100, "only {} names were found", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !there.contains(*name)).collect();
    assert!(missing.is_empty(), "no such test: {missing:#?}");
    Ok(())
}
