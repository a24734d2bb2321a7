//! A bare repository to be served, and an empty one that packs are put into.

use super::{git, git_command};
use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};
use swarm_manifests::id::Oid;

/// Commits files on `main`, without a working tree.
pub fn commit(bare: &Path, files: &[(&str, &[u8])]) -> Oid {
    let mut stream = Vec::new();
    let parent = git_command(bare)
        .args(["rev-parse", "--verify", "-q", "refs/heads/main"])
        .output()
        .unwrap();
    let parent = String::from_utf8(parent.stdout).unwrap();
    stream.extend_from_slice(
        b"commit refs/heads/main\ncommitter t <t@example.org> 1700000000 +0000\ndata 4\ntest\n",
    );
    if !parent.is_empty() {
        stream.extend_from_slice(format!("from {parent}").as_bytes());
    }
    for (path, bytes) in files {
        stream.extend_from_slice(format!("M 644 inline {path}\ndata {}\n", bytes.len()).as_bytes());
        stream.extend_from_slice(bytes);
        stream.push(b'\n');
    }
    stream.extend_from_slice(b"done\n");
    let mut import = git_command(bare)
        .args(["fast-import", "--quiet", "--done"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(&stream).unwrap();
    assert!(import.wait().unwrap().success());
    oid(bare, "refs/heads/main")
}

/// A bare repository without commits.
pub fn bare(dir: &Path, name: &str) -> PathBuf {
    git(dir, &["init", "-q", "--bare", "-b", "main", name]);
    let bare = dir.join(name);
    git(&bare, &["config", "uploadpack.allowFilter", "true"]);
    bare
}

/// What a name stands for.
pub fn oid(repository: &Path, name: &str) -> Oid {
    git(repository, &["rev-parse", "--verify", name])
        .parse()
        .unwrap()
}

/// Puts a pack into a repository; it must be sound.
pub fn index(repository: &Path, pack: &[u8]) {
    let mut index = git_command(repository)
        .args(["index-pack", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    index.stdin.take().unwrap().write_all(pack).unwrap();
    assert!(
        index.wait().unwrap().success(),
        "git index-pack does not take the pack"
    );
}

/// Every object that is really there, and its kind.
pub fn objects(repository: &Path) -> BTreeMap<Oid, String> {
    let list = git(
        repository,
        &[
            "cat-file",
            "--batch-all-objects",
            "--batch-check=%(objectname) %(objecttype)",
        ],
    );
    list.lines()
        .map(|line| {
            let (oid, kind) = line.split_once(' ').unwrap();
            (oid.parse().unwrap(), kind.to_owned())
        })
        .collect()
}

/// Bytes that do not compress, always the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}
