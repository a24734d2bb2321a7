//! "Files people write" of the attacks, on the real box: an odd manifest refuses itself alone, by its rule; a full disk stops nothing.

use anyhow::{Context, Result};
use std::fs;
use swarm_manifests::status::State;
use swarm_tests::{Deploy, SwarmBox, World, process};

const TICKER: &str = "while :; do echo tick; sleep 0.2; done\n";
const DAEMON: &str = "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n";

#[test]
fn odd_manifests_refuse_themselves_alone_by_their_rule() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("ticker", "1.0.0", TICKER)?;
    deploy.manifest("ticker", DAEMON)?;
    deploy.push()?;
    let remote = deploy.remote().display().to_string();
    let here = SwarmBox::start(&world, "box-1", &deploy, &remote)?;
    let before = here.until_runs("ticker", "1.0.0")?;
    let of = |text: &str| format!("bundle = \"ticker\"\n{text}").into_bytes();
    let env = |line: &str| of(&format!("{DAEMON}\n[env]\n{line}\n"));
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("not-text", "S-FILE-01", vec![0xff, 0xfe, 0, 1]),
        ("not-toml", "S-FILE-01", of("[[[")),
        (
            "bom",
            "S-FILE-12",
            [b"\xef\xbb\xbf".to_vec(), of(DAEMON)].concat(),
        ),
        (
            "unknown",
            "S-FILE-02",
            of(&format!("versoin = 1\n{DAEMON}")),
        ),
        (
            "twice",
            "S-FILE-01",
            of(&format!("version = \"2.0.0\"\n{DAEMON}")),
        ),
        (
            "large",
            "S-FILE-07",
            [of(DAEMON), vec![b'#'; 1 << 20]].concat(),
        ),
        ("preload", "S-FILE-08", env("LD_PRELOAD = \"/tmp/x.so\"")),
        ("loader", "S-FILE-08", env("NODE_OPTIONS = \"-r x\"")),
        ("bash-env", "S-FILE-08", env("BASH_ENV = \"/tmp/x\"")),
        ("our-env", "S-FILE-08", env("SWARM_BOX = \"other\"")),
        (
            "forever",
            "S-FILE-05",
            of(&format!("{DAEMON}time-limit = \"1e99s\"\n")),
        ),
        (
            "nul",
            "S-FILE-05",
            of(&format!("args = [\"a\\u0000b\"]\n{DAEMON}")),
        ),
        (
            "selector",
            "S-SELECT-01",
            of("version = \"1.0.0\"\n[on]\nwhere = 'site =='\n[run]\nmode = \"daemon\"\n"),
        ),
        (
            "no-version",
            "S-BUNDLE-01",
            of(&DAEMON.replace("1.0.0", "9.9.9")),
        ),
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
    assert!(!here.log().contains("panicked"), "{}", here.log());
    Ok(())
}

#[test]
fn two_mebibytes_of_arguments_start_nothing_and_harm_nobody() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("ticker", "1.0.0", TICKER)?;
    deploy.manifest("ticker", DAEMON)?;
    let word = format!("\"{}\",", "x".repeat(1000));
    let many = format!(
        "bundle = \"ticker\"\nargs = [{}]\n{DAEMON}",
        word.repeat(1000)
    );
    deploy.manifest("many", &many)?;
    let one = format!(
        "bundle = \"ticker\"\nargs = [\"{}\"]\n{DAEMON}",
        "x".repeat(500_000)
    );
    deploy.manifest("one", &one)?;
    deploy.push()?;
    let remote = deploy.remote().display().to_string();
    let here = SwarmBox::start(&world, "box-1", &deploy, &remote)?;
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
    assert!(!here.log().contains("panicked"), "{}", here.log());
    Ok(())
}

#[test]
fn a_disk_that_is_full_blocks_what_is_new_and_stops_nothing() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("ticker", "1.0.0", TICKER)?;
    deploy.manifest("ticker", DAEMON)?;
    deploy.push()?;
    let remote = deploy.remote().display().to_string();
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &remote, "poll = \"1s\"\n", "")?;
    let state = here.path("state");
    fs::create_dir_all(&state)?;
    // Only root can mount a disk that is small; for others the line is held by the store's own tests.
    let mounted = process::run(
        world
            .command("mount")
            .args(["-t", "tmpfs", "-o", "size=24m,mode=755", "none"])
            .arg(&state),
    );
    mounted.context(
        "a full disk is a small tmpfs here, which only root may mount: run the tests as root",
    )?;
    let outcome = (|| -> Result<()> {
        here.run()?;
        let before = here.until_runs("ticker", "1.0.0")?;
        let noise = process::run(world.command("openssl").args(["rand", "-hex", "20000000"]))?;
        let folder = deploy.source(
            "ticker",
            "1.1.0",
            "engine = \"sh\"\nentry = \"main.sh\"\n",
            &[("main.sh", TICKER), ("noise", &noise)],
        )?;
        deploy.pack(&["publish", &folder])?;
        deploy.manifest("ticker", &DAEMON.replace("1.0.0", "1.1.0"))?;
        deploy.push()?;
        let ended = here.try_agent(&["sync", "--timeout", "30s"])?;
        assert!(
            !ended.status.success(),
            "a sync that could not store succeeded"
        );
        let after = here.until_runs("ticker", "1.0.0")?;
        assert_eq!(after.pid, before.pid, "a full disk touched what runs");
        let status = here.agent(&["status"])?;
        let why = here.agent(&["why", "ticker"])?;
        assert!(
            format!("{status}{why}").contains("S-RUN-04")
                || format!("{status}{why}").contains("S-GIT-04"),
            "{status}\n{why}"
        );
        here.agent(&["kill", "ticker"])?;
        assert!(!here.log().contains("panicked"), "{}", here.log());
        Ok(())
    })();
    drop(here);
    process::run(world.command("umount").arg("-l").arg(&state))?;
    outcome
}
