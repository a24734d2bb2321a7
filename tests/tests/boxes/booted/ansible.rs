//! Boxes come up by Ansible.

use anyhow::{Context as _, Result};
use serde_json::Value;
use swarm_manifests::status::State;
use swarm_tests::{
    Deploy, World,
    boxes::{Fleet, GitServer, Installed, Playbook, means},
    process::{output, run},
    until,
};

const TICKER: &str = "while :; do echo tick; sleep 0.2; done\n";
const MANIFEST: &str = "version = \"1.0.0\"\n\n[on]\nwhere = 'site == \"test\" && rack <= 1'\n\n[run]\nmode = \"daemon\"\n";

#[test]
fn a_playbook_takes_bare_boxes_to_a_fleet_that_runs_its_first_workflow_and_a_second_run_changes_nothing()
-> Result<()> {
    let (world, fleet) = (World::new()?, Fleet::boot(3)?);
    let deploy = Deploy::new(&world)?;
    let git = GitServer::set_up(&fleet, &fleet.boxes()[0], &world)?;
    git.push(&deploy, &world)?;
    for one in fleet.boxes() {
        one.sh("! command -v swarm-agent && ! command -v swarm-map && ! id swarm && [ ! -e /etc/swarm ]")?;
    }
    let playbook = Playbook::new(&fleet, &world, &deploy, &git.url(), &git.identity)?;
    playbook.run(&["--check"])?;
    for one in fleet.boxes() {
        one.sh("[ ! -e /etc/swarm ] && [ ! -e /usr/local/bin/swarm-agent ]")?;
    }
    let first = playbook.run(&[])?;
    assert!(first.count("changed") > 20, "{first:?}");

    deploy.publish_sh("ticker", "1.0.0", TICKER)?;
    deploy.manifest("ticker", MANIFEST)?;
    git.push(&deploy, &world)?;
    until_both_run(&fleet, "1.0.0")?;
    until("the map's own mirror having verified the trunk", || {
        let trunk = map_says(&fleet, "/v1/trunk").ok()?;
        (trunk["head"]["commit"] == deploy.head().ok()?.as_str()).then_some(())
    })?;
    for one in &fleet.boxes()[1..] {
        let users = one.sh(
            "for p in /proc/[0-9]*; do case $(readlink $p/exe) in */swarm-agent) stat -c %U $p ;; esac; done | sort -u",
        )?;
        assert_eq!(users, "root\nswarm", "supervisor and agent run as others");
        let secrets = one.sh("stat -c '%a %U' /etc/swarm/id /etc/swarm/enrol.token")?;
        assert_eq!(secrets, "600 root\n600 root");
    }

    // Without their map boxes take the next push as before, and the map hears of it when it is back.
    let map = &fleet.boxes()[0];
    map.sh("systemctl stop swarm-map")?;
    deploy.publish_sh("ticker", "1.1.0", TICKER)?;
    deploy.manifest("ticker", &MANIFEST.replace("1.0.0", "1.1.0"))?;
    git.push(&deploy, &world)?;
    let here = Installed {
        machine: &fleet.boxes()[1],
    };
    here.until_row("ticker", "running 1.1.0 without a map", |row| {
        row.version.as_deref() == Some("1.1.0") && row.state == State::Running
    })?;
    map.sh("systemctl start swarm-map")?;
    until_both_run(&fleet, "1.1.0")?;

    for words in [&[][..], &["--check"]] {
        let again = playbook.run(words)?;
        assert_eq!(
            again.count("changed"),
            0,
            "{words:?} changed: {:#?}",
            again.notable
        );
    }
    Ok(())
}

/// As the map says.
fn until_both_run(fleet: &Fleet, version: &str) -> Result<()> {
    let seen = until(
        &format!("both boxes running ticker {version}, as the map says"),
        || {
            let rows = rows_on_the_map(fleet).ok()?;
            let runs = |name: &str| {
                rows.iter().any(|row| {
                    row["box"] == name && row["version"] == version && row["state"] == "running"
                })
            };
            (runs("box-2") && runs("box-3")).then_some(())
        },
    );
    seen.with_context(|| format!("the map says {:#?}", rows_on_the_map(fleet)))
}

/// `GET PATH` over https, with the map's certificate pinned.
fn map_says(fleet: &Fleet, path: &str) -> Result<Value> {
    let map = &fleet.boxes()[0];
    let text = run(fleet
        .command("curl")
        .args(["-sS", "--fail", "--max-time", "20", "--cacert"])
        .arg(map.path("/etc/swarm/map-tls.pem"))
        .arg(format!("https://{}:7700{path}", map.address())))?;
    Ok(serde_json::from_str(&text)?)
}

/// The rows of all boxes.
fn rows_on_the_map(fleet: &Fleet) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for one in &fleet.boxes()[1..] {
        let said = map_says(fleet, &format!("/v1/boxes/{}", one.name))?;
        rows.extend(said["rows"].as_array().cloned().unwrap_or_default());
    }
    Ok(rows)
}

#[test]
fn ansible_lint_has_nothing_to_say() -> Result<()> {
    let lint = means::ansible("ansible-lint")?;
    let folder = lint.parent().expect("a folder").display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH")?);
    let project = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../ansible");
    let mut command = std::process::Command::new(lint);
    let said = output(
        command
            .arg("--offline")
            .current_dir(project)
            .env("PATH", path),
    )?;
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    Ok(())
}
