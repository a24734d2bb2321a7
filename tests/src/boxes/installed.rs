//! The agent on a booted box, installed from this build's program and the project's own units.

use super::Booted;
use crate::{Deploy, World, process::run, until, world::swarm_program};
use anyhow::{Context, Result};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use swarm_manifests::status::{Row, State};

/// A machine that a shell can be run on.
pub trait Machine {
    /// What it printed; an error unless it succeeded.
    fn sh(&self, script: &str) -> Result<String>;
    /// For messages.
    fn name(&self) -> &str;
}

impl Machine for Booted {
    fn sh(&self, script: &str) -> Result<String> {
        Self::sh(self, script)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Where the deploy repository lies on the box.
pub const REPOSITORY: &str = "/srv/deploy.git";

/// A folder of the project.
pub fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// Puts program, units, users and configuration below this root; nothing is started.
pub fn install_below(root: &Path, world: &World, deploy: &Deploy<'_>, tail: &str) -> Result<()> {
    let copy = |from: PathBuf, to: &str, mode: u32| -> Result<()> {
        let to = root.join(to);
        fs::create_dir_all(to.parent().context("a folder")?)?;
        fs::copy(&from, &to).with_context(|| from.display().to_string())?;
        fs::set_permissions(&to, fs::Permissions::from_mode(mode))?;
        Ok(())
    };
    copy(
        swarm_program("swarm-agent"),
        "usr/local/bin/swarm-agent",
        0o755,
    )?;
    for unit in ["swarm-agent.service", "swarm-workflows.service"] {
        let from = project("packaging/systemd").join(unit);
        copy(from, &format!("etc/systemd/system/{unit}"), 0o644)?;
    }
    copy(
        project("packaging/sysusers.d/swarm.conf"),
        "usr/lib/sysusers.d/swarm.conf",
        0o644,
    )?;
    configure_below(root, world, deploy, tail)
}

/// Puts agent.toml and the deploy repository below this root.
pub fn configure_below(root: &Path, world: &World, deploy: &Deploy<'_>, tail: &str) -> Result<()> {
    fs::create_dir_all(root.join("etc/swarm"))?;
    fs::write(
        root.join("etc/swarm/agent.toml"),
        format!(
            "[repository]\nurl = \"{REPOSITORY}\"\npoll = \"1s\"\n\n[trust]\nintroduction = \"{}\"\npolicy-sha256 = \"{}\"\n\n{tail}",
            deploy.introduction, deploy.policy_sha256
        ),
    )?;
    run(world
        .command("git")
        .args(["clone", "-q", "--bare"])
        .arg(deploy.remote())
        .arg(root.join(REPOSITORY.trim_start_matches('/'))))
    .map(drop)
}

/// What `systemctl enable` does, for a root file system that is not booted.
pub fn enable_below(root: &Path) -> Result<()> {
    for unit in ["swarm-agent.service", "swarm-workflows.service"] {
        let link = root
            .join("etc/systemd/system/multi-user.target.wants")
            .join(unit);
        std::os::unix::fs::symlink(Path::new("/etc/systemd/system").join(unit), link)?;
    }
    Ok(())
}

/// Makes the users and starts the units, as a package does.
pub const START: &str = "set -e; systemd-sysusers; systemctl daemon-reload; systemctl enable -q --now swarm-workflows swarm-agent";

/// The agent on a machine, asked as a person asks.
#[derive(Debug)]
pub struct Installed<'a, M> {
    /// Where.
    pub machine: &'a M,
}

impl<'a> Installed<'a, Booted> {
    /// Installs it on a bare box and starts it.
    pub fn on(machine: &'a Booted, world: &World, deploy: &Deploy<'_>) -> Result<Self> {
        install_below(&machine.path("/"), world, deploy, "")?;
        machine.sh(START)?;
        Ok(Self { machine })
    }
}

impl<M: Machine> Installed<'_, M> {
    /// `list --json`
    pub fn rows(&self) -> Result<Vec<Row>> {
        let text = self.machine.sh("swarm-agent list --json")?;
        serde_json::from_str(&text).with_context(|| format!("list --json printed {text}"))
    }

    /// Waits until a workflow's row is as wanted.
    pub fn until_row(
        &self,
        workflow: &str,
        what: &str,
        wanted: impl Fn(&Row) -> bool,
    ) -> Result<Row> {
        let found = until(
            &format!("{workflow} {what} on {}", self.machine.name()),
            || {
                let rows = self.rows().ok()?;
                rows.into_iter()
                    .find(|row| row.workflow == workflow && wanted(row))
            },
        );
        found.with_context(|| {
            format!(
                "the rows are {:#?}\n{}",
                self.rows().unwrap_or_default(),
                self.machine
                    .sh("journalctl -b -u 'swarm-*' --no-pager | tail -n 40")
                    .unwrap_or_default()
            )
        })
    }

    /// Waits until a workflow runs; its process id, inside.
    pub fn until_runs(&self, workflow: &str) -> Result<i32> {
        let row = self.until_row(workflow, "running", |row| {
            matches!(row.state, State::Running | State::Ready) && row.pid.is_some()
        })?;
        row.pid.context("a running workflow has a pid")
    }

    /// A process of the supervisor's own.
    pub fn supervisor(&self) -> Result<String> {
        self.machine.sh("systemctl show -P MainPID swarm-agent")
    }

    /// Waits until the unit is active with another main process than `before`.
    pub fn until_restarted(&self, before: &str) -> Result<String> {
        until("the supervisor being started again", || {
            let state = self
                .machine
                .sh("systemctl show -P ActiveState swarm-agent")
                .ok()?;
            let now = self.supervisor().ok()?;
            (state == "active" && now != before && now != "0").then_some(now)
        })
    }
}
