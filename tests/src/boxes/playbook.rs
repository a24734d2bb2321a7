//! The playbook of this project, run over real ssh on booted boxes; what it did is read from a JSON callback.

use super::{Fleet, means};
use crate::{Deploy, World, process::output, world::swarm_program};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// `ansible/site.yml` with an inventory of a test.
#[derive(Debug)]
pub struct Playbook<'a> {
    fleet: &'a Fleet,
    folder: PathBuf,
}

/// What a run did.
#[derive(Debug, Deserialize)]
pub struct Recap {
    /// Per host: `ok`, `changed`, `failures`, `unreachable`, `skipped` …
    pub hosts: BTreeMap<String, BTreeMap<String, u64>>,
    /// `changed box-2: Write agent.toml`
    pub notable: Vec<String>,
}

impl Recap {
    /// The sum over all hosts.
    pub fn count(&self, what: &str) -> u64 {
        let counts = self.hosts.values().filter_map(|host| host.get(what));
        counts.sum()
    }
}

impl<'a> Playbook<'a> {
    /// box-1 is the map, the others are the fleet; `url` is the deploy repository, with its known hosts and the key for it.
    pub fn new(
        fleet: &'a Fleet,
        world: &World,
        deploy: &Deploy<'_>,
        url: &str,
        identity: &Path,
    ) -> Result<Self> {
        let folder = world.path("playbook");
        fs::create_dir_all(folder.join("callbacks"))?;
        fs::write(folder.join("callbacks/recap.py"), include_str!("recap.py"))?;
        let known = fs::read_to_string(fleet.folder().join("known_hosts"))?;
        let binaries = swarm_program("swarm-agent");
        let binaries = binaries.parent().context("a folder")?;
        let mut boxes = String::new();
        for (number, one) in fleet.boxes()[1..].iter().enumerate() {
            writeln!(
                boxes,
                "        {}: {{swarm_agent_labels: {{site: test, rack: {number}}}}}",
                one.name
            )?;
        }
        let inventory = format!(
            "all:\n  vars:\n    swarm_binaries: {binaries}\n    swarm_repository_url: {url}\n    swarm_repository_known_hosts: |\n      {known}\n    \
             swarm_repository_identity_file: {identity}\n    swarm_trust_introduction: \"{introduction}\"\n    swarm_trust_policy_sha256: \"{policy}\"\n    \
             swarm_agent_repository_poll: 1s\n    swarm_map_public_read: true\n    swarm_map_heartbeat: 1s\n  children:\n    swarm_map:\n      hosts:\n        box-1:\n    \
             swarm_boxes:\n      hosts:\n{boxes}",
            binaries = binaries.display(),
            known = known.trim().replace('\n', "\n      "),
            identity = identity.display(),
            introduction = deploy.introduction,
            policy = deploy.policy_sha256,
        );
        fs::write(folder.join("inventory.yml"), inventory)?;
        Ok(Self { fleet, folder })
    }

    /// Runs it, with these words added; it must not fail on any host.
    pub fn run(&self, words: &[&str]) -> Result<Recap> {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ansible");
        let recap = self.folder.join("recap.json");
        let mut command = self.fleet.command(means::ansible("ansible-playbook")?);
        command
            .current_dir(&project)
            .arg("-i")
            .arg(self.fleet.folder().join("inventory.yml"))
            .arg("-i")
            .arg(self.folder.join("inventory.yml"))
            .arg("site.yml")
            .args(words)
            .env("ANSIBLE_CALLBACK_PLUGINS", self.folder.join("callbacks"))
            .env("ANSIBLE_CALLBACKS_ENABLED", "recap")
            .env("ANSIBLE_HOME", self.folder.join("home"))
            .env("ANSIBLE_NOCOLOR", "1")
            .env("RECAP", &recap);
        let output = output(&mut command)?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "the playbook ended with {}\n{said}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let text = fs::read_to_string(&recap).context("the callback wrote nothing")?;
        Ok(serde_json::from_str(&text)?)
    }
}
