//! Ours: a box with supervisor and agent, its workflows deployed through a signed repository, verified and sandboxed.

use super::contender::{Contender, stamps, until_started};
use crate::{
    Deploy, SwarmBox, World,
    bench::watched::Roles,
    process::{Running, child_in_role, until},
    world::swarm_program,
};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// The box.
pub struct Ours<'a> {
    world: &'a World,
    here: SwarmBox<'a>,
    children: usize,
    process: Option<Running>,
    named: &'static str,
}

/// A workflow's name.
pub fn workflow(child: usize) -> String {
    format!("child-{child:04}")
}

/// `max-delay = "0s"`: started again at once, however often.
pub const MANIFEST: &str = "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n\n[restart]\nmax-delay = \"0s\"\n";

impl<'a> Ours<'a> {
    /// Publishes the program, deploys so many workflows in one commit, and brings them up once.
    pub fn new(
        world: &'a World,
        deploy: &Deploy<'_>,
        child: &Path,
        children: usize,
    ) -> Result<Self> {
        let source = deploy.source(
            "child",
            "1.0.0",
            "engine = \"exec\"\nentry = \"child\"\n",
            &[],
        )?;
        fs::copy(child, deploy.path(&source).join("child"))?;
        deploy.pack(&["publish", &source])?;
        for number in 0..children {
            deploy.write(
                &format!("manifests/{}.toml", workflow(number)),
                format!("bundle = \"child\"\n{MANIFEST}"),
            )?;
        }
        deploy.git(&["add", "manifests"])?;
        deploy.git(&["commit", "-q", "-S", "-m", "deploy the children"])?;
        deploy.push()?;
        let url = deploy.remote().display().to_string();
        let here = SwarmBox::new(
            world,
            "box-1",
            deploy,
            &url,
            "",
            "[users]\nrange = [80000, 85000]\n",
        )?;
        let mut ours = Self {
            world,
            here,
            children,
            process: None,
            named: "swarmlet",
        };
        ours.begin()?;
        for number in 0..children {
            until_started(&ours.stamps(number), 1).with_context(|| ours.said())?;
        }
        ours.end()?;
        Ok(ours)
    }

    /// What supervisor and agent said.
    pub fn said(&self) -> String {
        self.process
            .as_ref()
            .map(Running::last_words)
            .unwrap_or_default()
    }

    /// Supervisor and agent, as `/proc` shows them.
    pub fn roles(&self) -> Result<Roles> {
        Roles::find(self.process.as_ref().context("it runs")?.pid())
    }

    /// The box, for its command line.
    pub fn here(&self) -> &SwarmBox<'a> {
        &self.here
    }

    /// Starts it without forgetting what the children told so far.
    pub fn resume(&mut self) -> Result<()> {
        let mut command = self.world.agent();
        command
            .args(["run", "--stop-workflows", "--config"])
            .arg(self.here.path("agent.toml"));
        self.process = Some(Running::start(
            "box-1",
            &mut command,
            &self.world.path("logs/box-1"),
        )?);
        Ok(())
    }

    /// Has supervisor and agent replaced by the same program. Milliseconds without a supervisor, as the new one says, and until there
    /// is another agent.
    pub fn upgrade(&self) -> Result<(f64, f64)> {
        let before = self.roles()?;
        let begun = Instant::now();
        let said = self.here.try_agent(&["upgrade"])?;
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        until("another agent", || {
            child_in_role(before.supervisor, "agent").filter(|pid| *pid != before.agent)
        })?;
        let until_agent = begun.elapsed().as_secs_f64() * 1000.0;
        // "upgraded in place from 0.1.0 to 0.1.0 in 7 ms"
        let words = said.rsplit_once(" in ").map(|(_, last)| last);
        let without = words.and_then(|last| last.split(' ').next()?.parse().ok());
        Ok((without.context(said)?, until_agent))
    }

    /// `kill -9` of the supervisor and of the agent.
    pub fn crash(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            // Not all roles: a keeper that outlived the supervisor before this one is nobody's child.
            let agent = until("the agent", || child_in_role(process.pid(), "agent"))?;
            crate::process::kill_now(agent);
            process.kill();
        }
        Ok(())
    }
}

impl Contender for Ours<'_> {
    fn name(&self) -> &str {
        self.named
    }

    fn begin(&mut self) -> Result<()> {
        for number in 0..self.children {
            let _ = fs::remove_file(self.stamps(number));
        }
        self.resume()
    }

    fn stamps(&self, child: usize) -> PathBuf {
        self.here
            .path(&format!("state/workflows/{}/0/stamps", workflow(child)))
    }

    fn supervising(&self) -> Result<Vec<u32>> {
        Ok(self.roles()?.all().to_vec())
    }

    fn list(&self) -> Option<Command> {
        let mut command = self.world.command(swarm_program("swarm-agent"));
        command
            .args(["list", "--config"])
            .arg(self.here.path("agent.toml"));
        Some(command)
    }

    fn end(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.end();
        }
        let left = (0..self.children)
            .filter_map(|child| stamps(&self.stamps(child)).last().map(|stamp| stamp.pid));
        let left: Vec<u32> = left.filter(|pid| crate::process::is_alive(*pid)).collect();
        anyhow::ensure!(left.is_empty(), "left alive: {left:?}");
        Ok(())
    }
}

impl Drop for Ours<'_> {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
