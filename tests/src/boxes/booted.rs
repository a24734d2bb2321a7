//! One box: a systemd-nspawn container with systemd as PID 1, in a network namespace and cgroups of its own.

use super::{Base, Names, base, groups::Groups, sweep, switch};
use crate::process::{is_alive, output, run, signal, until};
use anyhow::{Context, Result};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A box that was booted; its fleet ends it.
#[derive(Debug)]
pub struct Booted {
    names: Names,
    /// `box-1`
    pub name: String,
    number: usize,
    folder: PathBuf,
}

impl Booted {
    /// The box of this number, there or not.
    pub fn of(names: &Names, number: usize) -> Self {
        let name = format!("box-{number}");
        Self {
            folder: names.folder().join(&name),
            names: names.clone(),
            name,
            number,
        }
    }

    /// Its address on the switch.
    pub fn address(&self) -> String {
        switch::address(self.number)
    }

    /// Its files, as it sees them.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.folder
            .join("root")
            .join(inside.trim_start_matches('/'))
    }

    /// Makes its disk and its cable, and boots it. `hosts`: its `/etc/hosts`; `key`: who may come in as root.
    pub fn boot(&self, base: &Base, hosts: &str, key: &Path) -> Result<()> {
        for name in ["upper", "work", "root"] {
            fs::create_dir_all(self.folder.join(name))?;
        }
        base.mount(&self.folder)?;
        fs::write(self.path("/etc/hostname"), format!("{}\n", self.name))?;
        fs::write(self.path("/etc/hosts"), hosts)?;
        super::fleet::let_in(&self.path("/"), key)?;
        switch::plug(&self.names, &self.name, self.number)?;
        self.power_on()
    }

    fn groups(&self) -> Result<Groups> {
        Groups::of(&self.names.machine(&self.name))
    }

    /// Starts its PID 1. A reboot inside (nspawn ends with 133) starts it again.
    pub fn power_on(&self) -> Result<()> {
        let groups = self.groups()?;
        groups.make()?;
        let script = format!(
            "{enter}export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_NSPAWN_LOCK=0\n\
             while :; do\n\
             systemd-nspawn -q -D {root} -M {name} --register=no --keep-unit --link-journal=no --resolv-conf=off --timezone=off \
             --network-namespace-path=/run/netns/{machine} --console=pipe --boot\n\
             status=$?\n\
             [ $status = 133 ] || exit $status\n\
             echo rebooted\n\
             done\n",
            enter = groups.enter(),
            root = self.folder.join("root").display(),
            name = self.name,
            machine = self.names.machine(&self.name),
        );
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("console"))?;
        // A process group of its own: Ctrl-C in a terminal is not the box's power switch.
        let child = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        fs::write(self.folder.join("pid"), sweep::named(child.id())?)?;
        // Reaped when it ends, so that it is seen to have ended.
        std::thread::spawn(move || {
            let mut child = child;
            let _ = child.wait();
        });
        Ok(())
    }

    /// What its console said.
    pub fn console(&self) -> String {
        fs::read_to_string(self.folder.join("console")).unwrap_or_default()
    }

    /// The shell that boots it, while it lives.
    fn keeper(&self) -> Option<u32> {
        sweep::living(&fs::read_to_string(self.folder.join("pid")).ok()?)
    }

    /// The host's number of its PID 1, once there is one.
    pub fn init(&self) -> Option<u32> {
        let nspawn = only_child(self.keeper()?)?;
        // What nspawn forks is no box before it has become its init: until then it sees this very machine.
        only_child(nspawn).filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| name.trim() == "systemd")
        })
    }

    /// Waits until systemd has started everything, and sshd answers at the switch.
    pub fn until_up(&self) -> Result<()> {
        let up = until(&format!("{} being up", self.name), || {
            let state = self.try_sh("systemctl is-system-running").ok()?;
            let state = String::from_utf8_lossy(&state.stdout).trim().to_string();
            ["running", "degraded"]
                .contains(&state.as_str())
                .then_some(())
        });
        up.with_context(|| self.console())
    }

    /// Waits for the boot after the one of this id.
    pub fn until_rebooted(&self, before: &str) -> Result<()> {
        until(&format!("{} being booted again", self.name), || {
            self.boot_id().ok().filter(|now| now != before)
        })?;
        self.until_up()
    }

    /// Changes with each boot.
    pub fn boot_id(&self) -> Result<String> {
        self.sh("cat /proc/sys/kernel/random/boot_id")
    }

    /// A shell in the box, by its namespaces and not by the network, whatever it exits with.
    pub fn try_sh(&self, script: &str) -> Result<Output> {
        let init = self
            .init()
            .with_context(|| format!("{} is off", self.name))?;
        output(&mut enter(init, script))
    }

    /// The same, which has to succeed; what it printed, without the last newline.
    pub fn sh(&self, script: &str) -> Result<String> {
        let init = self
            .init()
            .with_context(|| format!("{} is off", self.name))?;
        Ok(run(&mut enter(init, script))?.trim_end().to_string())
    }

    /// `kill -9` of PID 1: the power is cut as far as processes are concerned; or asks it to shut down first.
    pub fn power_off(&self, politely: bool) -> Result<()> {
        if politely && let (Some(keeper), Some(init)) = (self.keeper(), self.init()) {
            // SIGRTMIN+4 is systemd's "power off".
            signal(init, "RTMIN+4");
            let _ = until(&format!("{} shutting down", self.name), || {
                (!is_alive(keeper)).then_some(())
            });
        }
        // The keeper is in them, too: nothing is booted again.
        let groups = self.groups()?;
        until(&format!("{} being off", self.name), || {
            groups.kill();
            (groups.are_empty() && self.keeper().is_none()).then_some(())
        })?;
        groups.remove();
        Ok(())
    }

    /// Ends it if it runs, and removes its disk.
    pub fn remove(&self) -> Result<()> {
        self.power_off(false)?;
        base::unmount(&self.folder)?;
        fs::remove_dir_all(&self.folder)?;
        Ok(())
    }

    /// Cuts or mends its cable.
    pub fn cable(&self, whole: bool) -> Result<()> {
        switch::cable(&self.names, self.number, whole)
    }
}

fn enter(init: u32, script: &str) -> Command {
    let mut command = Command::new("nsenter");
    command
        .args([
            "--all",
            "--target",
            &init.to_string(),
            "--",
            "/bin/sh",
            "-c",
            script,
        ])
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LANG", "C.UTF-8")
        .env("NO_COLOR", "1");
    command
}

fn only_child(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}
