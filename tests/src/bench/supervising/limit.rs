//! The limits: a few lines of C that start a child again, without any protection and with those of our default sandbox.

use super::contender::{Contender, kill_all, stamps};
use crate::{World, bench::c::compile, process::Running};
use anyhow::{Context, Result};
use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

/// The first user id of its children; as in limit.c.
const FIRST_UID: u32 = 70_000;

/// One of both.
pub struct Limit<'a> {
    world: &'a World,
    sandboxed: bool,
    children: usize,
    program: PathBuf,
    child: PathBuf,
    folder: PathBuf,
    group: PathBuf,
    process: Option<Running>,
}

impl<'a> Limit<'a> {
    /// With a folder for each child; `group` is a cgroup that may be made.
    pub fn new(
        world: &'a World,
        child: &Path,
        sandboxed: bool,
        children: usize,
        group: PathBuf,
    ) -> Result<Self> {
        let kind = if sandboxed { "sandbox" } else { "bare" };
        let folder = world.path(format!("limit-{kind}-{children}/children"));
        for number in 0..children {
            let own = folder.join(number.to_string());
            fs::create_dir_all(&own)?;
            if sandboxed {
                let id = FIRST_UID + u32::try_from(number)?;
                chown(&own, Some(id), Some(id))?;
            }
        }
        Ok(Self {
            world,
            sandboxed,
            children,
            program: compile(world, "limit", include_str!("limit.c"))?,
            child: child.to_owned(),
            folder,
            group,
            process: None,
        })
    }

    fn kind(&self) -> &'static str {
        if self.sandboxed { "sandbox" } else { "bare" }
    }
}

impl Contender for Limit<'_> {
    fn name(&self) -> &str {
        if self.sandboxed {
            "limit in C, sandbox"
        } else {
            "limit in C, bare"
        }
    }

    fn begin(&mut self) -> Result<()> {
        for number in 0..self.children {
            let _ = fs::remove_file(self.stamps(number));
        }
        fs::create_dir(&self.group).with_context(|| self.group.display().to_string())?;
        let mut command = self.world.command(&self.program);
        command
            .arg(self.kind())
            .arg(self.children.to_string())
            .arg(&self.child)
            .arg(&self.folder)
            .arg(&self.group);
        let log = self.world.path("logs").join(self.kind());
        self.process = Some(Running::start(self.kind(), &mut command, &log)?);
        Ok(())
    }

    fn stamps(&self, child: usize) -> PathBuf {
        self.folder.join(child.to_string()).join("stamps")
    }

    fn supervising(&self) -> Result<Vec<u32>> {
        Ok(self.process.iter().map(Running::pid).collect())
    }

    fn list(&self) -> Option<Command> {
        None
    }

    fn end(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        process.kill();
        let last = |child| stamps(&self.stamps(child)).last().map(|stamp| stamp.pid);
        kill_all(&(0..self.children).filter_map(last).collect::<Vec<_>>())?;
        for number in 0..self.children {
            let _ = fs::remove_dir(self.group.join(number.to_string()));
        }
        let _ = fs::remove_dir(&self.group);
        Ok(())
    }
}

impl Drop for Limit<'_> {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
