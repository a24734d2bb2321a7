//! What is no secret for this box and this workflow is refused, and what runs goes on.

use super::{KEEPER_TOML, enrolled, sum};
use anyhow::{Context, Result, ensure};
use std::fs;
use swarm_manifests::status::State;
use swarm_tests::{Deploy, World, everywhere};

#[test]
fn a_secret_for_another_box_cut_off_flipped_or_of_another_workflow_is_refused_with_its_place()
-> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let here = enrolled(&world, &deploy, "")?;
    deploy.manifest("keeper", &everywhere("1.0.0", KEEPER_TOML))?;
    deploy.encrypt("keeper", "db", "one")?;
    deploy.commit_as("alice", "a secret")?;
    deploy.push()?;
    here.until_printed("keeper", &format!("sum {}", sum("one")))?;
    let before = here.until_runs("keeper", "1.0.0")?;

    let file = "secrets/keeper/db.age";
    let good = fs::read(deploy.path(file))?;
    let mut flipped = good.clone();
    *flipped.last_mut().context("bytes")? ^= 1;
    let mut other_head = good.clone();
    let at = other_head
        .windows(6)
        .position(|part| part == b"keeper")
        .context("its purpose")?;
    other_head[at] = b'h';
    // Somebody else's box, with the same name in the file.
    let foreign = world.key("foreign")?;
    let recipient = fs::read_to_string(foreign.with_extension("pub"))?;
    let foreign = by_age(&recipient)?;
    let unbound = by_age(&fs::read_to_string(world.path("keys/lab-1.pub"))?)?;
    for (what, bytes, says) in [
        ("cut off", &good[..good.len() - 20], "changed or cut off"),
        ("a flipped bit", &flipped, "changed or cut off"),
        ("another header", &other_head, "secrets/keeper/db.age"),
        ("another box", &foreign, "not encrypted for this box"),
        ("no purpose", &unbound, "does not say for which workflow"),
        ("a passphrase", PASSPHRASE, "passphrase"),
        ("no age file", b"hunter2", "no encrypted secret"),
    ] {
        deploy.write(file, bytes)?;
        deploy.git(&["add", "-A"])?;
        deploy.git(&["commit", "-q", "-S", "-m", what])?;
        deploy.push()?;
        let row = here.until_row("keeper", &format!("refused ({what})"), |row| {
            row.next
                .as_ref()
                .is_some_and(|next| next.state == State::Refused && next.reason.contains(says))
        })?;
        let next = row.next.context("what is refused")?;
        assert_eq!(next.rule.as_deref(), Some("S-RUN-12"), "{what}");
        ensure!(next.reason.contains(file), "{what}: {}", next.reason);
        assert_eq!(row.pid, before.pid, "{what} touched what runs");
    }
    let why = here.agent(&["why", "keeper"])?;
    ensure!(why.contains("swarm-pack encrypt keeper db"), "{why}");

    // Who may deploy thief takes keeper's secret for it, as it is: the very bytes that this box can read.
    deploy.write(file, &good)?;
    deploy.write("secrets/thief/db.age", &good)?;
    let manifest = format!("bundle = \"keeper\"\n{}", everywhere("1.0.0", KEEPER_TOML));
    deploy.write("manifests/thief.toml", manifest)?;
    deploy.git(&["add", "-A"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "thief"])?;
    deploy.push()?;
    let row = here.until_state("thief", State::Refused)?;
    assert_eq!(row.rule.as_deref(), Some("S-RUN-12"));
    let reason = row.reason.unwrap_or_default();
    ensure!(reason.contains("encrypted as keeper/db"), "{reason}");
    here.until_row("keeper", "running on, nothing waiting", |row| {
        row.pid == before.pid && row.next.is_none()
    })?;
    here.assert_no_panic();
    Ok(())
}

/// `two` encrypted by age itself to one SSH key: no stanza of ours is in it.
fn by_age(public: &str) -> Result<Vec<u8>> {
    let recipient: age::ssh::Recipient = public
        .trim()
        .parse()
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    Ok(age::encrypt(&recipient, b"two")?)
}

/// `age -p`, with an empty body.
const PASSPHRASE: &[u8] = b"age-encryption.org/v1\n-> scrypt rF0/NwblUHHTpgQgRpe5CQ 10\ngUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY\n--- IOKnFSIp4iGmB9kDmXSqYTXRqGvxKnOqOtY4HyUfFtc\n0123456789abcdef0123456789abcdef";
