//! A box's own cgroup folders, under every hierarchy that systemd inside it wants. Touches /sys/fs/cgroup, below folders of ours only.

use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// One folder under the one mount; on a hybrid host one under `systemd` and one under `unified`.
#[derive(Debug, Clone)]
pub struct Groups {
    folders: Vec<PathBuf>,
}

impl Groups {
    /// Those of this name, there or not.
    pub fn of(name: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let folders = mounts
            .lines()
            .filter_map(|line| {
                let mut words = line.split(' ').skip(1);
                let (point, kind, options) = (words.next()?, words.next()?, words.next()?);
                let wanted = kind == "cgroup2"
                    || (kind == "cgroup" && options.split(',').any(|word| word == "name=systemd"));
                wanted.then(|| Path::new(point).join(name))
            })
            .collect();
        Ok(Self { folders })
    }

    /// Makes them.
    pub fn make(&self) -> Result<()> {
        for folder in &self.folders {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        Ok(())
    }

    /// The words of a shell that puts itself into them.
    pub fn enter(&self) -> String {
        let lines = self
            .folders
            .iter()
            .map(|folder| format!("echo $$ > {}/cgroup.procs\n", folder.display()));
        lines.collect()
    }

    /// Kills who is left in them.
    pub fn kill(&self) {
        for folder in &self.folders {
            each_below(folder, &mut |folder| {
                let pids = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                for pid in pids.lines().filter_map(|line| line.parse().ok()) {
                    crate::process::signal(pid, "KILL");
                }
            });
        }
    }

    /// Removes them; nobody may be left in them.
    pub fn remove(&self) {
        for folder in &self.folders {
            each_below(folder, &mut |folder| {
                let _ = fs::remove_dir(folder);
            });
        }
    }

    /// Whether nobody is left in them.
    pub fn are_empty(&self) -> bool {
        let mut empty = true;
        for folder in &self.folders {
            each_below(folder, &mut |folder| {
                let pids = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                empty &= pids.is_empty();
            });
        }
        empty
    }
}

/// The deepest first.
fn each_below(folder: &Path, act: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            each_below(&entry.path(), act);
        }
    }
    if folder.exists() {
        act(folder);
    }
}
