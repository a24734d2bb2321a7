//! The box's journal, end to end: what somebody with the box's disk takes away from it or puts in its place is noticed.

use anyhow::{Context, Result, ensure};
use std::{fs, path::PathBuf};
use swarm_tests::{Deploy, SwarmBox, World, until};

/// The journal's newest file.
fn newest(here: &SwarmBox<'_>) -> Result<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(here.path("state/supervisor/journal"))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files.pop().context("a journal")
}

/// What `history --verify` says, and whether all is well.
fn verified(here: &SwarmBox<'_>) -> Result<(bool, String)> {
    let said = here.try_agent(&["history", "--verify"])?;
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    Ok((said.status.success(), text))
}

#[test]
fn a_journal_whose_end_is_cut_off_and_written_anew_is_noticed() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (mut here, _) = SwarmBox::ticking(&world, &deploy)?;
    here.agent(&["restart", "ticker"])?;
    here.agent(&["kill", "ticker"])?;
    let length = fs::read_to_string(newest(&here)?)?.lines().count();
    until("everything being sealed", || {
        let (is_well, text) = verified(&here).ok()?;
        let up_to = text.split("sealed up to ").nth(1)?.split(' ').next()?;
        (is_well && up_to.parse::<usize>().ok()? >= length).then_some(())
    })?;
    here.supervisor().end();
    // The kill never happened: the chain before it is as good as ever, and the agent goes on with it.
    let file = newest(&here)?;
    let text = fs::read_to_string(&file)?;
    let lines: Vec<&str> = text.lines().collect();
    let kept = lines
        .iter()
        .take_while(|line| !line.contains("\"action\":\"kill\""));
    let kept: Vec<&str> = kept.copied().collect();
    ensure!(kept.len() < lines.len(), "{text}");
    fs::write(&file, kept.join("\n") + "\n")?;
    here.run()?;
    let (is_well, text) = verified(&here)?;
    ensure!(!is_well && text.contains("seal"), "{text}");
    // Neither does it help to take the seals' place with made-up ones.
    let seals = here.path("state/agent/seals.jsonl");
    let forged = fs::read_to_string(&seals)?.replace("\"sequence\":", "\"sequence\":1");
    fs::write(&seals, forged)?;
    let (is_well, text) = verified(&here)?;
    ensure!(!is_well && text.contains("not genuine"), "{text}");
    Ok(())
}
