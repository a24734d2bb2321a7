//! What trust costs: a box that follows ten thousand trunk commits at once, then one at a time, by its own `[metrics]`; and a bundle's
//! hashing by `swarm-pack verify` beside `openssl speed`. Touches processes.

use super::{
    commits::{self, Files},
    figures::Samples,
    watched::timed,
};
use crate::{
    Deploy, GitOverHttp, SwarmBox, World,
    process::{free_port, run},
};
use anyhow::{Context, Result, ensure};
use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::TcpStream,
};

/// Trunk commits that a new box has to verify.
pub const COMMITS: usize = 10_000;
/// Commits after those, one at a time.
const SINGLE: usize = 40;
/// Files of the bundle that is hashed, a mebibyte each.
const FILES: usize = 256;
const FILE: usize = 1 << 20;

/// What it took.
#[derive(Debug, Default)]
pub struct Cost {
    /// Milliseconds for all of them, by each of the boxes.
    pub chain: Samples,
    /// Milliseconds for one.
    pub one: Samples,
}

/// So many new boxes follow the same trunk, each from its introduction on.
pub fn trunk(boxes: usize) -> Result<Cost> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let from = deploy.head()?;
    let changes: Vec<Files> = (0..COMMITS + boxes * SINGLE).map(change).collect();
    let made = commits::many(&deploy, &world.key("alice")?, &from, &changes)?;
    commits::lay_ready(&deploy, made.last().context("a commit")?)?;
    commits::pack_server(&deploy)?;
    let server = GitOverHttp::start(&world)?;
    let (chain, single) = made.split_at(COMMITS);
    let mut head = chain.last().context("a commit")?;
    let mut cost = Cost::default();
    for (number, single) in single.chunks(SINGLE).enumerate() {
        commits::move_branch(&deploy, head)?;
        let port = free_port()?;
        let name = format!("box-{number}");
        let mut here = SwarmBox::new(
            &world,
            &name,
            &deploy,
            &server.url("deploy.git"),
            "poll = \"10m\"\n",
            &format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n"),
        )?;
        here.run()?;
        let mut known = follows(&here, port, head)?;
        let so_many = COMMITS + number * SINGLE;
        cost.chain.push(known * per(COMMITS, so_many));
        for commit in single {
            commits::move_branch(&deploy, commit)?;
            let now = follows(&here, port, commit)?;
            cost.one.push(now - known);
            (known, head) = (now, commit);
        }
    }
    Ok(cost)
}

/// A box that was introduced later has more behind it than the ten thousand: what the ten thousand of these took.
fn per(part: usize, whole: usize) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "some ten thousand")]
    let (part, whole) = (part as f64, whole as f64);
    part / whole
}

/// Waits until the box trusts this commit; gives the milliseconds that it verified so far, in all.
fn follows(here: &SwarmBox<'_>, port: u16, commit: &str) -> Result<f64> {
    here.agent(&["sync", "--timeout", "2m"])
        .with_context(|| here.log())?;
    let status = here.agent(&["status", "--json"])?;
    ensure!(
        status.contains(commit),
        "the box does not trust {commit} after a sync: {status}\n{}",
        here.log()
    );
    let figures = scrape(port)?;
    let line = "swarm_walk_seconds_sum{step=\"verify\"} ";
    let seconds: f64 = figures
        .lines()
        .find_map(|at| at.strip_prefix(line))
        .context("no timing of verification")?
        .parse()?;
    Ok(seconds * 1e3)
}

fn scrape(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("the port of [metrics]")?;
    stream.write_all(
        format!("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A workflow of another box; each commit changes one of a thousand.
fn change(number: usize) -> Files {
    let workflow = number % 1_000;
    let text = format!(
        "version = \"1.0.0\"\n\n[on]\nboxes = [\"elsewhere\"]\n\n[run]\nmode = \"daemon\"\n\n[env]\nROUND = \"{number}\"\n"
    );
    vec![(format!("manifests/far-{workflow:04}.toml"), text)]
}

/// Megabytes a second, of ours and of openssl each.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Hashed {
    pub ours: Samples,
    pub openssl: Samples,
}

/// Verifies a bundle so often; the whole program counts, with its start and every check.
pub fn hashing(rounds: usize) -> Result<Hashed> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let source = deploy.source(
        "large",
        "1.0.0",
        "engine = \"sh\"\nentry = \"main.sh\"\n",
        &[("main.sh", "true\n")],
    )?;
    fs::create_dir(deploy.path(&source).join("data"))?;
    let mut bytes = vec![0; FILE];
    for number in 0..FILES {
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        deploy.write(&format!("{source}/data/{number:03}.bin"), &bytes)?;
    }
    deploy.pack(&["build", &source])?;
    deploy.pack(&["sign", &source])?;
    nix::unistd::sync();
    let mut hashed = Hashed::default();
    for _ in 0..rounds {
        hashed.openssl.push(openssl(&world)?);
        let took = timed(|| deploy.pack(&["verify", &source]).map(drop))?;
        hashed.ours.push(megabytes(FILES * FILE) / (took / 1e3));
    }
    Ok(hashed)
}

fn megabytes(bytes: usize) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "less than a terabyte")]
    let bytes = bytes as f64;
    bytes / 1e6
}

/// What `openssl speed` says of SHA-256 over blocks of 64 KiB.
fn openssl(world: &World) -> Result<f64> {
    let said = run(world
        .command("openssl")
        .args(["speed", "-mr", "-seconds", "1", "-bytes", "65536", "sha256"]))?;
    let bytes: f64 = said
        .lines()
        .find_map(|line| line.strip_prefix("+F:")?.rsplit(':').next())
        .with_context(|| format!("openssl speed printed {said}"))?
        .parse()?;
    Ok(bytes / 1e6)
}
