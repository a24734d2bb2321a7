//! Programs in C: what is measured, and the limits beside it. In: a source. Out: a program. Touches the compiler and the world.

use crate::{World, process::run};
use anyhow::{Context, Result};
use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

/// Compiles a source into a folder of the world that every user may read, statically where this machine can.
pub fn compile(world: &World, name: &str, source: &str) -> Result<PathBuf> {
    let folder = world.path("programs");
    fs::create_dir_all(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    let (text, program) = (world.path(format!("{name}.c")), folder.join(name));
    fs::write(&text, source)?;
    let cc = |link: &[&str]| {
        run(world
            .command("cc")
            .args(["-O2", "-o"])
            .arg(&program)
            .arg(&text)
            .args(link))
    };
    cc(&["-static"])
        .or_else(|_| cc(&[]))
        .context("cc is needed: apt-get install gcc libc6-dev")?;
    Ok(program)
}
