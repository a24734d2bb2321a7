//! "Git" of the attacks: whatever the remote or the mirror becomes, what runs goes on, trust stays, and the way back works.

use anyhow::Result;
use std::{fs, os::unix::fs::PermissionsExt};
use swarm_tests::{
    ByHand, Deploy, SwarmBox, TICKER, World, daemon,
    process::{self, feed, run, signal},
    until,
};

/// The agent below a supervisor: the child that runs the same program.
fn agent_of(supervisor: u32) -> Option<u32> {
    let program = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let children =
        fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).ok()?;
    let mut children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    children.find(|pid| program(*pid).is_some() && program(*pid) == program(supervisor))
}

#[test]
fn a_branch_moved_anywhere_else_changes_nothing_and_says_so() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (here, before) = SwarmBox::ticking(&world, &deploy)?;
    here.agent(&["sync"])?;
    let trust = fs::read(here.path("state/agent/trust.json"))?;
    let good = deploy.head()?;
    let older = deploy.git(&["rev-parse", "HEAD~1"])?;
    deploy.git(&["tag", "-a", "-m", "t", "t"])?;
    deploy.git(&["push", "-q", "--no-verify", "origin", "t"])?;
    let tag = deploy.git(&["rev-parse", "t"])?;
    let tree = deploy.git(&["rev-parse", "HEAD^{tree}"])?;
    let blob = deploy.git(&["rev-parse", "HEAD:policy.toml"])?;
    let lonely = deploy.git(&["commit-tree", "-S", "-m", "alone", tree.trim()])?;
    deploy.git(&[
        "push",
        "-q",
        "--no-verify",
        "origin",
        &format!("{}:refs/heads/lonely", lonely.trim()),
    ])?;
    let branch = deploy.remote().join("refs/heads/main");
    let _ = fs::remove_file(deploy.remote().join("packed-refs"));
    for (what, id, rule, word) in [
        ("an older commit", older.trim(), "S-TRUNK-05", &older[..7]),
        (
            "an unrelated commit",
            lonely.trim(),
            "S-TRUNK-07",
            &lonely[..7],
        ),
        ("a tag", tag.trim(), "S-TRUNK-12", "tag"),
        ("a tree", tree.trim(), "S-TRUNK-12", "tree"),
        ("a blob", blob.trim(), "S-TRUNK-12", "blob"),
        ("nothing", "", "S-TRUNK-12", "main"),
    ] {
        if id.is_empty() {
            fs::remove_file(&branch)?;
        } else {
            fs::write(&branch, format!("{id}\n"))?;
        }
        let ended = here.try_agent(&["sync"])?;
        assert!(!ended.status.success(), "{what}: sync saw nothing wrong");
        let status = here.agent(&["status"])?;
        assert!(
            status.contains(rule) && status.contains(word),
            "{what}, {rule}, {word}:\n{status}"
        );
        let after = here.until_runs("ticker", "1.0.0")?;
        assert_eq!(after.pid, before.pid, "{what} touched what runs");
        assert_eq!(
            fs::read(here.path("state/agent/trust.json"))?,
            trust,
            "{what} moved the trust"
        );
    }
    fs::write(&branch, format!("{good}\n"))?;
    here.agent(&["sync"])?;
    here.assert_no_panic();
    Ok(())
}

#[test]
fn files_larger_than_the_filter_lets_through_are_fetched_and_judged() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (here, _) = SwarmBox::ticking(&world, &deploy)?;
    let filler = |seed: usize| {
        let line = |at: usize| format!("# {:x}\n", (at + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (0..6000).map(line).collect::<String>()
    };
    deploy.publish_sh("ticker", "1.1.0", TICKER)?;
    for version in ["1.0.0", "1.1.0"] {
        let large = format!(
            "{}{}",
            daemon(version),
            filler(version.len() + usize::from(version == "1.1.0"))
        );
        deploy.manifest("ticker", &large)?;
    }
    deploy.write("boxes/box-9.toml", filler(7))?;
    deploy.git(&["add", "boxes"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "a large roster entry"])?;
    deploy.push()?;
    here.until_runs("ticker", "1.1.0")?;
    here.assert_no_panic();
    Ok(())
}

#[test]
fn an_indexer_taken_over_that_writes_half_a_history_stops_nobody() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (here, _) = SwarmBox::ticking(&world, &deploy)?;
    deploy.daemon("ticker", "1.1.0", TICKER)?;
    // The new head is in the mirror before anybody asked for it: without its tree, without its parent.
    let name = world.path("git/half");
    let mut pack = deploy.git_command();
    pack.args(["pack-objects", "-q"]).arg(&name);
    let id = feed(&mut pack, format!("{}\n", deploy.head()?).as_bytes())?;
    let mirror = here.path("state/agent/mirror/objects/pack");
    for kind in ["pack", "idx"] {
        let from = format!("{}-{}.{kind}", name.display(), id.trim());
        let to = mirror.join(format!("pack-{}.{kind}", id.trim()));
        fs::copy(&from, &to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o444))?;
    }
    // It may write refs and configuration, too: nobody reads them.
    let refs = here.path("state/agent/mirror/refs/replace");
    fs::create_dir_all(&refs)?;
    fs::write(
        refs.join(deploy.git(&["rev-parse", "HEAD~1"])?.trim()),
        deploy.head()?,
    )?;
    deploy.push()?;
    here.until_runs("ticker", "1.1.0")?;
    here.assert_no_panic();
    Ok(())
}

#[test]
fn an_agent_killed_in_the_middle_of_a_fetch_leaves_nothing_broken() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (here, before) = SwarmBox::ticking(&world, &deploy)?;
    let noise = run(world.command("openssl").args(["rand", "-hex", "12000000"]))?;
    let folder = deploy.source(
        "ticker",
        "1.1.0",
        "engine = \"sh\"\nentry = \"main.sh\"\n",
        &[("main.sh", TICKER), ("noise", &noise)],
    )?;
    deploy.pack(&["publish", &folder])?;
    deploy.manifest("ticker", &daemon("1.1.0"))?;
    let quarantine = here.quarantine();
    deploy.push()?;
    // The supervisor's child is the agent; its child, while a pack comes, the indexer.
    let killed = until("a fetch under way", || {
        fs::read_dir(&quarantine).ok()?.next()?.ok()?;
        let pid = agent_of(here.supervisor_pid()?)?;
        signal(pid, "KILL");
        Some(pid)
    })?;
    let after = here.until_runs("ticker", "1.1.0")?;
    assert_ne!(after.pid, before.pid);
    assert!(!process::is_alive(killed), "{killed} is still there");
    here.assert_no_panic();
    Ok(())
}

#[test]
fn a_commit_dated_ten_years_back_or_ahead_is_judged_by_its_place() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (here, _) = SwarmBox::ticking(&world, &deploy)?;
    for (version, date) in [
        ("1.1.0", "2011-01-01T00:00:00Z"),
        ("1.2.0", "2038-01-01T00:00:00Z"),
    ] {
        deploy.publish_sh("ticker", version, TICKER)?;
        deploy.write("manifests/ticker.toml", daemon(version))?;
        run(deploy
            .git_command()
            .env("GIT_COMMITTER_DATE", date)
            .env("GIT_AUTHOR_DATE", date)
            .args(["commit", "-q", "-S", "-am", "dated"]))?;
        deploy.push()?;
        here.until_runs("ticker", version)?;
    }
    here.assert_no_panic();
    Ok(())
}

#[test]
fn a_tree_with_a_million_entries_is_refused_and_the_box_goes_on() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let hand = ByHand::new(&world, &deploy);
    let (here, before) = SwarmBox::ticking(&world, &deploy)?;
    deploy.write("manifests/huge.toml", daemon("1.0.0"))?;
    deploy.git(&["add", "manifests"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "huge"])?;
    let blob = hand.object("blob", b"x")?;
    let names: Vec<String> = (0..1_000_000).map(|at| format!("{at:06}")).collect();
    let entries: Vec<_> = names
        .iter()
        .map(|name| ("100644", name.as_bytes(), blob.clone()))
        .collect();
    let folder = hand.tree(&entries)?;
    let root = hand.graft(
        Some(&hand.head_tree()?),
        "bundles/huge/1.0.0",
        "40000",
        &folder,
    )?;
    hand.commit(&root, "a million entries")?;
    deploy.push()?;
    let status = until("the box having judged it", || {
        let status = here.agent(&["status"]).ok()?;
        let row = here.row("huge").ok().flatten();
        let refused = row
            .and_then(|row| row.rule)
            .is_some_and(|rule| rule == "S-BUNDLE-11");
        (refused || status.contains("S-TRUNK-10")).then_some(status)
    })?;
    assert_eq!(
        here.until_runs("ticker", "1.0.0")?.pid,
        before.pid,
        "{status}"
    );
    here.assert_no_panic();
    Ok(())
}
