//! Booted boxes, for tests and for people (`./dev boxes`): small Debian machines with systemd as PID 1 and sshd, on a switch of their own.
//!
//! They need root. Everything that a fleet is made of bears its name, so that what a killed run left is found and removed by
//! that name, and nothing else is ever touched: network namespaces and cgroups `swarmlet-FLEET-…`, a folder below `/var/tmp/swarmlet-boxes`.

mod base;
mod booted;
mod fleet;
mod git_server;
mod groups;
pub mod installed;
pub mod means;
mod playbook;
mod serial;
mod sweep;
pub mod switch;
pub mod vm;

pub use base::Base;
pub use booted::Booted;
pub use fleet::Fleet;
pub use git_server::GitServer;
pub use installed::Installed;
pub use playbook::{Playbook, Recap};
pub use vm::Vm;

use std::path::PathBuf;

/// Below it lies the folder of each fleet. On a disk: an overlay's upper folder must not lie on every kind of file system.
const FLEETS: &str = "/var/tmp/swarmlet-boxes";

/// What everything of one fleet is called.
#[derive(Debug, Clone)]
pub struct Names {
    fleet: String,
}

impl Names {
    /// Of a fleet: letters, digits and dashes only.
    pub fn of(fleet: &str) -> Self {
        Self {
            fleet: fleet.into(),
        }
    }

    /// Its folder.
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(FLEETS).join(&self.fleet)
    }

    /// The network namespace or the cgroup of one of its machines.
    pub fn machine(&self, name: &str) -> String {
        format!("swarmlet-{}-{name}", self.fleet)
    }

    /// The network namespace with the bridge.
    pub fn switch(&self) -> String {
        self.machine("switch")
    }
}
