//! The Debian package, on a booted box.

use anyhow::Result;
use std::{fs, path::Path, process::Command};
use swarm_tests::{
    Deploy, World,
    boxes::{
        Booted, Fleet,
        installed::{self, Installed, project},
    },
    process::run,
    world::swarm_program,
};

/// Makes the package from this build's programs, uncompressed: into `folder`.
fn make(folder: &Path, version: &str) -> Result<std::path::PathBuf> {
    let programs = swarm_program("swarm-agent");
    let made = run(Command::new(project("packaging/make-deb"))
        .arg(programs.parent().expect("a folder"))
        .arg(folder)
        .args([version, "none"]))?;
    Ok(made.trim().into())
}

fn install(on: &Booted, package: &Path) -> Result<()> {
    fs::copy(package, on.path("/root/swarmlet.deb"))?;
    on.sh("DEBIAN_FRONTEND=noninteractive dpkg -i /root/swarmlet.deb")
        .map(drop)
}

#[test]
fn a_package_upgrade_replaces_the_agent_and_stops_no_workflow_and_a_removal_leaves_nothing_running()
-> Result<()> {
    let (world, fleet) = (World::new()?, Fleet::boot(1)?);
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh(
        "steady",
        "1.0.0",
        "while :; do echo tick; sleep 0.2; done\n",
    )?;
    deploy.manifest(
        "steady",
        "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n",
    )?;
    deploy.push()?;
    let one = &fleet.boxes()[0];
    installed::configure_below(&one.path("/"), &world, &deploy, "")?;
    let first = make(&world.path(""), "0.1.0")?;
    assert_eq!(
        fs::read(&first)?,
        fs::read(make(&world.path("home"), "0.1.0")?)?,
        "the same programs gave another package"
    );
    install(one, &first)?;
    let here = Installed { machine: one };
    let pid = here.until_runs("steady")?;
    assert_eq!(
        one.sh("stat -c %U /proc/1/root/var/lib/swarm/agent")?,
        "swarm"
    );

    let exe = |pid: &str| one.sh(&format!("stat -L -c %i /proc/{pid}/exe"));
    let before = exe(&here.supervisor()?)?;
    install(one, &make(&world.path(""), "0.1.1")?)?;
    assert_eq!(one.sh("dpkg-query -W -f '${Version}' swarmlet")?, "0.1.1");
    assert_eq!(one.sh("systemctl is-active swarm-agent")?, "active");
    assert_ne!(
        exe(&here.supervisor()?)?,
        before,
        "the old program still runs"
    );
    assert_eq!(
        here.until_runs("steady")?,
        pid,
        "the upgrade stopped a workflow"
    );

    one.sh("DEBIAN_FRONTEND=noninteractive dpkg -r swarmlet")?;
    one.sh(&format!("! [ -e /proc/{pid} ] && ! command -v swarm-agent"))?;
    one.sh("[ -d /var/lib/swarm/workflows ]").map(drop)
}
