//! More than one person in a deploy repository, and boxes on its roster: their commits and approvals go in, pushed commits come out.
//!
//! Touches the clone, by git, `ssh-keygen` and `swarm-pack`.

use crate::{
    Deploy, SwarmBox,
    process::{feed, run},
    until,
};
use anyhow::{Context, Result};
use std::{fs, process::Command};
use swarm_manifests::{approval::Subject, id::Digest, name::Name};

impl Deploy<'_> {
    /// A person's public key, as policy.toml has it.
    pub fn public(&self, person: &str) -> Result<String> {
        let key = self.world.key(person)?.with_extension("pub");
        Ok(fs::read_to_string(key)?.trim().to_string())
    }

    /// The fingerprint of a person's key.
    pub fn fingerprint(&self, person: &str) -> Result<String> {
        let mut command = Command::new("ssh-keygen");
        let printed = run(command.arg("-l").arg("-f").arg(self.world.key(person)?))?;
        let print = printed.split(' ').nth(1).context("a fingerprint")?;
        Ok(print.to_string())
    }

    /// alice changes the policy: its version is raised, this is done to its text, and it is pushed.
    pub fn change_policy(&self, change: impl FnOnce(String) -> String) -> Result<()> {
        let file = self.path("policy.toml");
        let text = fs::read_to_string(&file)?;
        let line = text
            .lines()
            .find(|line| line.starts_with("version = "))
            .context("a version")?
            .to_string();
        let version: u64 = line["version = ".len()..].trim().parse()?;
        let next = text.replacen(&line, &format!("version = {}", version + 1), 1);
        fs::write(&file, change(next))?;
        self.commit_as("alice", "policy")?;
        self.push()
    }

    /// Everything that alice may, this person may from now on, too; with `extra` below the grant.
    pub fn admit(&self, people: &[&str], extra: &str) -> Result<()> {
        let mut tables = String::new();
        let mut list = String::from("\"alice\"");
        for person in people {
            tables += &format!("[people.{person}]\nkeys = [{:?}]\n", self.public(person)?);
            list += &format!(", {person:?}");
        }
        self.change_policy(|text| {
            text.replace("people = [\"alice\"]", &format!("people = [{list}]"))
                .replace("[[grant]]", &format!("{tables}[[grant]]"))
                .replace(
                    "workflows = [\"*\"]",
                    &format!("workflows = [\"*\"]\n{extra}"),
                )
        })
    }

    /// alice revokes a person's key from a commit on.
    pub fn revoke(&self, person: &str, from: &str) -> Result<()> {
        let print = self.fingerprint(person)?;
        self.change_policy(|text| {
            text + &format!(
                "\n[[revoked]]\nkey = {print:?}\nfrom = {from:?}\nreason = \"laptop stolen\"\n"
            )
        })
    }

    /// Somebody commits everything that was changed, signed with their own key. Gives the commit's id.
    pub fn commit_as(&self, person: &str, message: &str) -> Result<String> {
        let key = format!("user.signingkey={}", self.world.key(person)?.display());
        self.git(&["add", "-A"])?;
        self.git(&["-c", &key, "commit", "-q", "-S", "-m", message])?;
        self.head()
    }

    /// Somebody approves the manifest of a workflow, which the head changed last, of this version of the bundle of the same name;
    /// as a file that is not committed yet.
    pub fn approve_as(&self, person: &str, workflow: &str, version: &str) -> Result<()> {
        let digest = |file: &str| -> Result<Digest> { Ok(Digest::of(&fs::read(self.path(file))?)) };
        let policy = fs::read_to_string(self.path("policy.toml"))?;
        let statement = Subject {
            repository: policy.split('"').nth(1).context("an id")?,
            workflow: &Name::new(workflow)?,
            manifest: digest(&format!("manifests/{workflow}.toml"))?,
            bundle: digest(&format!("bundles/{workflow}/{version}/bundle.lock"))?,
            commit: self.head()?.parse()?,
        }
        .statement();
        let place = format!("approvals/{workflow}/{person}");
        fs::remove_file(self.path(format!("{place}.sig"))).ok();
        let file = self.write(&place, statement)?;
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-Y", "sign", "-n", "swarm-manifest@v1", "-f"]);
        run(command.arg(self.world.key(person)?).arg(&file))?;
        Ok(fs::remove_file(&file)?)
    }

    /// A box that has made its key becomes part of the roster, and of the trunk.
    pub fn enlist(&self, here: &SwarmBox<'_>, name: &str) -> Result<()> {
        let key = here.path("state/agent/box.key");
        until("the box having a key", || key.exists().then_some(()))?;
        let public = run(Command::new("ssh-keygen").arg("-y").arg("-f").arg(&key))?;
        let file = self.world.path(format!("keys/{name}.pub"));
        fs::write(&file, public)?;
        self.pack(&["box", "add", name, "--key", &file.display().to_string()])?;
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-q", "-S", "--allow-empty", "-m", name])?;
        self.push()
    }

    /// A secret of a workflow for the boxes of the roster, as a file that is not committed yet.
    pub fn encrypt(&self, workflow: &str, name: &str, secret: &str) -> Result<()> {
        let mut command = self.world.pack();
        command.current_dir(self.path(""));
        command.args(["encrypt", workflow, name]);
        feed(&mut command, secret.as_bytes()).map(drop)
    }
}
