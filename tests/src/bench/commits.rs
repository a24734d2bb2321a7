//! Commits made beforehand, many at a time: trees by `git fast-import`, then one signature for each. Touches the clone.

use crate::{Deploy, process::run};
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    fs::{self, File},
    process::Stdio,
};

/// Where unsigned commits stand for a moment.
const DRAFT: &str = "refs/draft/commits";

/// Files of one commit: path and text.
pub type Files = Vec<(String, String)>;

/// Makes a chain of signed commits from `from` on, each adding or replacing its files; gives their ids. The branch stays.
pub fn chain(deploy: &Deploy<'_>, from: &str, commits: &[Files]) -> Result<Vec<String>> {
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
    let mut made = Vec::new();
    let mut parent = from.to_string();
    for tree in trees.lines() {
        let commit = deploy.git(&["commit-tree", "-S", "-p", &parent, "-m", "bench", tree])?;
        parent = commit.trim().to_string();
        made.push(parent.clone());
    }
    deploy.git(&["update-ref", "-d", DRAFT])?;
    ensure!(
        made.len() == commits.len(),
        "git made {} commits of {}",
        made.len(),
        commits.len()
    );
    Ok(made)
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
