//! Power loss: the emulator is killed in the middle of writes, again and again.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{fs, path::Path};
use swarm_manifests::status::State;
use swarm_tests::{
    Deploy, Dice, World,
    boxes::{
        Vm,
        installed::{self, Installed, Machine},
        vm::Init,
    },
    until_ok,
};

/// How often the power goes; fewer is a failure of this test's purpose.
const ROUNDS: usize = 20;
/// Commits that wait to be pushed, a few each round.
const COMMITS: usize = 90;
/// Takes the trunk one commit further, and looks.
const ADVANCE: &str = "cd /srv/deploy.git && next=$(($(cat /srv/at) + 1)) && git update-ref refs/heads/main $(sed -n ${next}p /srv/commits) && echo $next >/srv/at.new && mv /srv/at.new /srv/at";

/// A trunk of many commits: `steady` stays, `busy` changes its version with each, `toggle` is killed and started.
fn trunk(deploy: &Deploy<'_>) -> Result<String> {
    for (name, script) in [
        ("steady", "while :; do echo tick; sleep 0.2; done\n"),
        ("toggle", "sleep 1000\n"),
    ] {
        deploy.publish_sh(name, "1.0.0", script)?;
        deploy.manifest(
            name,
            "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n",
        )?;
    }
    for version in 0..6 {
        deploy.publish_sh(
            "busy",
            &format!("1.0.{version}"),
            &format!("echo {version}; sleep 1000\n"),
        )?;
    }
    deploy.manifest(
        "busy",
        "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n",
    )?;
    deploy.push()?;
    for number in 1..=COMMITS {
        let version = number % 6;
        deploy.manifest("busy", &format!("version = \"1.0.{version}\"\nargs = [\"{number}\"]\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n"))?;
    }
    let commits = deploy.git(&["rev-list", "--reverse", &format!("HEAD~{COMMITS}..HEAD")])?;
    Ok(commits)
}

/// Its disk: the repository has every commit, its branch only the first ones. Reached by a name that each boot loses.
fn disk(root: &Path, world: &World, deploy: &Deploy<'_>, commits: &str) -> Result<()> {
    installed::install_below(root, world, deploy, "")?;
    deploy.git(&[
        "push",
        "-q",
        "--no-verify",
        &root.join("srv/deploy.git").display().to_string(),
        "main:refs/heads/later",
    ])?;
    // It is the box that is on trial: the server in the same machine keeps its references over a power cut.
    deploy.git(&[
        "--git-dir",
        &root.join("srv/deploy.git").display().to_string(),
        "config",
        "core.fsync",
        "all",
    ])?;
    fs::write(root.join("srv/commits"), commits)?;
    fs::write(root.join("srv/at"), "0\n")?;
    let toml = root.join("etc/swarm/agent.toml");
    let text = fs::read_to_string(&toml)?.replace(installed::REPOSITORY, "/run/remote/deploy.git");
    fs::write(toml, text)?;
    Ok(())
}

fn position(vm: &Vm) -> Result<u64> {
    let status: Value = serde_json::from_str(&vm.sh("swarm-agent status --json")?)?;
    status["position"]
        .as_u64()
        .context("status has no position")
}

#[test]
fn after_each_of_twenty_power_losses_the_journal_is_whole_trust_stands_and_daemons_run()
-> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let commits = trunk(&deploy)?;
    let mut vm = Vm::new(|root| disk(root, &world, &deploy, &commits))?;
    let seed = std::env::var("SWARM_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let mut dice = Dice::new(seed.unwrap_or_else(|| u64::from(std::process::id()) * 7919 + 1));
    println!("seed {}, {ROUNDS} rounds", dice.seed());
    let mut acknowledged = 0;
    let mut killed = false;
    for round in 0..ROUNDS {
        vm.boot(Init::Bare)?;
        if round > 0 {
            after_the_loss(&vm, acknowledged, killed).with_context(|| {
                format!(
                    "round {round}: {}",
                    vm.sh("tail -n 40 /run/agent.log").unwrap_or_default()
                )
            })?;
        }
        // What a push left half done there is its operator's to mend.
        vm.sh("rm -f /srv/deploy.git/refs/heads/*.lock && mkdir -p /run/remote && ln -s /srv/deploy.git /run/remote/deploy.git")?;
        until_ok("the agent looking at the repository", || {
            vm.sh("swarm-agent sync")
        })
        .with_context(|| vm.sh("tail -n 40 /run/agent.log").unwrap_or_default())?;
        for _ in 0..=dice.throw(2) {
            vm.sh(&format!("{ADVANCE} && sync /srv && swarm-agent sync"))?;
            acknowledged = position(&vm)?;
        }
        killed = !killed;
        vm.sh(if killed {
            "swarm-agent kill toggle"
        } else {
            "swarm-agent start toggle"
        })?;
        let at = dice.throw(700);
        vm.send(&format!(
            "{ADVANCE}; swarm-agent sync & swarm-agent restart steady; wait"
        ))?;
        std::thread::sleep(std::time::Duration::from_millis(at));
        vm.cut_power();
        println!(
            "round {round}: position {acknowledged}, toggle killed: {killed}, cut after {at} ms"
        );
    }
    vm.boot(Init::Bare)?;
    after_the_loss(&vm, acknowledged, killed)
}

/// Without a network: what was acknowledged stands, what should run runs.
fn after_the_loss(vm: &Vm, acknowledged: u64, killed: bool) -> Result<()> {
    let here = Installed { machine: vm };
    here.until_runs("steady")?;
    here.until_runs("busy")?;
    vm.sh("swarm-agent history --verify")?;
    let now = until_ok("the agent's status", || position(vm))?;
    ensure!(
        now >= acknowledged,
        "trust went back from {acknowledged} to {now}"
    );
    if killed {
        here.until_row("toggle", "killed", |row| row.state == State::Killed)?;
    } else {
        here.until_runs("toggle")?;
    }
    Ok(())
}
