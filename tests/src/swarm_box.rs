//! A box: its configuration, its agent, and what a person asks it.

use crate::{
    Deploy, World,
    process::{Running, is_failing, output, run, until},
    reserve::UserIds,
};
use anyhow::{Context, Result};
use std::{
    cell::Cell,
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::{Command, Output},
};
use swarm_manifests::status::{Row, State};

/// One box with its agent.
#[derive(Debug)]
pub struct SwarmBox<'a> {
    world: &'a World,
    name: String,
    agent: Option<Running>,
    users: UserIds,
    /// Whether what was asked of it last failed: the test may end by that, without a panic.
    is_unwell: Cell<bool>,
}

impl<'a> SwarmBox<'a> {
    /// A box that polls this url, with further lines at the end of its agent.toml; not started yet.
    pub fn new(
        world: &'a World,
        name: &str,
        deploy: &Deploy<'_>,
        url: &str,
        repository: &str,
        tail: &str,
    ) -> Result<Self> {
        let made = Self {
            world,
            name: name.into(),
            agent: None,
            users: UserIds::reserve()?,
            is_unwell: Cell::new(false),
        };
        fs::create_dir_all(made.path(""))?;
        let folder = made.path("");
        let folder = folder.display().to_string();
        let folder = folder.trim_end_matches('/');
        let users = if tail.contains("[users]") {
            String::new()
        } else {
            made.users.settings()
        };
        let toml = format!(
            "box = \"{name}\"\nlabels = {{ site = \"test\" }}\nstate = \"{folder}/state\"\ncontrol = \"{folder}/control.sock\"\n\n[repository]\nurl = \"{url}\"\n{repository}\n[trust]\nintroduction = \"{}\"\npolicy-sha256 = \"{}\"\n\n{users}\n{tail}",
            deploy.introduction, deploy.policy_sha256
        );
        fs::write(made.path("agent.toml"), toml)?;
        Ok(made)
    }

    /// The same, started, with a short poll.
    pub fn start(world: &'a World, name: &str, deploy: &Deploy<'_>, url: &str) -> Result<Self> {
        let mut made = Self::new(world, name, deploy, url, "poll = \"1s\"\n", "")?;
        made.run()?;
        Ok(made)
    }

    /// A path in the box's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.world.path("boxes").join(&self.name).join(name)
    }

    /// Where packs come first.
    pub fn quarantine(&self) -> PathBuf {
        let starters = self.path("state/indexer/quarantine");
        if starters.is_dir() {
            return starters;
        }
        self.path("state/agent/quarantine")
    }

    /// Starts the agent, and waits until it answers. Workflows of an earlier one go on.
    pub fn run(&mut self) -> Result<()> {
        let mut command = self.world.agent();
        // A process group of its own, and no `--stop-workflows`: what a test leaves is ended by `drop`.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
            .arg("run")
            .arg("--config")
            .arg(self.path("agent.toml"));
        self.agent = Some(Running::start(
            &self.name,
            &mut command,
            &self.world.path("logs").join(&self.name),
        )?);
        let answers = until("the agent answering on its control socket", || {
            let alive = self.agent.as_mut().is_some_and(Running::is_alive);
            if !alive {
                return Some(false);
            }
            self.try_agent(&["list"])
                .ok()
                .filter(|output| output.status.success())
                .map(|_| true)
        })?;
        anyhow::ensure!(answers, "the agent ended at once; {}", self.log());
        Ok(())
    }

    /// The supervisor's process.
    ///
    /// # Panics
    /// Where the box was not started.
    pub fn supervisor(&mut self) -> &mut Running {
        self.agent.as_mut().expect("the box was started")
    }

    /// The supervisor's process id, where it was started.
    pub fn supervisor_pid(&self) -> Option<u32> {
        self.agent.as_ref().map(Running::pid)
    }

    /// What the agent said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.world.path("logs").join(&self.name)).unwrap_or_default()
    }

    /// None of its processes panicked so far.
    ///
    /// # Panics
    /// Where one did.
    pub fn assert_no_panic(&self) {
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.world.agent();
        command
            .args(words)
            .arg("--config")
            .arg(self.path("agent.toml"));
        command
    }

    /// `swarm-agent …`, which has to succeed.
    pub fn agent(&self, words: &[&str]) -> Result<String> {
        let outcome = run(&mut self.command(words));
        self.is_unwell.set(outcome.is_err());
        outcome
    }

    /// `swarm-agent …`, whatever it exits with.
    pub fn try_agent(&self, words: &[&str]) -> Result<Output> {
        output(&mut self.command(words))
    }

    /// `list --json`
    pub fn rows(&self) -> Result<Vec<Row>> {
        let text = self.agent(&["list", "--json"])?;
        serde_json::from_str(&text).with_context(|| format!("list --json printed {text}"))
    }

    /// The first row of a workflow.
    pub fn row(&self, workflow: &str) -> Result<Option<Row>> {
        Ok(self
            .rows()?
            .into_iter()
            .find(|row| row.workflow == workflow))
    }

    /// Waits until a workflow's first row is as wanted.
    pub fn until_row(
        &self,
        workflow: &str,
        what: &str,
        wanted: impl Fn(&Row) -> bool,
    ) -> Result<Row> {
        let found = until(&format!("{workflow} {what} on {}", self.name), || {
            self.row(workflow).ok().flatten().filter(|row| wanted(row))
        });
        found.with_context(|| format!("{:#?}", self.row(workflow).unwrap_or_default()))
    }

    /// Waits until a workflow runs.
    pub fn until_runs(&self, workflow: &str, version: &str) -> Result<Row> {
        self.until_row(workflow, &format!("running {version}"), |row| {
            matches!(row.state, State::Running | State::Ready)
                && row.version.as_deref() == Some(version)
        })
    }

    /// Waits until a workflow is in a state.
    pub fn until_state(&self, workflow: &str, state: State) -> Result<Row> {
        self.until_row(workflow, state.as_str(), |row| row.state == state)
    }

    /// What a workflow printed, without time stamps.
    pub fn printed(&self, workflow: &str) -> Result<Vec<String>> {
        let text = self.agent(&["logs", workflow, "--json"])?;
        let lines: Vec<serde_json::Value> = serde_json::from_str(&text)?;
        Ok(lines
            .iter()
            .filter(|line| line["stream"] != "swarm")
            .filter_map(|line| line["text"].as_str().map(str::to_string))
            .collect())
    }

    /// Waits for a line that a workflow prints.
    pub fn until_printed(&self, workflow: &str, line: &str) -> Result<()> {
        let seen = until(&format!("{workflow} printing {line:?}"), || {
            self.printed(workflow)
                .ok()?
                .iter()
                .any(|text| text.contains(line))
                .then_some(())
        });
        seen.with_context(|| format!("it printed {:?}", self.printed(workflow)))
    }

    /// What a person would look at who has to find out what went wrong: rows, the chain of each workflow, what it printed, the journal.
    fn report(&self) -> String {
        let mut report = format!("---- {}\n", self.name);
        let mut ask = |words: &[&str]| {
            let said = self.try_agent(words).map_or_else(
                |error| format!("{error:#}"),
                |output| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into(),
            );
            // Writing to a String cannot fail.
            let _ = writeln!(report, "$ swarm-agent {}\n{said}", words.join(" "));
        };
        for words in [&["status"][..], &["list"], &["history"]] {
            ask(words);
        }
        let mut names: Vec<_> = self.rows().unwrap_or_default();
        names.dedup_by(|one, other| one.workflow == other.workflow);
        for row in names {
            ask(&["why", &row.workflow]);
            ask(&["logs", &row.workflow, "-n", "20"]);
        }
        report
    }
}

impl Drop for SwarmBox<'_> {
    /// Tells what it knows where the test failed; then ends every workflow, then the agent: nothing of a test stays.
    fn drop(&mut self) {
        if let Some(agent) = self.agent.as_mut()
            && !agent.is_alive()
        {
            let _ = self.run();
        }
        if is_failing() || self.is_unwell.get() {
            eprintln!("{}", self.report());
        }
        for row in self.rows().unwrap_or_default() {
            let _ = self.try_agent(&["kill", &row.workflow]);
        }
        if let Some(mut agent) = self.agent.take() {
            agent.end();
        }
    }
}
