//! agent.toml becomes one validated configuration: defaults filled in, paths named. Reads the file and the host's name.

use anyhow::{Context, bail};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};
use swarm_manifests::{
    indexer::ALONE,
    name::Name,
    settings::{self, Engine, Settings},
    shape::MAX_TEXT,
};

/// What this box is told to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where it was read from.
    pub file: PathBuf,
    /// The box's name.
    pub name: Name,
    /// agent.toml itself.
    pub settings: Settings,
    /// The built-in engines, and over them those of the box.
    pub engines: BTreeMap<Name, Engine>,
    /// `SWARM_LOCAL`: everything comes from this folder, unsigned.
    pub local: Option<PathBuf>,
    /// Why the indexer is not a user of its own, where it is not.
    pub indexer_alone: Option<String>,
}

impl Config {
    /// Reads and checks the file; every problem of it stands in the error.
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        let text = read_capped(file).with_context(|| format!("cannot read {}", file.display()))?;
        let (settings, problems) = settings::read(&file.to_string_lossy(), &text);
        let Some(settings) = settings else {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            bail!("{}", lines.join("\n"));
        };
        let local = std::env::var_os("SWARM_LOCAL").map(PathBuf::from);
        let config = Self::of(file, settings, local)?;
        Ok(Self {
            indexer_alone: std::env::var(ALONE).ok(),
            ..config
        })
    }

    /// Fills in the defaults.
    pub fn of(file: &Path, settings: Settings, local: Option<PathBuf>) -> anyhow::Result<Self> {
        let name = match &settings.name {
            Some(name) => name.clone(),
            None => short_host_name()
                .context("this host's name is no name of a box: set box = \"…\" in agent.toml")?,
        };
        let mut engines = settings::built_in_engines();
        engines.extend(settings.engines.clone());
        if local.is_none() && settings.repository.is_some() && settings.trust.is_none() {
            bail!(
                "{}: [repository] without [trust]: nothing is trusted on first use; swarm-pack init prints what goes there",
                file.display()
            );
        }
        Ok(Self {
            file: file.into(),
            name,
            settings,
            engines,
            local,
            indexer_alone: None,
        })
    }

    /// The agent's own folder: trust, keys, mirror, outbox.
    pub fn own(&self) -> PathBuf {
        self.settings.state.join("agent")
    }

    /// Where verified bundles lie.
    pub fn store(&self) -> PathBuf {
        self.settings.state.join("store")
    }

    /// A configuration read anew, with what cannot change while the agent runs as it was.
    #[must_use]
    pub fn keeping_what_needs_restart(&self, mut new: Self) -> Self {
        let old = &self.settings;
        new.name.clone_from(&self.name);
        new.settings.state.clone_from(&old.state);
        new.settings.control.clone_from(&old.control);
        new.settings.users = old.users;
        new.settings.agent_user.clone_from(&old.agent_user);
        new.settings.switch_users = old.switch_users;
        new.settings.logs.clone_from(&old.logs);
        new
    }

    /// What cannot change while the agent runs, of a configuration read anew: a warning each.
    pub fn needs_restart(&self, new: &Self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut say = |same: bool, key: &str| {
            if !same {
                warnings.push(format!(
                    "{key} has changed in {}: it counts after a restart of the agent",
                    self.file.display()
                ));
            }
        };
        say(self.name == new.name, "box");
        say(self.settings.state == new.settings.state, "state");
        say(self.settings.control == new.settings.control, "control");
        say(
            self.settings.users == new.settings.users
                && self.settings.agent_user == new.settings.agent_user,
            "[users]",
        );
        say(self.settings.logs == new.settings.logs, "[logs]");
        say(
            self.settings.switch_users == new.settings.switch_users,
            "[users] switch",
        );
        warnings
    }
}

/// The short host name in lower case.
pub fn short_host_name() -> anyhow::Result<Name> {
    let uname = rustix::system::uname();
    let full = uname.nodename().to_string_lossy().to_ascii_lowercase();
    Ok(Name::new(full.split('.').next().unwrap_or_default())?)
}

fn read_capped(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    // One byte more than is taken, so that the reader says that it is too large.
    File::open(file)?
        .take(MAX_TEXT as u64 + 1)
        .read_to_end(&mut text)?;
    Ok(text)
}
