//! A deploy repository made by the real git program, with real keys, in a temporary folder.

#![allow(dead_code)]

mod commits;

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use swarm_manifests::{
    id::{Digest, Oid},
    settings::Trust,
};
use swarm_repository::{
    objects::Objects,
    trunk::{Advance, Trusted},
    verifier::Verifier,
};

/// A temporary folder with keys and a repository at `deploy`.
pub struct World {
    pub folder: tempfile::TempDir,
}

/// The policy that most worlds begin with: alice may all, bob deploys to lab boxes, ci publishes.
pub const PEOPLE: [&str; 4] = ["alice", "bob", "ci", "eve"];

impl World {
    /// A repository with the first policy, signed by alice.
    pub fn new() -> Self {
        let world = Self::empty();
        world.write("policy.toml", &world.policy(1, ""));
        world.commit("alice", "introduction");
        world
    }

    /// A repository without a commit, and keys for everybody.
    pub fn empty() -> Self {
        let world = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        for person in PEOPLE {
            world.keygen(person, &["-t", "ed25519"]);
        }
        fs::create_dir(world.deploy()).expect("folder");
        world.git(["init", "-q", "-b", "main"]);
        world
    }

    pub fn deploy(&self) -> PathBuf {
        self.folder.path().join("deploy")
    }

    pub fn key(&self, person: &str) -> PathBuf {
        self.folder.path().join(format!("{person}.key"))
    }

    pub fn keygen(&self, person: &str, args: &[&str]) {
        let key = self.key(person);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-C", person, "-f"])
            .arg(&key)
            .args(args)
            .status();
        assert!(
            made.expect("ssh-keygen runs; install openssh-client")
                .success(),
            "ssh-keygen makes a key"
        );
    }

    pub fn public(&self, person: &str) -> String {
        fs::read_to_string(self.key(person).with_extension("key.pub"))
            .expect("public key")
            .trim()
            .to_owned()
    }

    /// The policy of most worlds, in this version, with more text behind it.
    pub fn policy(&self, version: u64, more: &str) -> String {
        let key = |person: &str| self.public(person);
        format!(
            r#"format = 1
repository = "b1f0c2d3e4f5a6b7"
version = {version}
threshold = 1

[people.alice]
keys = ["{}"]
admin = true
[people.bob]
keys = ["{}"]
[people.ci]
keys = ["{}"]

[[grant]]
people = ["alice"]
may = ["publish", "deploy", "operate"]
workflows = ["*"]
[[grant]]
people = ["bob"]
may = ["deploy"]
workflows = ["*"]
boxes = ["lab-*"]
[[grant]]
people = ["ci"]
may = ["publish"]
workflows = ["ramp"]
{more}"#,
            key("alice"),
            key("bob"),
            key("ci")
        )
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let home = self.folder.path();
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home);
        command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .current_dir(self.deploy());
        for who in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{who}_NAME"), "Somebody")
                .env(format!("GIT_{who}_EMAIL"), "somebody@example.org");
        }
        command
    }

    /// Runs git and returns what it printed, without the last newline.
    pub fn git<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> String {
        done(self.command("git").args(args))
    }

    pub fn try_git<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Output {
        self.command("git").args(args).output().expect("git runs")
    }

    /// Runs git with this input.
    pub fn git_with<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> String {
        let mut child = self
            .command("git")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("git runs");
        child
            .stdin
            .take()
            .expect("piped")
            .write_all(input)
            .expect("git reads");
        let output = child.wait_with_output().expect("git ends");
        assert!(output.status.success(), "git with input");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.deploy().join(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        fs::write(path, text).expect("file");
    }

    pub fn remove(&self, path: &str) {
        self.git(["rm", "-rq", "--ignore-unmatch", path]);
    }

    pub fn head(&self) -> Oid {
        self.id("HEAD")
    }

    pub fn id(&self, name: &str) -> Oid {
        self.git(["rev-parse", "--verify", name])
            .parse()
            .expect("id")
    }

    pub fn objects(&self) -> Objects {
        Objects::open(&self.deploy(), false).expect("objects")
    }

    /// `[trust]` of the introduction: the first commit.
    pub fn trust(&self) -> Trust {
        let first = self
            .git(["rev-list", "--max-parents=0", "HEAD"])
            .lines()
            .last()
            .expect("a commit")
            .to_owned();
        let policy = self
            .command("git")
            .args(["show", &format!("{first}:policy.toml")])
            .output()
            .expect("git")
            .stdout;
        Trust {
            introduction: first.parse().expect("id"),
            policy: Digest::of(&policy),
            position: 0,
        }
    }

    /// What is trusted at the introduction.
    pub fn introduced(&self) -> Trusted {
        let introduced = Verifier::new()
            .introduce(&self.objects(), &self.trust())
            .expect("objects");
        introduced.expect("the introduction is good")
    }

    /// Verifies from the introduction to `head`.
    pub fn advance(&self, head: Oid) -> Advance {
        Verifier::new()
            .advance(&self.objects(), &self.introduced(), head)
            .expect("objects")
    }

    /// The commit at HEAD stops the trunk at its first parent by this rule; returns the reason.
    pub fn refused(&self, rule: &str) -> String {
        let (found, commit, at, reason) = stopped(self.advance(self.head()));
        assert_eq!((found, commit), (rule, self.head()), "{reason}");
        assert_eq!(at.head, self.id("HEAD^1"));
        assert!(
            reason.contains(&commit.short()),
            "{reason} names the commit"
        );
        reason
    }

    /// What is trusted at the head, which must be good.
    pub fn trusted(&self) -> Trusted {
        let introduced = self.introduced();
        match self.advance(self.head()) {
            Advance::Moved(trusted) => trusted,
            Advance::Same => introduced,
            other => panic!("not trusted: {other:?}"),
        }
    }

    /// Builds, signs and places a bundle of these files.
    pub fn bundle(&self, signer: &str, name: &str, version: &str, files: &[(&str, &str)]) {
        let toml = format!(
            "name = \"{name}\"\nversion = \"{version}\"\nengine = \"sh\"\nentry = \"run.sh\"\n"
        );
        let mut all: Vec<(&str, &str)> = vec![("bundle.toml", &toml)];
        all.extend(files);
        all.sort_unstable();
        let mut lock = format!("swarm-bundle-v1\nname {name}\nversion {version}\n");
        let folder = format!("bundles/{name}/{version}");
        for (path, text) in all {
            self.write(&format!("{folder}/{path}"), text);
            lock += &format!(
                "{} 644 {} {path}\n",
                Digest::of(text.as_bytes()).hex(),
                text.len()
            );
        }
        self.write(&format!("{folder}/bundle.lock"), &lock);
        self.sign_lock(signer, &folder, "swarm-bundle@v1");
    }

    /// Signs the policy.toml of the working tree with this key, as this person's approval.
    pub fn approve_policy(&self, person: &str, key: &str, namespace: &str) {
        let text = fs::read_to_string(self.deploy().join("policy.toml")).expect("policy.toml");
        let armour = self.signature(key, namespace, &text);
        self.write(&format!("policy.sigs/{person}.sig"), &armour);
    }

    /// What ssh-keygen signs of this text.
    pub fn signature(&self, key: &str, namespace: &str, text: &str) -> String {
        let file = self.folder.path().join("to-be-signed");
        let armour = file.with_extension("sig");
        let _ = fs::remove_file(&armour);
        fs::write(&file, text).expect("file");
        let signed = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .arg(self.key(key))
            .arg(&file)
            .output();
        assert!(
            signed.expect("ssh-keygen").status.success(),
            "ssh-keygen signs"
        );
        fs::read_to_string(armour).expect("a signature")
    }

    /// `SHA256:…`
    pub fn fingerprint(&self, person: &str) -> String {
        let key = swarm_manifests::key::read(&self.public(person)).expect("a key");
        key.fingerprint(ssh_key::HashAlg::Sha256).to_string()
    }

    pub fn sign_lock(&self, signer: &str, folder: &str, namespace: &str) {
        let lock = self.deploy().join(folder).join("bundle.lock");
        let _ = fs::remove_file(lock.with_extension("lock.sig"));
        let signed = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .arg(self.key(signer))
            .arg(&lock)
            .output();
        assert!(
            signed.expect("ssh-keygen").status.success(),
            "ssh-keygen signs"
        );
    }

    /// A manifest for these boxes (a TOML array, or none for all).
    pub fn manifest(&self, path: &str, boxes: Option<&str>) {
        let on = boxes.map_or("all = true".to_owned(), |boxes| format!("boxes = {boxes}"));
        self.write(
            path,
            &format!(
                "bundle = \"ramp\"\nversion = \"1.0.0\"\n[on]\n{on}\n[run]\nmode = \"once\"\n"
            ),
        );
    }
}

/// Runs git to a good end; what it printed, without the last newline.
fn done(git: &mut Command) -> String {
    let output = git.output().expect("git runs");
    assert!(
        output.status.success(),
        "git: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

/// The rule that stopped the trunk, and where it stands then.
pub fn stopped(advance: Advance) -> (&'static str, Oid, Trusted, String) {
    match advance {
        Advance::Stopped {
            at,
            commit,
            refusal,
        } => (refusal.rule.id, commit, at, refusal.reason),
        other => panic!("not stopped: {other:?}"),
    }
}

/// The rule by which the branch went astray.
pub fn astray(advance: Advance) -> &'static str {
    match advance {
        Advance::Astray(refusal) => refusal.rule.id,
        other => panic!("not astray: {other:?}"),
    }
}

/// All paths below a folder that exist in it.
pub fn listing(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).map(|all| {
        all.flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    });
    let mut names: Vec<String> = entries.unwrap_or_default();
    names.sort();
    names
}
