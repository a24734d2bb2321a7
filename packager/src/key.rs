//! The key that signs: found where git would find it, used through ssh-keygen, so that agents, hardware keys and passphrases
//! work as people know them. Touches files, git's settings, ssh-keygen.

use crate::{
    failure::{Failure, Outcome},
    git::{Git, feed},
};
use anyhow::Context;
use ssh_key::{HashAlg, PrivateKey, PublicKey};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use swarm_manifests::signature::Signature;

/// A signing key, as git's `user.signingkey` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A file: the private key, or the public one of a key that lies beside it or in the agent.
    File(PathBuf),
    /// A public key, in words; its private half is in the agent.
    Literal(String),
}

/// Where people's keys lie who have told git nothing.
const USUAL: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

impl Key {
    /// `--key`, else git's `user.signingkey` or `gpg.ssh.defaultKeyCommand`, else the usual file in `~/.ssh`.
    pub fn find(given: Option<&Path>, git: &Git) -> Outcome<Self> {
        if let Some(path) = given {
            if !path.exists() {
                return Err(
                    Failure::new(format!("there is no key file {}", path.display()))
                        .hint("--key takes the path of a private or public SSH key"),
                );
            }
            return Ok(Self::File(
                path.canonicalize()
                    .with_context(|| format!("{} cannot be found", path.display()))?,
            ));
        }
        if let Some(value) = git.config_path("user.signingkey")? {
            return Self::from_setting(&value, git.top());
        }
        if let Some(command) = git.config("gpg.ssh.defaultKeyCommand")? {
            return Self::from_command(&command);
        }
        let home = std::env::var_os("HOME")
            .map(PathBuf::from)
            .unwrap_or_default();
        let usual = USUAL
            .iter()
            .map(|name| home.join(".ssh").join(name))
            .find(|path| path.exists());
        let usual = usual.or_else(|| {
            USUAL
                .iter()
                .map(|name| home.join(".ssh").join(format!("{name}.pub")))
                .find(|path| path.exists())
        });
        usual.map(Self::File).ok_or_else(|| {
            Failure::new("no signing key was found: git has no user.signingkey, and ~/.ssh has no id_ed25519")
                .hint("make one with  ssh-keygen -t ed25519  and name it:  git config --global user.signingkey ~/.ssh/id_ed25519.pub  (or give --key FILE)")
        })
    }

    fn from_setting(value: &str, top: &Path) -> Outcome<Self> {
        if let Some(literal) = value
            .strip_prefix("key::")
            .or_else(|| value.starts_with("ssh-").then_some(value))
        {
            return Ok(Self::Literal(literal.trim().into()));
        }
        let path = top.join(value);
        if path.exists() {
            return Ok(Self::File(path));
        }
        let what = if value.contains('/') {
            "there is no such file"
        } else {
            "that is no file and no SSH key (it may be the id of a GPG key)"
        };
        Err(Failure::new(format!("git's user.signingkey is {value:?}, and {what}"))
            .hint("git config user.signingkey ~/.ssh/id_ed25519.pub  names an SSH key; --key FILE does so for once"))
    }

    fn from_command(command: &str) -> Outcome<Self> {
        let output = Command::new("sh")
            .args(["-c", command])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output();
        let output = output.with_context(|| {
            format!("git's gpg.ssh.defaultKeyCommand ({command}) could not be run")
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let literal = text.lines().find_map(|line| {
            line.strip_prefix("key::")
                .or_else(|| line.starts_with("ssh-").then_some(line))
        });
        literal
            .map(|literal| Self::Literal(literal.trim().into()))
            .ok_or_else(|| {
                Failure::new(format!(
                    "git's gpg.ssh.defaultKeyCommand ({command}) names no key"
                ))
                .hint("add a key to your agent with ssh-add, or give --key FILE")
            })
    }

    /// The key as git's `user.signingkey`.
    pub fn setting(&self) -> String {
        match self {
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Literal(literal) => format!("key::{literal}"),
        }
    }

    /// Git that signs with this key.
    pub fn in_git(&self, git: &Git) -> Git {
        git.clone()
            .with_setting("gpg.format", "ssh")
            .with_setting("user.signingkey", &self.setting())
    }

    /// The public half.
    pub fn public(&self) -> Outcome<PublicKey> {
        match self {
            Self::Literal(text) => Ok(PublicKey::from_openssh(text)
                .with_context(|| format!("{text:?} is not an SSH public key"))?),
            Self::File(path) => public_of(path),
        }
    }

    /// `SHA256:…`
    pub fn fingerprint(&self) -> Outcome<String> {
        Ok(self.public()?.fingerprint(HashAlg::Sha256).to_string())
    }

    /// Signs these bytes, and checks the signature as every box will.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Outcome<(String, Signature)> {
        let mut literal = None;
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]);
        match self {
            Self::File(path) => command.arg(path),
            Self::Literal(text) => {
                let file = literal.insert(
                    tempfile::NamedTempFile::new().context("no temporary file could be made")?,
                );
                writeln!(file, "{text}").context("a temporary file could not be written")?;
                command.arg(file.path()).arg("-U")
            }
        };
        let output = feed(&mut command, message)?;
        if !output.status.success() {
            return Err(Failure::new(format!("ssh-keygen could not sign with {}", self.setting()))
                .hint("is the private key beside it, or in your agent (ssh-add -l)? --key FILE names another one"));
        }
        let signature = Signature::parse(&output.stdout)
            .and_then(|signature| signature.verify(namespace, message).map(|()| signature));
        let signature = signature.map_err(|error| {
            Failure::new(format!(
                "the signature made with {} would be refused: {error}",
                self.setting()
            ))
            .hint("swarm-pack takes ed25519, ECDSA, and RSA from 2048 bits")
        })?;
        Ok((
            String::from_utf8_lossy(&output.stdout).into_owned(),
            signature,
        ))
    }
}

fn public_of(path: &Path) -> Outcome<PublicKey> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the key {} could not be read", path.display()))?;
    if let Ok(public) = PublicKey::from_openssh(text.trim()) {
        return Ok(public);
    }
    if let Ok(private) = PrivateKey::from_openssh(&text) {
        return Ok(private.public_key().clone());
    }
    // Older forms (PEM): ssh-keygen reads them.
    let output = Command::new("ssh-keygen")
        .args(["-y", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .context("ssh-keygen could not be run; is it installed?")?;
    let public = PublicKey::from_openssh(String::from_utf8_lossy(&output.stdout).trim());
    public.map_err(|_| {
        Failure::new(format!("{} is not an SSH key", path.display()))
            .hint("--key takes the path of a private or public SSH key")
    })
}
