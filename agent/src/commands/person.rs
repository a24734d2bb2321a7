//! The key that a person signs with: found as git and ssh find it, and used by `ssh-keygen`, so that agents, passphrases and hardware
//! keys work as people know them. Touches files and that program.

use super::Failure;
use anyhow::Context as _;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A key that a person signs with.
pub struct Key {
    /// What `ssh-keygen -Y sign -f` takes: the private key, or the public one where an agent has the other.
    file: PathBuf,
    /// The key itself.
    pub public: ssh_key::PublicKey,
}

impl Key {
    /// `--key`, git's `user.signingkey`, or the first of the usual files.
    pub fn find(named: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(file) = named.or_else(of_git) {
            return Self::read(file);
        }
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let usual = ["id_ed25519", "id_ecdsa", "id_ed25519_sk", "id_rsa"];
        let found = home.and_then(|home| {
            let mut files = usual.iter().map(|name| home.join(".ssh").join(name));
            files.find(|file| public_of(file).exists())
        });
        let file = found.ok_or_else(|| {
            Failure::with(2, "no SSH key is known")
                .hint("say --key FILE, or set git's user.signingkey")
        })?;
        Self::read(file)
    }

    fn read(file: PathBuf) -> Result<Self, Failure> {
        let public = public_of(&file);
        let text = std::fs::read_to_string(&public)
            .with_context(|| format!("the public key {}", public.display()))?;
        let public = swarm_manifests::key::read(text.trim())
            .with_context(|| format!("{}", public.display()))?;
        Ok(Self { file, public })
    }

    /// The armoured signature of a text, for a purpose.
    pub fn sign(&self, namespace: &str, text: &str) -> Result<String, Failure> {
        let mut child = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .arg(&self.file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("ssh-keygen cannot be started (apt-get install openssh-client)")?;
        if let Some(mut input) = child.stdin.take() {
            input
                .write_all(text.as_bytes())
                .context("ssh-keygen does not read")?;
        }
        let output = child.wait_with_output().context("ssh-keygen")?;
        if !output.status.success() {
            return Err(Failure::with(
                1,
                format!("ssh-keygen does not sign with {}", self.file.display()),
            ));
        }
        Ok(String::from_utf8(output.stdout).map_err(anyhow::Error::from)?)
    }
}

/// `FILE.pub`, or the file itself where it is that.
fn public_of(file: &Path) -> PathBuf {
    if file.extension().is_some_and(|end| end == "pub") {
        return file.to_owned();
    }
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

fn of_git() -> Option<PathBuf> {
    let mut git = Command::new("git");
    let output = git
        .args(["config", "--path", "--get", "user.signingkey"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let file = PathBuf::from(text.trim());
    (output.status.success() && public_of(&file).exists()).then_some(file)
}
