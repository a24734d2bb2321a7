//! Commits of a world: by git as people make them, and by hand as nobody should.

use super::{World, done};
use std::{fs, process::Command};
use swarm_manifests::id::Oid;

impl World {
    /// Adds everything and commits it signed by `person`.
    pub fn commit(&self, person: &str, message: &str) -> Oid {
        self.git(["add", "-A"]);
        self.commit_staged(person, message)
    }

    /// git, which signs with this person's key where it is told to.
    pub fn signing_git(&self, person: &str) -> Command {
        let mut git = self.command("git");
        let key = format!("user.signingkey={}", self.key(person).display());
        git.args(["-c", "gpg.format=ssh", "-c", &key]);
        git
    }

    pub fn commit_staged(&self, person: &str, message: &str) -> Oid {
        let mut git = self.signing_git(person);
        git.args(["commit", "-q", "-S", "--allow-empty", "-m", message]);
        done(&mut git);
        self.head()
    }

    pub fn commit_unsigned(&self, message: &str) -> Oid {
        self.git(["add", "-A"]);
        self.git([
            "commit",
            "-q",
            "--no-gpg-sign",
            "--allow-empty",
            "-m",
            message,
        ]);
        self.head()
    }

    /// Commits a tree as it is, signed, upon these parents; moves no branch.
    pub fn commit_tree(&self, person: &str, tree: &str, parents: &[Oid]) -> Oid {
        let mut git = self.signing_git(person);
        git.args(["commit-tree", "-S", "-m", "made by hand"]);
        for parent in parents {
            git.args(["-p", &parent.to_string()]);
        }
        done(git.arg(tree)).parse().expect("id")
    }

    /// A commit upon HEAD, rightly signed, whose tree is not there.
    pub fn commit_tree_of_missing(&self, person: &str, tree: Oid) -> Oid {
        let who = "Somebody <somebody@example.org> 1700000000 +0000";
        let payload = format!(
            "tree {tree}\nparent {}\nauthor {who}\ncommitter {who}\n\nmessage\n",
            self.head()
        );
        self.write("payload/bundle.lock", &payload);
        self.sign_lock(person, "payload", "git");
        let armour =
            fs::read_to_string(self.deploy().join("payload/bundle.lock.sig")).expect("signature");
        let header = format!("gpgsig {}\n\n", armour.trim_end().replace('\n', "\n "));
        self.raw_commit(
            payload
                .replacen("\n\n", &format!("\n{header}"), 1)
                .as_bytes(),
        )
    }

    /// Writes a raw commit as it is.
    pub fn raw_commit(&self, raw: &[u8]) -> Oid {
        self.git_with(
            [
                "hash-object",
                "-t",
                "commit",
                "-w",
                "--stdin",
                "--literally",
            ],
            raw,
        )
        .parse()
        .expect("id")
    }

    pub fn raw(&self, id: Oid) -> Vec<u8> {
        self.command("git")
            .args(["cat-file", "commit", &id.to_string()])
            .output()
            .expect("git runs")
            .stdout
    }
}
