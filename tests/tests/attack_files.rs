//! "Files people write" of the attacks, on the real box: an odd manifest refuses itself alone, by its rule; a full disk stops nothing.

use anyhow::{Context, Result};
use std::{fs, path::PathBuf};
use swarm_manifests::status::State;
use swarm_tests::{Deploy, SwarmBox, TICKER, World, daemon, process, until};

#[test]
fn odd_manifests_refuse_themselves_alone_by_their_rule() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    let before = here.until_runs("ticker", "1.0.0")?;
    let plain = daemon("1.0.0");
    let of = |text: &str| format!("bundle = \"ticker\"\n{text}").into_bytes();
    let env = |line: &str| of(&format!("{plain}\n[env]\n{line}\n"));
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("not-text", "S-FILE-01", vec![0xff, 0xfe, 0, 1]),
        ("not-toml", "S-FILE-01", of("[[[")),
        (
            "bom",
            "S-FILE-12",
            [b"\xef\xbb\xbf".to_vec(), of(&plain)].concat(),
        ),
        ("unknown", "S-FILE-02", of(&format!("versoin = 1\n{plain}"))),
        (
            "twice",
            "S-FILE-01",
            of(&format!("version = \"2.0.0\"\n{plain}")),
        ),
        (
            "large",
            "S-FILE-07",
            [of(&plain), vec![b'#'; 1 << 20]].concat(),
        ),
        ("preload", "S-FILE-08", env("LD_PRELOAD = \"/tmp/x.so\"")),
        ("loader", "S-FILE-08", env("NODE_OPTIONS = \"-r x\"")),
        ("bash-env", "S-FILE-08", env("BASH_ENV = \"/tmp/x\"")),
        ("our-env", "S-FILE-08", env("SWARM_BOX = \"other\"")),
        (
            "forever",
            "S-FILE-05",
            of(&format!("{plain}time-limit = \"1e99s\"\n")),
        ),
        (
            "nul",
            "S-FILE-05",
            of(&format!("args = [\"a\\u0000b\"]\n{plain}")),
        ),
        (
            "selector",
            "S-SELECT-01",
            of("version = \"1.0.0\"\n[on]\nwhere = 'site =='\n[run]\nmode = \"daemon\"\n"),
        ),
        ("no-version", "S-BUNDLE-01", of(&daemon("9.9.9"))),
    ];
    for (name, _, bytes) in &cases {
        deploy.write(&format!("manifests/{name}.toml"), bytes)?;
    }
    deploy.git(&["add", "manifests"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "odd manifests"])?;
    deploy.push()?;
    for (name, rule, _) in &cases {
        let row = here.until_row(name, &format!("refused by {rule}"), |row| {
            row.state == State::Refused && row.rule.as_deref() == Some(rule)
        })?;
        let reason = row.reason.unwrap_or_default();
        assert!(
            !reason.is_empty() && !reason.contains('\u{1b}'),
            "{name}: {reason:?}"
        );
    }
    assert_eq!(
        here.until_runs("ticker", "1.0.0")?.pid,
        before.pid,
        "it touched what runs"
    );
    here.assert_no_panic();
    Ok(())
}

#[test]
fn two_mebibytes_of_arguments_start_nothing_and_harm_nobody() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    let plain = daemon("1.0.0");
    let word = format!("\"{}\",", "x".repeat(1000));
    let many = format!(
        "bundle = \"ticker\"\nargs = [{}]\n{plain}",
        word.repeat(1000)
    );
    deploy.manifest("many", &many)?;
    let one = format!(
        "bundle = \"ticker\"\nargs = [\"{}\"]\n{plain}",
        "x".repeat(500_000)
    );
    deploy.manifest("one", &one)?;
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    here.until_runs("ticker", "1.0.0")?;
    // A megabyte of arguments may start, where the kernel allows it; half a megabyte in one word never does.
    let row = here.until_row("one", "not running", |row| {
        row.pid.is_none() && row.reason.is_some()
    })?;
    assert!(
        !matches!(row.state, State::Running | State::Ready),
        "{row:?}"
    );
    here.until_row("many", "settled", |row| {
        !matches!(row.state, State::Fetching | State::Starting)
    })?;
    here.assert_no_panic();
    Ok(())
}

#[test]
fn a_disk_that_is_full_blocks_what_is_new_and_stops_nothing() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let disk = SmallDisk::mount(&world, world.path("boxes/box-1/state"))?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    let before = here.until_runs("ticker", "1.0.0")?;
    let noise = process::run(world.command("openssl").args(["rand", "-hex", "20000000"]))?;
    let folder = deploy.source(
        "ticker",
        "1.1.0",
        "engine = \"sh\"\nentry = \"main.sh\"\n",
        &[("main.sh", TICKER), ("noise", &noise)],
    )?;
    deploy.pack(&["publish", &folder])?;
    deploy.manifest("ticker", &daemon("1.1.0"))?;
    deploy.push()?;
    let ended = here.try_agent(&["sync"])?;
    assert!(
        !ended.status.success(),
        "a sync that could not store succeeded"
    );
    let after = here.until_runs("ticker", "1.0.0")?;
    assert_eq!(after.pid, before.pid, "a full disk touched what runs");
    until("the box saying that its disk is full", || {
        let told = here.agent(&["status"]).ok()? + &here.agent(&["why", "ticker"]).ok()?;
        (told.contains("S-RUN-04") || told.contains("S-GIT-04")).then_some(())
    })?;
    here.agent(&["kill", "ticker"])?;
    here.assert_no_panic();
    drop(here);
    drop(disk);
    Ok(())
}

/// A disk of 24 MB; gone when it is dropped.
struct SmallDisk<'a> {
    world: &'a World,
    folder: PathBuf,
}

impl<'a> SmallDisk<'a> {
    fn mount(world: &'a World, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut mount = world.command("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m,mode=755", "none"]);
        // Only root can mount one; for others the line is held by the store's own tests.
        process::run(mount.arg(&folder)).context(
            "a full disk is a small tmpfs here, which only root may mount: run the tests as root",
        )?;
        Ok(Self { world, folder })
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = process::run(self.world.command("umount").arg("-l").arg(&self.folder));
    }
}
