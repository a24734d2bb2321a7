//! What the tour shows: headlines, commands, and what they print. Touches stdout and runs the commands.

use super::{super::text, world::World};
use anyhow::Result;
use std::path::Path;

/// Shows a command and what it prints, as in a terminal.
pub async fn show(world: &World, folder: &Path, words: &[&str]) -> Result<String> {
    note(&format!("$ {}", words.join(" ")));
    let output = world.output(folder, words).await?;
    let (said, talked) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    for line in said.lines().chain(talked.lines()) {
        note(&format!("    {}", text::shown(line)));
    }
    anyhow::ensure!(
        output.status.success(),
        "{} ended with {}",
        words.join(" "),
        output.status
    );
    Ok(said)
}

/// A headline.
pub fn say(headline: &str) {
    println!("\n== {headline}");
}

/// A line.
pub fn note(line: &str) {
    println!("{line}");
}
