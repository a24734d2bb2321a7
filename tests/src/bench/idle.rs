//! What a box costs that has nothing to do: one daemon runs, the map hears a heartbeat now and then.

use super::{
    figures::Samples,
    program,
    watched::{Roles, cpu, memory},
};
use crate::{
    Deploy, GitOverHttp, Map, SwarmBox, World,
    process::{indexer_of, until},
};
use anyhow::{Result, ensure};
use std::{fs, time::Duration};

/// From the start to the measurement: what a start has to do is over.
const SETTLE: Duration = Duration::from_secs(10);
/// Memory is looked at so often in a minute.
const LOOKS: u32 = 6;

/// Supervisor, keeper and agent together.
#[derive(Debug, Default)]
pub struct Idle {
    /// Megabytes.
    pub resident: Samples,
    /// Megabytes, what both share counted once.
    pub proportional: Samples,
    /// Milliseconds of CPU in a minute.
    pub cpu: Samples,
    /// Of these, the supervisor's.
    pub supervisor_cpu: Samples,
}

/// Measures so many minutes.
pub fn idle(minutes: usize) -> Result<Idle> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let program = program::compile(&world)?;
    let source = deploy.source(
        "stamp",
        "1.0.0",
        "engine = \"exec\"\nentry = \"stamp\"\n",
        &[],
    )?;
    fs::copy(&program, deploy.path(&source).join("stamp"))?;
    deploy.pack(&["publish", &source])?;
    deploy.manifest("stamp", "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n\n[env]\nROUND = \"0\"\nSTAY = \"1\"\n")?;
    deploy.push()?;
    let server = GitOverHttp::start(&world)?;
    // The heartbeat that a map sets where nobody says otherwise.
    let map = Map::start_with(&world, "15s")?;
    let mut here = SwarmBox::new(
        &world,
        "box-1",
        &deploy,
        &server.url("deploy.git"),
        "",
        &map.settings_for("box-1")?,
    )?;
    here.run()?;
    here.until_runs("stamp", "1.0.0")?;
    until("the box showing on the map", || {
        let boxes = map.items("/v1/boxes").ok()?;
        boxes
            .iter()
            .any(|shown| shown.to_string().contains("online"))
            .then_some(())
    })?;
    std::thread::sleep(SETTLE);
    let roles = Roles::find(here.supervisor().pid())?;
    let mut idle = Idle::default();
    for _ in 0..minutes {
        minute(roles, &mut idle)?;
    }
    Ok(idle)
}

fn minute(roles: Roles, idle: &mut Idle) -> Result<()> {
    let used = || -> Result<(f64, f64)> {
        let supervisor = cpu(roles.supervisor)?;
        Ok((
            supervisor,
            supervisor + cpu(roles.keeper)? + cpu(roles.agent)?,
        ))
    };
    let before = used()?;
    for _ in 0..LOOKS {
        std::thread::sleep(Duration::from_secs(60) / LOOKS);
        ensure!(
            indexer_of(roles.supervisor).is_none(),
            "an indexer runs on a box that has nothing to do"
        );
        let (mut resident, mut proportional) = (0.0, 0.0);
        for pid in roles.all() {
            let held = memory(pid)?;
            resident += held.resident;
            proportional += held.proportional;
        }
        idle.resident.push(resident);
        idle.proportional.push(proportional);
    }
    let after = used()?;
    idle.cpu.push(after.1 - before.1);
    idle.supervisor_cpu.push(after.0 - before.0);
    Ok(())
}
