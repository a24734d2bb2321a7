//! What booted boxes cannot do without: root, and programs from Debian packages.

use crate::process::program;
use anyhow::{Result, ensure};
use std::path::PathBuf;

/// Programs and the packages that they come in.
const NEEDED: [(&str, &str); 6] = [
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("ip", "iproute2"),
    ("ssh", "openssh-client"),
    ("nsenter", "util-linux"),
    ("flock", "util-linux"),
];

/// Says what is missing, with the command that installs it.
pub fn require() -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "booted boxes need root: sudo ./dev boxes up"
    );
    for (name, package) in NEEDED {
        program(name, package)?;
    }
    Ok(())
}

/// The same for a virtual machine.
pub fn require_emulator() -> Result<()> {
    for (name, package) in [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("mke2fs", "e2fsprogs"),
        ("setpriv", "util-linux"),
    ] {
        program(name, package)?;
    }
    Ok(())
}

/// A program of Ansible's: from the PATH, or from where `./dev` installs it.
pub fn ansible(name: &str) -> Result<PathBuf> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/ansible/bin");
    if own.join(name).is_file() {
        return Ok(own.join(name));
    }
    program(name, "NAME; or in the project: ./dev ansible --version")
}
