//! Takes each rule of the trust out in turn and says which tests turn red; a rule that nobody misses is a failure (`./dev mutants`).
//!
//! In: tests/mutants.toml. All mutants go into one copy of the sources, each behind a switch that the environment sets, so that
//! one build does for all. Touches mutants/ in the target folder; runs cargo and the tests of the crates that decide.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

const CRATES: [&str; 3] = ["swarm-manifests", "swarm-repository", "swarm-agent"];
const SWITCH: &str = "SWARM_MUTANT";

#[derive(Debug)]
struct Mutant {
    rule: String,
    what: String,
    file: String,
    find: String,
    put: String,
}

/// A program of tests, and where it runs.
#[derive(Debug)]
struct Suite {
    program: PathBuf,
    folder: PathBuf,
}

fn main() -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("a root")?;
    let mutants = read(&root.join("tests/mutants.toml"))?;
    let only: Vec<String> = std::env::args().skip(1).collect();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let copy = target.join("mutants/tree");
    let mut sources = sources(root)?;
    for mutant in &mutants {
        plant(&mut sources, mutant)?;
    }
    for (name, bytes) in &sources {
        write(&copy.join(name), bytes)?;
    }
    let suites = build(&copy, &target.join("mutants/target"))?;
    let red = red(&suites, None)?;
    ensure!(red.is_empty(), "red with every rule in place: {red:#?}");
    let mut unmissed = Vec::new();
    for mutant in &mutants {
        if !only.is_empty() && !only.iter().any(|rule| mutant.rule.starts_with(rule)) {
            continue;
        }
        let begun = Instant::now();
        let red = self::red(&suites, Some(&mutant.rule))?;
        let took = begun.elapsed().as_secs();
        println!(
            "{}: {}: {} red ({took} s)",
            mutant.rule,
            mutant.what,
            red.len()
        );
        for test in &red {
            println!("    {test}");
        }
        if red.is_empty() {
            unmissed.push(&mutant.rule);
        }
    }
    if unmissed.is_empty() {
        println!("each of the rules is missed by a test");
        return Ok(ExitCode::SUCCESS);
    }
    println!("missed by nobody: {unmissed:?}");
    Ok(ExitCode::FAILURE)
}

fn read(file: &Path) -> Result<Vec<Mutant>> {
    let table: toml::Table = fs::read_to_string(file)?.parse()?;
    let mutants = table.get("mutant").and_then(toml::Value::as_array);
    let one = |mutant: &toml::Value| {
        let field = |key: &str| {
            let text = mutant.get(key).and_then(toml::Value::as_str);
            text.map(str::to_string)
                .with_context(|| format!("no {key} in {mutant}"))
        };
        Ok(Mutant {
            rule: field("rule")?,
            what: field("what")?,
            file: field("file")?,
            find: field("find")?,
            put: field("put")?,
        })
    };
    mutants.context("no mutants")?.iter().map(one).collect()
}

/// Every file that git knows, as it is now.
fn sources(root: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()?;
    ensure!(listed.status.success(), "git ls-files failed");
    let listed = String::from_utf8(listed.stdout)?;
    let names = listed.split_terminator('\0');
    Ok(names
        .filter_map(|name| Some((name.to_owned(), fs::read(root.join(name)).ok()?)))
        .collect())
}

/// A file that did not change keeps its time, so that little is built again.
fn write(to: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fs::create_dir_all(to.parent().context("a folder")?)?;
    fs::write(to, bytes).with_context(|| to.display().to_string())
}

fn plant(sources: &mut BTreeMap<String, Vec<u8>>, mutant: &Mutant) -> Result<()> {
    let source = sources.get_mut(&mutant.file);
    let source = source.with_context(|| mutant.file.clone())?;
    let text = String::from_utf8(source.clone())?;
    let count = text.matches(&mutant.find).count();
    ensure!(
        count == 1,
        "{}: what is to be replaced stands {count} times in {}: {}",
        mutant.rule,
        mutant.file,
        mutant.find
    );
    let switch = format!(
        "std::env::var_os({SWITCH:?}).is_some_and(|which| which == {:?})",
        mutant.rule
    );
    let put = mutant.put.replace("OFF", &format!("({switch})"));
    *source = text.replace(&mutant.find, &put).into_bytes();
    Ok(())
}

fn build(copy: &Path, target: &Path) -> Result<Vec<Suite>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--locked", "--no-run", "--message-format=json"]);
    for name in CRATES {
        cargo.args(["-p", name]);
    }
    cargo.args(["--lib", "--tests"]);
    let built = cargo
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", target)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&built.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut suites = Vec::new();
    for message in messages {
        if let Some(error) = message
            .pointer("/message/rendered")
            .filter(|_| message.pointer("/message/level") == Some(&"error".into()))
        {
            eprintln!("{}", error.as_str().unwrap_or_default());
        }
        let is_test = message.pointer("/profile/test") == Some(&Value::Bool(true));
        let program = message["executable"].as_str().filter(|_| is_test);
        let manifest = message["manifest_path"].as_str().map(Path::new);
        if let Some((program, folder)) = program.zip(manifest.and_then(Path::parent)) {
            suites.push(Suite {
                program: program.into(),
                folder: folder.into(),
            });
        }
    }
    if !built.status.success() || suites.is_empty() {
        bail!("the mutants do not compile");
    }
    Ok(suites)
}

/// The tests that fail with this rule out.
fn red(suites: &[Suite], rule: Option<&str>) -> Result<BTreeSet<String>> {
    let mut red = BTreeSet::new();
    for suite in suites {
        let mut command = Command::new(&suite.program);
        command.current_dir(&suite.folder).env_remove(SWITCH);
        if let Some(rule) = rule {
            command.env(SWITCH, rule);
        }
        let ended = command.env("RUST_BACKTRACE", "0").output()?;
        let text = String::from_utf8_lossy(&ended.stdout);
        let failed = text
            .lines()
            .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        let before = red.len();
        red.extend(failed.map(str::to_string));
        if !ended.status.success() && red.len() == before {
            red.insert(format!(
                "{} ended with {}",
                suite.program.display(),
                ended.status
            ));
        }
    }
    Ok(red)
}
