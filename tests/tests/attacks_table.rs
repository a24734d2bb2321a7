//! The table of attacks has a row for each line of the list of attacks and each rule of trust, and names tests that exist.

use anyhow::{Context, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// How many lines may still be open; fewer is the only way to change it.
const OPEN: usize = 1;

fn root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    Ok(root.context("a root")?.to_path_buf())
}

/// The rows of the table: what is tried -> what shows it.
fn rows() -> Result<BTreeMap<String, String>> {
    let table = fs::read_to_string(root()?.join("docs/explanation/attacks.md"))?;
    let rows = table.lines().filter_map(|line| {
        let (tried, shown) = line
            .strip_prefix("| ")?
            .strip_suffix(" |")?
            .rsplit_once(" | ")?;
        Some((tried.to_string(), shown.to_string()))
    });
    Ok(rows.collect())
}

/// The lines of the list of attacks.
fn attacks() -> Result<Vec<String>> {
    let list = fs::read_to_string(root()?.join("docs/reference/attacks.md"))?;
    let mut attacks = Vec::new();
    for section in list.split("\n## ").skip(1) {
        let (_, body) = section.split_once('\n').context("a section")?;
        let words: Vec<&str> = body.split_whitespace().collect();
        let body = words.join(" ");
        attacks.extend(body.split(" · ").map(|attack| attack.trim().to_string()));
    }
    Ok(attacks)
}

/// The numbers of the rules of section 4 of the contract.
fn rules() -> Result<Vec<String>> {
    let contract = fs::read_to_string(root()?.join("docs/reference/spec.md"))?;
    let section = contract
        .split("\n## 4. Trust")
        .nth(1)
        .context("a section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let numbers = section
        .lines()
        .filter_map(|line| line.split_once(". "))
        .filter(|(number, _)| number.parse::<u32>().is_ok());
    Ok(numbers
        .map(|(number, _)| format!("rule {number}"))
        .collect())
}

#[test]
fn every_line_of_the_list_of_attacks_and_every_rule_of_trust_has_a_row() -> Result<()> {
    let (rows, attacks, rules) = (rows()?, attacks()?, rules()?);
    assert!(attacks.len() > 130, "{}", attacks.len());
    assert_eq!(rules.len(), 11);
    let wanted: Vec<&String> = attacks.iter().chain(&rules).collect();
    let without: Vec<_> = wanted
        .iter()
        .filter(|line| !rows.contains_key(**line))
        .collect();
    assert!(without.is_empty(), "no row for: {without:#?}");
    Ok(())
}

#[test]
fn every_row_names_a_test_and_what_is_open_gets_less() -> Result<()> {
    let is_test = |shown: &str| tests_in(shown).next().is_some();
    let rows = rows()?;
    let odd: Vec<_> = rows
        .iter()
        .filter(|(tried, shown)| !is_test(shown) && *shown != "open" && !is_head(tried, shown))
        .collect();
    assert!(odd.is_empty(), "neither a test nor open: {odd:#?}");
    let open = rows.values().filter(|shown| *shown == "open").count();
    assert!(open <= OPEN, "{open} lines are open, {OPEN} were");
    Ok(())
}

fn is_head(tried: &str, shown: &str) -> bool {
    shown == "shown by" || tried == "---"
}

/// A name of a test has several words; `sha1=` and paths have not.
fn tests_in(shown: &str) -> impl Iterator<Item = &str> {
    let words = shown.split('`').skip(1).step_by(2);
    words.filter(|word| word.matches('_').count() > 2)
}

#[test]
fn every_test_that_the_table_of_attacks_or_the_threat_model_names_exists() -> Result<()> {
    let there = functions(&root()?)?;
    let read = |page: &str| fs::read_to_string(root()?.join(page)).context(page.to_string());
    let table = read("docs/explanation/attacks.md")?;
    let model = read("docs/explanation/threat-model.md")?;
    let named: BTreeSet<&str> = tests_in(&table).chain(tests_in(&model)).collect();
    assert!(named.len() > 100, "only {} names were found", named.len());
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !there.contains(**name))
        .collect();
    assert!(missing.is_empty(), "no such test: {missing:#?}");
    Ok(())
}

/// Every function that there is.
fn functions(root: &Path) -> Result<BTreeSet<String>> {
    let listed = std::process::Command::new("grep")
        .args([
            "-rhoE",
            "fn [a-z0-9_]+",
            "--include=*.rs",
            "--exclude-dir=target",
            ".",
        ])
        .current_dir(root)
        .output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let names = listed.lines().filter_map(|line| line.strip_prefix("fn "));
    Ok(names.map(str::to_string).collect())
}
