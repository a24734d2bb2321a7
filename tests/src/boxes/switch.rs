//! The network of a fleet: one namespace with a bridge, and a namespace for each machine with a cable to it. No way out.

use super::Names;
use crate::process::run;
use anyhow::Result;
use std::{ffi::OsStr, process::Command};

/// The bridge's own address, where the test and its servers are.
pub const SWITCH: &str = "10.77.0.1";

/// `ip …`, which has to succeed.
fn ip(words: &str) -> Result<()> {
    run(Command::new("ip").args(words.split(' '))).map(drop)
}

/// The address of the machine of this number, from 1.
pub fn address(number: usize) -> String {
    format!("10.77.0.{}", 10 + number)
}

/// Makes the bridge.
pub fn make(names: &Names) -> Result<()> {
    let switch = names.switch();
    ip(&format!("netns add {switch}"))?;
    ip(&format!("-n {switch} link add br0 type bridge"))?;
    ip(&format!("-n {switch} addr add {SWITCH}/24 dev br0"))?;
    ip(&format!("-n {switch} link set br0 up"))?;
    ip(&format!("-n {switch} link set lo up"))
}

/// Makes a machine's namespace, and its cable.
pub fn plug(names: &Names, machine: &str, number: usize) -> Result<()> {
    let (switch, own, address) = (names.switch(), names.machine(machine), address(number));
    ip(&format!("netns add {own}"))?;
    ip(&format!(
        "-n {own} link add eth0 type veth peer name port{number} netns {switch}"
    ))?;
    ip(&format!("-n {own} addr add {address}/24 dev eth0"))?;
    ip(&format!("-n {own} link set eth0 up"))?;
    ip(&format!("-n {own} link set lo up"))?;
    ip(&format!("-n {switch} link set port{number} master br0"))?;
    cable(names, number, true)
}

/// Cuts a machine's cable, or mends it: at the switch's end, so that the machine sees what it would see.
pub fn cable(names: &Names, number: usize, whole: bool) -> Result<()> {
    let state = if whole { "up" } else { "down" };
    ip(&format!(
        "-n {} link set port{number} {state}",
        names.switch()
    ))
}

/// Removes every namespace of the fleet.
pub fn remove(names: &Names) {
    let prefix = names.machine("");
    let there = std::fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten();
    for entry in there {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix) {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

/// A command that runs at the switch.
pub fn at(names: &Names, program: &OsStr) -> Command {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &names.switch()])
        .arg(program);
    command
}
