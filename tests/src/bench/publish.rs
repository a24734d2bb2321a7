//! `swarm-pack publish` of 100 MB beside `git hash-object -w` of the same files, in turns; then a change of one file in a hundred.

use super::{figures::Samples, watched::timed};
use crate::{Deploy, World, process::run};
use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
};

const FILES: usize = 1_000;
const FILE: usize = 100_000;
const CHANGED: usize = FILES / 100;

/// What publishing did.
#[derive(Debug, Default)]
pub struct Published {
    /// Megabytes a second.
    pub ours: Samples,
    /// The same by `git -c core.looseCompression=1 hash-object -w --stdin-paths`.
    pub git: Samples,
    /// Blobs that were written for the change of one file in a hundred.
    pub rewritten: Samples,
    /// Milliseconds that publishing the change took.
    pub change: Samples,
}

/// Measures so many rounds, each with new bytes in a new repository.
pub fn publish(rounds: usize) -> Result<Published> {
    let mut published = Published::default();
    for round in 0..rounds {
        one(round, &mut published)?;
    }
    Ok(published)
}

fn one(round: usize, published: &mut Published) -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let mut dice = Dice::new(round as u64 + 1);
    let source = deploy.source("large", "1.0.0", BUNDLE, &[("main.sh", "true\n")])?;
    let mut paths = Vec::new();
    for number in 0..FILES {
        let name = format!("{source}/data/{number:04}.txt");
        paths.push(deploy.write(&name, text(&mut dice))?);
    }
    let ours = || timed(|| deploy.pack(&["publish", &source]).map(drop));
    let git = || git_takes(&world, &paths);
    let (took, git_took) = if round.is_multiple_of(2) {
        (ours()?, git()?)
    } else {
        let git_took = git()?;
        (ours()?, git_took)
    };
    let megabytes = 100.0;
    published.ours.push(megabytes / (took / 1e3));
    published.git.push(megabytes / (git_took / 1e3));
    let before = blobs(&deploy)?;
    for path in paths.iter().take(CHANGED) {
        fs::write(path, text(&mut dice))?;
    }
    deploy.source("large", "1.0.1", BUNDLE, &[])?;
    published
        .change
        .push(timed(|| deploy.pack(&["publish", &source]).map(drop))?);
    let after = blobs(&deploy)?;
    #[allow(clippy::cast_precision_loss, reason = "a thousand")]
    let rewritten = after.difference(&before).count() as f64;
    published.rewritten.push(rewritten);
    Ok(())
}

const BUNDLE: &str = "engine = \"sh\"\nentry = \"main.sh\"\n";

fn git_takes(world: &World, paths: &[PathBuf]) -> Result<f64> {
    let (repository, list) = (world.path("peer.git"), world.path("peer.paths"));
    run(world
        .command("git")
        .args(["init", "-q", "--bare"])
        .arg(&repository))?;
    let lines: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    fs::write(&list, lines.join("\n") + "\n")?;
    let input = File::open(&list)?;
    timed(|| {
        let written = world
            .command("git")
            .arg("-C")
            .arg(&repository)
            .args([
                "-c",
                "core.looseCompression=1",
                "hash-object",
                "-w",
                "--stdin-paths",
            ])
            .stdin(Stdio::from(input))
            .output()
            .context("git hash-object")?;
        ensure!(
            written.status.success(),
            "git hash-object: {}",
            String::from_utf8_lossy(&written.stderr)
        );
        Ok(())
    })
}

/// Each copy of each blob in the clone, by where it lies: one that was written once more counts once more.
fn blobs(deploy: &Deploy<'_>) -> Result<BTreeSet<String>> {
    let listed = deploy.git(&[
        "cat-file",
        "--batch-all-objects",
        "--batch-check=%(objecttype) %(objectname)",
    ])?;
    let blobs: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("blob "))
        .collect();
    let mut copies = BTreeSet::new();
    for folder in fs::read_dir(deploy.path(".git/objects"))? {
        let folder = folder?;
        let name = folder.file_name().to_string_lossy().into_owned();
        if name == "pack" {
            for copy in packed(deploy, &folder.path())? {
                copies.insert(copy);
            }
        } else if name.len() == 2 {
            for entry in fs::read_dir(folder.path())? {
                let id = format!("{name}{}", entry?.file_name().to_string_lossy());
                copies.insert(format!("loose {id}"));
            }
        }
    }
    copies.retain(|copy| {
        copy.rsplit(' ')
            .next()
            .is_some_and(|object| blobs.contains(object))
    });
    Ok(copies)
}

fn packed(deploy: &Deploy<'_>, folder: &Path) -> Result<Vec<String>> {
    let mut copies = Vec::new();
    for entry in fs::read_dir(folder)? {
        let index = entry?.path();
        if index.extension().is_none_or(|ending| ending != "idx") {
            continue;
        }
        let shown = deploy
            .git_command()
            .arg("show-index")
            .stdin(Stdio::from(File::open(&index)?))
            .output()?;
        ensure!(shown.status.success(), "git show-index");
        let pack = index.file_name().unwrap_or_default().to_string_lossy();
        for line in String::from_utf8(shown.stdout)?.lines() {
            let id = line.split(' ').nth(1).context("a line of show-index")?;
            copies.push(format!("{pack} {id}"));
        }
    }
    Ok(copies)
}

/// Text that compresses to about a half: a number that never comes again, then words that come again and again.
fn text(dice: &mut Dice) -> String {
    const WORDS: [&str; 16] = [
        "box",
        "bundle",
        "workflow",
        "engine",
        "person",
        "team",
        "grant",
        "trunk",
        "position",
        "map",
        "policy",
        "manifest",
        "digest",
        "signature",
        "approval",
        "revision",
    ];
    let mut text = String::with_capacity(FILE + 64);
    while text.len() < FILE {
        let _ = write!(text, "{:016x}", dice.throw());
        for _ in 0..2 {
            let word = usize::try_from(dice.throw() % 16).unwrap_or(0);
            text.push(' ');
            text.push_str(WORDS[word]);
        }
        text.push('\n');
    }
    text.truncate(FILE);
    text
}

/// xorshift64: the same bytes in each run.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn throw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
