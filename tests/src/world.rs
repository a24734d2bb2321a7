//! One folder, one set of keys, and the three programs.

use crate::process::run;
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The test's own folder; gone with it.
#[derive(Debug)]
pub struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// An empty world with a home of its own.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("swarm-test-").tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        for name in ["home", "logs", "keys", "git", "boxes"] {
            fs::create_dir(folder.path().join(name))?;
        }
        fs::set_permissions(
            folder.path().join("keys"),
            fs::Permissions::from_mode(0o700),
        )?;
        let world = Self { folder };
        let home = world.path("home/.gitconfig");
        fs::write(
            home,
            "[user]\n\tname = test\n\temail = test@example.org\n[init]\n\tdefaultBranch = main\n[protocol \"file\"]\n\tallow = always\n",
        )?;
        Ok(world)
    }

    /// A path in the world.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command in the environment of this world: its home, nothing of the machine's own configuration.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env(
            "PATH",
            std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
        );
        command
            .env("HOME", self.path("home"))
            .env("LANG", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0");
        command.current_dir(self.folder.path());
        command
    }

    /// `swarm-agent`
    pub fn agent(&self) -> Command {
        self.command(swarm_program("swarm-agent"))
    }

    /// `swarm-map`
    pub fn map(&self) -> Command {
        self.command(swarm_program("swarm-map"))
    }

    /// `swarm-pack`
    pub fn pack(&self) -> Command {
        self.command(swarm_program("swarm-pack"))
    }

    /// A new ed25519 key by `ssh-keygen`; gives the private key's path (`.pub` beside it).
    pub fn key(&self, name: &str) -> Result<PathBuf> {
        let path = self.path("keys").join(name);
        if !path.exists() {
            run(self
                .command("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
                .arg(&path))?;
        }
        Ok(path)
    }
}

/// A program of this build: it lies two folders above the test's own executable.
///
/// # Panics
/// Where it was not built.
pub fn swarm_program(name: &str) -> PathBuf {
    let found = || -> Result<PathBuf> {
        if let Some(folder) = std::env::var_os("SWARM_BIN_DIR") {
            return Ok(PathBuf::from(folder).join(name));
        }
        let own = std::env::current_exe()?;
        let folder = own
            .ancestors()
            .skip(1)
            .find(|folder| folder.join("swarm-agent").exists())
            .context("no swarm-agent above the test")?;
        let path = folder.join(name);
        ensure!(path.exists(), "{} is not there", path.display());
        Ok(path)
    };
    found().unwrap_or_else(|error| {
        panic!("{error:#}; build the programs first: cargo build --workspace --bins")
    })
}
