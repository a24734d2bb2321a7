//! A deploy repository with its bare remote, as a person works in it.

use crate::{
    World,
    process::{output, run},
};
use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A clone in which alice, admin, works with her own key.
#[derive(Debug)]
pub struct Deploy<'a> {
    pub(crate) world: &'a World,
    folder: PathBuf,
    /// 40 hexadecimal digits.
    pub introduction: String,
    /// 64 hexadecimal digits.
    pub policy_sha256: String,
}

impl<'a> Deploy<'a> {
    /// `swarm-pack init` in a new clone, and a bare repository `git/deploy.git` as its remote by path.
    pub fn new(world: &'a World) -> Result<Self> {
        let folder = world.path("deploy");
        fs::create_dir(&folder)?;
        let key = world.key("alice")?;
        run(world
            .command("git")
            .args(["config", "--global", "user.signingkey"])
            .arg(key.with_extension("pub")))?;
        let bare = world.path("git/deploy.git");
        run(world
            .command("git")
            .args(["init", "-q", "--bare"])
            .arg(&bare))?;
        for (name, value) in [
            ("http.receivepack", "true"),
            ("uploadpack.allowFilter", "true"),
            ("uploadpack.allowAnySHA1InWant", "true"),
        ] {
            run(world
                .command("git")
                .arg("-C")
                .arg(&bare)
                .args(["config", name, value]))?;
        }
        let printed = run(world
            .pack()
            .current_dir(&folder)
            .args(["init", "--person", "alice", "--json"]))?;
        let said: Value = serde_json::from_str(&printed)
            .with_context(|| format!("init --json printed {printed}"))?;
        let field = |key: &str| {
            said.get(key)
                .and_then(Value::as_str)
                .map(str::to_string)
                .with_context(|| format!("init gave no {key}"))
        };
        let deploy = Self {
            world,
            folder,
            introduction: field("introduction")?,
            policy_sha256: field("policy-sha256")?,
        };
        deploy.git(&["remote", "add", "origin", &bare.display().to_string()])?;
        deploy.git(&["push", "-q", "--no-verify", "-u", "origin", "main"])?;
        Ok(deploy)
    }

    /// A path in the clone.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file in the clone, with the folders above it.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(path.parent().context("a parent")?)?;
        fs::write(&path, text)?;
        Ok(path)
    }

    /// `git` in the clone, to be completed.
    pub fn git_command(&self) -> Command {
        let mut command = self.world.command("git");
        command.current_dir(&self.folder);
        command
    }

    /// `git …` in the clone.
    pub fn git(&self, words: &[&str]) -> Result<String> {
        run(self.git_command().args(words))
    }

    /// `swarm-pack …` in the clone, which has to succeed.
    pub fn pack(&self, words: &[&str]) -> Result<String> {
        run(self.world.pack().current_dir(&self.folder).args(words))
    }

    /// `swarm-pack …` in the clone, whatever it exits with.
    pub fn try_pack(&self, words: &[&str]) -> Result<Output> {
        output(self.world.pack().current_dir(&self.folder).args(words))
    }

    /// A bundle in `sources/NAME`: bundle.toml is completed with name and version.
    pub fn source(
        &self,
        name: &str,
        version: &str,
        toml: &str,
        files: &[(&str, &str)],
    ) -> Result<String> {
        let folder = format!("sources/{name}");
        self.write(
            &format!("{folder}/bundle.toml"),
            format!("name = \"{name}\"\nversion = \"{version}\"\n{toml}"),
        )?;
        for (file, text) in files {
            self.write(&format!("{folder}/{file}"), text)?;
        }
        Ok(folder)
    }

    /// Publishes a shell workflow from its script.
    pub fn publish_sh(&self, name: &str, version: &str, script: &str) -> Result<()> {
        let folder = self.source(
            name,
            version,
            "engine = \"sh\"\nentry = \"main.sh\"\n",
            &[("main.sh", script)],
        )?;
        self.pack(&["publish", &folder]).map(drop)
    }

    /// Writes a manifest and commits it signed.
    pub fn manifest(&self, workflow: &str, toml: &str) -> Result<()> {
        let path = format!("manifests/{workflow}.toml");
        self.write(&path, toml)?;
        self.git(&["add", &path])?;
        self.git(&["commit", "-q", "-S", "-m", &format!("deploy {workflow}")])
            .map(drop)
    }

    /// `git push`, without the check before it.
    pub fn push(&self) -> Result<()> {
        self.git(&["push", "-q", "--no-verify", "origin", "main"])
            .map(drop)
    }

    /// The head's id.
    pub fn head(&self) -> Result<String> {
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_string())
    }

    /// The bare repository's path.
    pub fn remote(&self) -> PathBuf {
        self.world.path("git/deploy.git")
    }
}
