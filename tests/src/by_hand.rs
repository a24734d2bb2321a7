//! Git objects and bundles made by hand: what no honest program writes.

use crate::{
    Deploy, World,
    process::{feed, run},
};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fs};

/// One file of a forged bundle: mode, path (by `/` into folders), bytes.
pub type File<'a> = (&'a str, &'a [u8], &'a [u8]);
/// One line of a forged lock: kind, path, bytes.
pub type Line<'a> = (&'a str, &'a str, &'a [u8]);

/// Makes objects in the clone's object store.
#[derive(Debug)]
pub struct ByHand<'a> {
    world: &'a World,
    deploy: &'a Deploy<'a>,
}

impl<'a> ByHand<'a> {
    /// In this clone.
    pub fn new(world: &'a World, deploy: &'a Deploy<'a>) -> Self {
        Self { world, deploy }
    }

    /// An object of these bytes, whatever they are.
    pub fn object(&self, kind: &str, bytes: &[u8]) -> Result<String> {
        let mut git = self.deploy.git_command();
        git.args(["hash-object", "--literally", "-w", "--stdin", "-t", kind]);
        Ok(feed(&mut git, bytes)?.trim().into())
    }

    /// A tree of these raw entries, in git's order.
    pub fn tree(&self, entries: &[(&str, &[u8], String)]) -> Result<String> {
        let mut sorted: Vec<_> = entries.iter().collect();
        sorted.sort_by_key(|(mode, name, _)| {
            let slash: &[u8] = if *mode == "40000" { b"/" } else { b"" };
            [name, slash].concat()
        });
        let mut raw = Vec::new();
        for (mode, name, id) in sorted {
            raw.extend([mode.as_bytes(), b" ", name, b"\0"].concat());
            raw.extend(hex::decode(id)?);
        }
        self.object("tree", &raw)
    }

    /// The tree of a folder with these files; folders are made as their paths say.
    pub fn folder(&self, files: &[File<'_>]) -> Result<String> {
        let mut entries = Vec::new();
        let mut below: BTreeMap<&[u8], Vec<File<'_>>> = BTreeMap::new();
        for (mode, path, bytes) in files {
            match path.iter().position(|byte| *byte == b'/') {
                Some(at) => {
                    let inner = below.entry(&path[..at]).or_default();
                    inner.push((mode, &path[at + 1..], bytes));
                }
                None if *mode == "160000" => entries.push((*mode, *path, self.deploy.head()?)),
                None => entries.push((*mode, *path, self.object("blob", bytes)?)),
            }
        }
        for (name, files) in below {
            entries.push(("40000", name, self.folder(&files)?));
        }
        self.tree(&entries)
    }

    /// bundle.lock, listing these lines as they are given.
    pub fn lock(name: &str, lines: &[Line<'_>]) -> String {
        let mut sorted = lines.to_vec();
        sorted.sort_by_key(|(_, path, _)| *path);
        let lines = sorted.iter().map(|(kind, path, bytes)| {
            let hash = hex::encode(Sha256::digest(bytes));
            format!("{hash} {kind} {} {path}\n", bytes.len())
        });
        let lines: String = lines.collect();
        format!("swarm-bundle-v1\nname {name}\nversion 1.0.0\n{lines}")
    }

    /// A signature by `ssh-keygen` with this person's key.
    pub fn sign(&self, person: &str, namespace: &str, text: &str) -> Result<String> {
        let key = self.world.key(person)?;
        let path = self.world.path("keys/to-sign");
        fs::write(&path, text)?;
        let signature = path.with_extension("sig");
        if signature.exists() {
            fs::remove_file(&signature)?;
        }
        run(self
            .world
            .command("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .arg(key)
            .arg(&path))?;
        Ok(fs::read_to_string(signature)?)
    }

    /// This tree with another entry at a path; folders on the way are made.
    pub fn graft(&self, tree: Option<&str>, path: &str, mode: &str, id: &str) -> Result<String> {
        let (name, rest) = path.split_once('/').unwrap_or((path, ""));
        let listed = match tree {
            Some(tree) => self.deploy.git(&["ls-tree", tree])?,
            None => String::new(),
        };
        let mut lines: Vec<&str> = listed.lines().collect();
        let mine = |line: &&str| {
            line.split_once('\t')
                .is_some_and(|(_, found)| found == name)
        };
        let old = lines.iter().position(mine).map(|at| lines.remove(at));
        let line = if rest.is_empty() {
            let kind = if mode == "40000" { "tree" } else { "blob" };
            format!("{mode} {kind} {id}\t{name}")
        } else {
            let below = old.and_then(|line| line.split_whitespace().nth(2));
            format!("040000 tree {}\t{name}", self.graft(below, rest, mode, id)?)
        };
        lines.push(&line);
        let mut git = self.deploy.git_command();
        git.args(["mktree", "--missing"]);
        Ok(
            feed(&mut git, format!("{}\n", lines.join("\n")).as_bytes())?
                .trim()
                .into(),
        )
    }

    /// The tree of the head.
    pub fn head_tree(&self) -> Result<String> {
        Ok(self
            .deploy
            .git(&["rev-parse", "HEAD^{tree}"])?
            .trim()
            .into())
    }

    /// A commit of this tree upon the head, signed by alice, and the branch at it.
    pub fn commit(&self, tree: &str, message: &str) -> Result<String> {
        let words = ["commit-tree", "-S", "-p", "HEAD", "-m", message, tree];
        let id = self.deploy.git(&words)?.trim().to_string();
        self.deploy.git(&["update-ref", "refs/heads/main", &id])?;
        Ok(id)
    }

    /// The bytes of a file at the head.
    pub fn show(&self, path: &str) -> Result<String> {
        self.deploy
            .git(&["show", &format!("HEAD:{path}")])
            .with_context(|| format!("no {path}"))
    }
}
