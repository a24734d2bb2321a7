//! Commands of the docs, typed as a stranger would: a page's blocks come in, a shell runs them. Touches the docs and processes.

use crate::{World, process::run};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The text of a page, by its path below the repository.
pub fn page(name: &str) -> Result<String> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(name);
    fs::read_to_string(&path).with_context(|| format!("no page {}", path.display()))
}

/// The block in this language that stands below `<!-- tested: MARK -->`.
pub fn marked(page: &str, mark: &str, language: &str) -> Result<String> {
    let (_, after) = page
        .split_once(&format!("<!-- tested: {mark} -->\n```{language}\n"))
        .with_context(|| format!("no block {mark:?} in {language}"))?;
    let (block, _) = after.split_once("```").context("the block ends")?;
    Ok(block.into())
}

/// A shell that has our programs, and types this in a folder.
pub fn shell(world: &World, folder: &Path, text: &str) -> Result<Command> {
    let pack = world.pack();
    let programs = Path::new(pack.get_program()).parent().context("a folder")?;
    let path = std::env::var("PATH")?;
    let mut shell = world.command("sh");
    shell.args(["-e", "-c", text]).current_dir(folder);
    shell.env("PATH", format!("{}:{path}", programs.display()));
    Ok(shell)
}

/// Types it; an error where it fails.
pub fn typed(world: &World, folder: &Path, text: &str) -> Result<String> {
    run(&mut shell(world, folder, text)?)
}
