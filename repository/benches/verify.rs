//! How long verification takes: a chain of commits at once, one commit on a large trunk, and writing beside git.
//!
//! `cargo bench -p swarm-repository` prints a line for each; nothing is asserted.

use ssh_key::{Algorithm, PrivateKey, rand_core::OsRng};
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use swarm_manifests::{
    id::{Digest, Oid},
    settings::Trust,
    signature::sign,
};
use swarm_repository::{
    objects::Objects,
    tree::Mode,
    trunk::Advance,
    trust_file,
    verifier::Verifier,
    write::{Changes, Writer},
};

type Failed = Box<dyn std::error::Error>;

/// A trunk that is made without the git program, which would take minutes.
struct Trunk {
    folder: tempfile::TempDir,
    writer: Writer,
    key: PrivateKey,
    tree: Option<Oid>,
    head: Option<Oid>,
}

impl Trunk {
    fn new() -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        Objects::open(folder.path(), true)?;
        let writer = Writer::open(folder.path())?;
        let key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519)?;
        Ok(Self {
            folder,
            writer,
            key,
            tree: None,
            head: None,
        })
    }

    fn blob(&self, text: &str) -> Result<Option<(Mode, Oid)>, Failed> {
        Ok(Some((Mode::File, self.writer.blob(text.as_bytes())?)))
    }

    fn commit(&mut self, changes: &Changes) -> Result<Oid, Failed> {
        let tree = self.writer.update_tree(self.tree, changes)?;
        let parent = self
            .head
            .map_or(String::new(), |head| format!("parent {head}\n"));
        let who = "Alice <alice@example.org> 1700000000 +0000";
        let head = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n");
        let armour = sign(&self.key, "git", format!("{head}\nmessage\n").as_bytes())?;
        let armour = armour.trim_end().replace('\n', "\n ");
        let id = self
            .writer
            .commit(format!("{head}gpgsig {armour}\n\nmessage\n").as_bytes())?;
        (self.tree, self.head) = (Some(tree), Some(id));
        Ok(id)
    }

    fn policy(&self) -> Result<String, Failed> {
        let key = self.key.public_key().to_openssh()?;
        Ok(format!(
            "format = 1\nrepository = \"b1f0c2d3e4f5a6b7\"\nversion = 1\nthreshold = 1\n[people.alice]\nkeys = [\"{key}\"]\nadmin = true\n\
             [[grant]]\npeople = [\"alice\"]\nmay = [\"publish\", \"deploy\"]\nworkflows = [\"*\"]\nboxes = [\"lab-*\"]\n"
        ))
    }

    fn pack(&self) -> Result<(), Failed> {
        let head = self.head.ok_or("no commit")?.to_string();
        for args in [
            &["update-ref", "refs/heads/main", &head][..],
            &["repack", "-adq"],
        ] {
            let done = Command::new("git")
                .arg("--git-dir")
                .arg(self.folder.path())
                .args(args)
                .status()?;
            if !done.success() {
                return Err("git failed".into());
            }
        }
        Ok(())
    }
}

fn manifest(n: usize) -> String {
    format!(
        "bundle = \"ramp\"\nversion = \"1.0.{n}\"\n[on]\nboxes = [\"lab-1\"]\n[run]\nmode = \"once\"\n"
    )
}

fn chain(commits: usize) -> Result<(), Failed> {
    let mut trunk = Trunk::new()?;
    let policy = trunk.policy()?;
    let introduction = trunk.commit(&[("policy.toml".into(), trunk.blob(&policy)?)].into())?;
    for n in 0..commits {
        trunk.commit(
            &[(
                format!("manifests/w{}.toml", n % 100),
                trunk.blob(&manifest(n))?,
            )]
            .into(),
        )?;
    }
    trunk.pack()?;
    let objects = Objects::open(trunk.folder.path(), false)?;
    let trust = Trust {
        introduction,
        policy: Digest::of(policy.as_bytes()),
        position: 0,
    };
    let start = Instant::now();
    let mut verifier = Verifier::new();
    let introduced = verifier.introduce(&objects, &trust)??;
    let advance = verifier.advance(&objects, &introduced, trunk.head.ok_or("no commit")?)?;
    let took = start.elapsed();
    if !matches!(advance, Advance::Moved(_)) {
        return Err(format!("not verified: {advance:?}").into());
    }
    println!("{commits} commits, each a manifest under a grant with boxes: {took:?}");
    Ok(())
}

fn large(bundles: usize, manifests: usize) -> Result<(), Failed> {
    let mut trunk = Trunk::new()?;
    let policy = trunk.policy()?;
    let mut changes: Changes = [("policy.toml".into(), trunk.blob(&policy)?)].into();
    for n in 0..manifests {
        changes.insert(format!("manifests/w{n}.toml"), trunk.blob(&manifest(n))?);
    }
    for n in 0..bundles {
        for file in ["bundle.toml", "bundle.lock", "bundle.lock.sig", "run.sh"] {
            changes.insert(
                format!("bundles/b{}/1.0.{}/{file}", n / 20, n % 20),
                trunk.blob(&format!("{file} {n}"))?,
            );
        }
    }
    let introduction = trunk.commit(&changes)?;
    trunk.pack()?;
    let objects = Objects::open(trunk.folder.path(), false)?;
    let trust = Trust {
        introduction,
        policy: Digest::of(policy.as_bytes()),
        position: 0,
    };
    let mut verifier = Verifier::new();
    let start = Instant::now();
    let mut at = verifier.introduce(&objects, &trust)??;
    println!(
        "introduction with {bundles} bundles and {manifests} manifests: {:?}",
        start.elapsed()
    );
    verifier.snapshot(&objects, &at)?;
    let state = trunk.folder.path().join("state");
    trust_file::save(&state, None, &at)?;
    let mut took: [Vec<Duration>; 3] = Default::default();
    for n in 0..100 {
        let mut changes: Changes = [(
            format!("manifests/w{n}.toml"),
            trunk.blob(&manifest(n + 100_000))?,
        )]
        .into();
        for file in ["bundle.toml", "bundle.lock", "bundle.lock.sig", "run.sh"] {
            changes.insert(
                format!("bundles/b{n}/2.0.0/{file}"),
                trunk.blob(&format!("{file} {n} new"))?,
            );
        }
        let head = trunk.commit(&changes)?;
        let start = Instant::now();
        let Advance::Moved(moved) = verifier.advance(&objects, &at, head)? else {
            return Err("not verified".into());
        };
        took[0].push(start.elapsed());
        let start = Instant::now();
        trust_file::save(&state, Some(&at), &moved)?;
        took[1].push(start.elapsed());
        let start = Instant::now();
        verifier.snapshot(&objects, &moved)?;
        took[2].push(start.elapsed());
        at = moved;
    }
    for (what, mut times) in ["advance", "save", "snapshot"].into_iter().zip(took) {
        times.sort_unstable();
        println!(
            "one commit there, {what}: median {:?}, p99 {:?}",
            times[50], times[99]
        );
    }
    Ok(())
}

/// 100 MB in files that compress about as programs do.
fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>, Failed> {
    let mut paths = Vec::new();
    let mut state = 1u64;
    for n in 0..400 {
        let mut bytes = Vec::with_capacity(256 << 10);
        while bytes.len() < 256 << 10 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            bytes.extend_from_slice(
                format!("const v{} = require(\"m{}\");\n", state >> 44, state >> 58).as_bytes(),
            );
        }
        let path = folder.join(format!("f{n}.js"));
        fs::write(&path, bytes)?;
        paths.push(path);
    }
    Ok(paths)
}

fn writing() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let paths = files(folder.path())?;
    let list = paths.iter().fold(String::new(), |list, path| {
        list + &path.to_string_lossy() + "\n"
    });
    fs::write(folder.path().join("list"), list)?;
    let ours = folder.path().join("ours");
    let theirs = folder.path().join("theirs");
    for bare in [&ours, &theirs] {
        Objects::open(bare, true)?;
    }
    let start = Instant::now();
    let written = Writer::open(&ours)?.blobs_from_files(&paths)?;
    let our_time = start.elapsed();
    let start = Instant::now();
    Writer::open(&ours)?.blobs_from_files(&paths)?;
    let again = start.elapsed();
    let start = Instant::now();
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(&theirs);
    git.args([
        "-c",
        "core.looseCompression=1",
        "hash-object",
        "-w",
        "--stdin-paths",
    ]);
    let output = git
        .stdin(fs::File::open(folder.path().join("list"))?)
        .output()?;
    let their_time = start.elapsed();
    let same = String::from_utf8(output.stdout)?
        .lines()
        .eq(written.iter().map(|blob| blob.id.to_string()));
    println!(
        "100 MB in 400 files: ours {our_time:?}, nothing new {again:?}, git hash-object -w {their_time:?}, same ids: {same}"
    );
    Ok(())
}

fn main() -> Result<(), Failed> {
    chain(10_000)?;
    large(10_000, 1_000)?;
    writing()
}
