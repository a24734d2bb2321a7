//! A deploy repository of a gigabyte, made within seconds: bundles of other boxes by the hundred, written by `git fast-import` right
//! into the server's repository, without compression. Touches that repository, and the clone for the signature.

use crate::{
    Deploy,
    process::{feed, run},
};
use anyhow::{Context, Result, ensure};
use std::{
    fs::File,
    io::{BufWriter, Read, Write},
    path::Path,
    process::Stdio,
};

/// Where the unsigned commit stands.
const DRAFT: &str = "refs/heads/draft";
/// Files of each bundle: how many, of how many bytes.
const FILES: [(usize, usize); 3] = [(1, 1_600_000), (80, 5_000), (10, 500)];

/// So many bytes of a bundle of [`crowd`], and of one that is to be like them.
pub fn bundle_size() -> usize {
    FILES.iter().map(|(count, size)| count * size).sum()
}

/// Bytes that no compression makes fewer.
pub fn noise(size: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Puts one signed commit on the server's branch, with so many bundles, and a manifest for each that runs it on another box.
pub fn crowd(deploy: &Deploy<'_>, bundles: usize) -> Result<()> {
    let parent = deploy.head()?;
    let remote = deploy.remote();
    let mut import = deploy.git_command();
    import
        .current_dir(&remote)
        .args(["-c", "core.compression=0", "-c", "core.fsync=none"]);
    import.args(["-c", "fastimport.unpackLimit=0", "fast-import", "--quiet"]);
    let mut import = import
        .stdin(Stdio::piped())
        .spawn()
        .context("git fast-import")?;
    let pipe = import.stdin.take().context("a pipe")?;
    write(
        &mut BufWriter::with_capacity(1 << 20, pipe),
        &parent,
        bundles,
    )?;
    let ended = import.wait()?;
    ensure!(ended.success(), "git fast-import: {ended}");
    // The clone signs a commit of a tree that only the server has.
    let on_server = |words: &[&str]| run(deploy.git_command().current_dir(&remote).args(words));
    let tree = on_server(&["rev-parse", &format!("{DRAFT}^{{tree}}")])?;
    let in_clone = |words: &[&str]| {
        run(deploy
            .git_command()
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", remote.join("objects"))
            .args(words))
    };
    let commit = in_clone(&[
        "commit-tree",
        "-S",
        "-p",
        &parent,
        "-m",
        "crowd",
        tree.trim(),
    ])?;
    let bytes = in_clone(&["cat-file", "commit", commit.trim()])?;
    let mut there = deploy.git_command();
    there
        .current_dir(&remote)
        .args(["hash-object", "-w", "-t", "commit", "--stdin"]);
    feed(&mut there, bytes.as_bytes())?;
    on_server(&["update-ref", "refs/heads/main", commit.trim()])?;
    on_server(&["update-ref", "-d", DRAFT]).map(drop)
}

fn write(stream: &mut impl Write, parent: &str, bundles: usize) -> Result<()> {
    writeln!(stream, "commit {DRAFT}")?;
    writeln!(
        stream,
        "committer crowd <crowd@example.org> 1700000000 +0000"
    )?;
    writeln!(stream, "data 0\nfrom {parent}")?;
    for number in 0..bundles {
        let name = format!("crowd-{number:03}");
        let manifest = format!(
            "version = \"1.0.0\"\n\n[on]\nboxes = [\"elsewhere-{number:03}\"]\n\n[run]\nmode = \"daemon\"\n"
        );
        file(
            stream,
            &format!("manifests/{name}.toml"),
            manifest.as_bytes(),
        )?;
        let bytes = noise(bundle_size())?;
        let mut left = bytes.as_slice();
        for (count, size) in FILES {
            for at in 0..count {
                let (one, rest) = left.split_at(size);
                left = rest;
                file(
                    stream,
                    &format!("bundles/{name}/1.0.0/f{size}-{at:02}"),
                    one,
                )?;
            }
        }
    }
    writeln!(stream, "done")?;
    Ok(stream.flush()?)
}

fn file(stream: &mut impl Write, path: &str, bytes: &[u8]) -> Result<()> {
    writeln!(stream, "M 100644 inline {path}\ndata {}", bytes.len())?;
    stream.write_all(bytes)?;
    Ok(stream.write_all(b"\n")?)
}

/// The bytes of all files below a folder.
pub fn size_of(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in folder.read_dir()? {
        let entry = entry?;
        let meta = entry.metadata()?;
        size += if meta.is_dir() {
            size_of(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(size)
}
