//! A git server on a booted box, as people set one up: a user `git` with git-shell, a bare repository, a key each for who pushes and who reads.

use super::{Booted, Fleet};
use crate::{Deploy, World, process::run};
use anyhow::Result;
use std::{fs, path::PathBuf};

/// `ssh://git@BOX/srv/git/deploy.git`
#[derive(Debug)]
pub struct GitServer<'a> {
    fleet: &'a Fleet,
    host: String,
    /// The key that boxes read with, and a person pushes with.
    pub identity: PathBuf,
}

/// What makes it, on a bare box.
const SETUP: &str = "useradd --create-home --home-dir /srv/git --shell /usr/bin/git-shell git
install -d -m 700 -o git -g git /srv/git/.ssh
git init -q --bare -b main /srv/git/deploy.git
git -C /srv/git/deploy.git config uploadpack.allowFilter true
chown -R git:git /srv/git
echo 'AcceptEnv GIT_PROTOCOL' >/etc/ssh/sshd_config.d/git.conf
systemctl reload ssh";

impl<'a> GitServer<'a> {
    /// Sets it up on this box.
    pub fn set_up(fleet: &'a Fleet, on: &Booted, world: &World) -> Result<Self> {
        on.sh(&format!("set -e\n{SETUP}"))?;
        let identity = world.key("deploy-key")?;
        let key = fs::read_to_string(identity.with_extension("pub"))?;
        fs::write(on.path("/srv/git/.ssh/authorized_keys"), key)?;
        Ok(Self {
            fleet,
            host: on.name.clone(),
            identity,
        })
    }

    /// As boxes reach it.
    pub fn url(&self) -> String {
        format!("ssh://git@{}/srv/git/deploy.git", self.host)
    }

    /// `git push` of everything that was committed, over ssh from the switch.
    pub fn push(&self, deploy: &Deploy<'_>, world: &World) -> Result<()> {
        let address = self.fleet.named(&self.host)?.address();
        let ssh = format!(
            "ssh -F {} -o IdentityFile={} -o HostKeyAlias={}",
            self.fleet.folder().join("ssh_config").display(),
            self.identity.display(),
            self.host
        );
        let mut git = self.fleet.command("git");
        git.current_dir(deploy.path(""))
            .env("HOME", world.path("home"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_SSH_COMMAND", ssh)
            .args(["push", "-q", "--no-verify"])
            .arg(format!("ssh://git@{address}/srv/git/deploy.git"))
            .arg("main");
        run(&mut git).map(drop)
    }
}
