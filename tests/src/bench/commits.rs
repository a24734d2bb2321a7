//! Commits made beforehand, many at a time: trees by `git fast-import`, then one signature for each. Touches the clone.

use crate::{Deploy, process::run};
use anyhow::{Context, Result, ensure};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use ssh_key::PrivateKey;
use std::{
    fmt::Write as _,
    fs::{self, File},
    path::Path,
    process::Stdio,
};
use swarm_manifests::signature::sign;

/// Where unsigned commits stand for a moment.
const DRAFT: &str = "refs/draft/commits";

/// Files of one commit: path and text.
pub type Files = Vec<(String, String)>;

/// Makes a chain of signed commits from `from` on, each adding or replacing its files; gives their ids. The branch stays.
pub fn chain(deploy: &Deploy<'_>, from: &str, commits: &[Files]) -> Result<Vec<String>> {
    let mut made = Vec::new();
    let mut parent = from.to_string();
    for tree in trees(deploy, from, commits)? {
        let commit = deploy.git(&["commit-tree", "-S", "-p", &parent, "-m", "bench", &tree])?;
        parent = commit.trim().to_string();
        made.push(parent.clone());
    }
    Ok(made)
}

/// As [`chain`], signed with alice's key by ourselves: by the git program ten thousand take minutes.
pub fn many(deploy: &Deploy<'_>, key: &Path, from: &str, commits: &[Files]) -> Result<Vec<String>> {
    const WHO: &str = "bench <bench@example.org> 1700000000 +0000";
    let key = PrivateKey::read_openssh_file(key)?;
    let folder = deploy.path("../commits");
    fs::create_dir_all(&folder)?;
    let (mut made, mut files) = (Vec::new(), String::new());
    let mut parent = from.to_string();
    for (number, tree) in trees(deploy, from, commits)?.iter().enumerate() {
        let head = format!("tree {tree}\nparent {parent}\nauthor {WHO}\ncommitter {WHO}\n");
        let armour = sign(&key, "git", format!("{head}\nbench\n").as_bytes())?;
        let armour = armour.trim_end().replace('\n', "\n ");
        let text = format!("{head}gpgsig {armour}\n\nbench\n");
        let object = format!("commit {}\0{text}", text.len());
        parent = hex::encode(Sha1::digest(object.as_bytes()));
        made.push(parent.clone());
        let file = folder.join(number.to_string());
        fs::write(&file, text)?;
        writeln!(files, "{}", file.display())?;
    }
    let list = deploy.path("../commits.list");
    fs::write(&list, files)?;
    let written = deploy
        .git_command()
        .args(["hash-object", "-w", "-t", "commit", "--stdin-paths"])
        .stdin(Stdio::from(File::open(&list)?))
        .output()
        .context("git hash-object")?;
    ensure!(
        String::from_utf8(written.stdout)?.lines().eq(made.iter()),
        "git names these commits otherwise: {}",
        String::from_utf8_lossy(&written.stderr)
    );
    fs::remove_dir_all(&folder)?;
    Ok(made)
}

/// The trees of such a chain.
fn trees(deploy: &Deploy<'_>, from: &str, commits: &[Files]) -> Result<Vec<String>> {
    let mut stream = String::new();
    for (number, files) in commits.iter().enumerate() {
        writeln!(
            stream,
            "commit {DRAFT}\ncommitter bench <bench@example.org> 1700000000 +0000\ndata 0"
        )?;
        if number == 0 {
            writeln!(stream, "from {from}")?;
        }
        for (path, text) in files {
            writeln!(
                stream,
                "M 100644 inline {path}\ndata {}\n{text}",
                text.len()
            )?;
        }
    }
    let file = deploy.path("../commits.stream");
    fs::write(&file, stream)?;
    let imported = deploy
        .git_command()
        .args(["fast-import", "--quiet", "--force"])
        .stdin(Stdio::from(File::open(&file)?))
        .output()
        .context("git fast-import")?;
    ensure!(
        imported.status.success(),
        "git fast-import: {}",
        String::from_utf8_lossy(&imported.stderr)
    );
    fs::remove_file(&file)?;
    let trees = deploy.git(&[
        "log",
        "--reverse",
        "--format=%T",
        &format!("{from}..{DRAFT}"),
    ])?;
    deploy.git(&["update-ref", "-d", DRAFT])?;
    let trees: Vec<String> = trees.lines().map(str::to_string).collect();
    ensure!(
        trees.len() == commits.len(),
        "git made {} trees of {}",
        trees.len(),
        commits.len()
    );
    Ok(trees)
}

/// So many bundles, and manifests that run them on other boxes: a large repository, of which this box runs nothing.
pub fn crowd(bundles: usize, manifests: usize) -> Files {
    let mut files = Vec::new();
    for number in 0..bundles {
        let name = format!("crowd-{number:05}");
        let toml = format!(
            "name = \"{name}\"\nversion = \"1.0.0\"\nengine = \"sh\"\nentry = \"main.sh\"\n"
        );
        let hash = hex::encode(Sha256::digest(&toml));
        let lock = format!(
            "swarm-bundle-v1\nname {name}\nversion 1.0.0\n{hash} 644 {} bundle.toml\n",
            toml.len()
        );
        files.push((format!("bundles/{name}/1.0.0/bundle.toml"), toml));
        files.push((format!("bundles/{name}/1.0.0/bundle.lock"), lock));
    }
    for number in 0..manifests {
        let toml = format!(
            "version = \"1.0.0\"\n\n[on]\nboxes = [\"elsewhere-{number:04}\"]\n\n[run]\nmode = \"daemon\"\n"
        );
        files.push((format!("manifests/crowd-{number:05}.toml"), toml));
    }
    files
}

/// Sends a commit to the server under a name that nobody looks at, so that moving the branch there later is all there is to a push.
pub fn lay_ready(deploy: &Deploy<'_>, commit: &str) -> Result<()> {
    deploy
        .git(&[
            "push",
            "-q",
            "--no-verify",
            "origin",
            &format!("{commit}:refs/prepared/rounds"),
        ])
        .map(drop)
}

/// Moves the branch on the server: what the end of a push does, without its process.
pub fn move_branch(deploy: &Deploy<'_>, commit: &str) -> Result<()> {
    let reference = deploy.remote().join("refs/heads/main");
    let lock = reference.with_extension("lock");
    fs::write(&lock, format!("{commit}\n"))?;
    fs::rename(&lock, &reference).context("moving the branch on the server")
}

/// Packs the server's repository, as servers do by themselves.
pub fn pack_server(deploy: &Deploy<'_>) -> Result<()> {
    run(deploy
        .git_command()
        .current_dir(deploy.remote())
        .args(["repack", "-adq"]))
    .map(drop)
}
