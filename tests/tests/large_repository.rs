//! A box takes what it runs, and little more, of a repository of a gigabyte.

use anyhow::{Result, ensure};
use swarm_tests::{Deploy, GitOverHttp, GitOverSsh, SwarmBox, TICKER, World, large};

const BUNDLES: usize = 500;
/// What a box may receive, and what it may store, for a bundle of so many bytes.
fn bound(bundle: u64) -> u64 {
    bundle * 12 / 10 + 5_000_000
}

fn check(what: &str, here: &SwarmBox<'_>, received: u64) -> Result<()> {
    let bundle = large::bundle_size() as u64;
    let stored = large::size_of(&here.path("state"))?;
    eprintln!("{what}: {received} bytes received, {stored} stored, for a bundle of {bundle}");
    ensure!(
        received >= bundle && stored >= bundle,
        "{what}: {received} bytes received and {stored} stored cannot be a bundle of {bundle}"
    );
    ensure!(
        received <= bound(bundle) && stored <= bound(bundle),
        "{what}: {received} bytes received and {stored} stored; {} are allowed",
        bound(bundle)
    );
    ensure!(!here.log().contains("panicked"), "{}", here.log());
    Ok(())
}

#[test]
fn a_box_receives_and_stores_the_one_bundle_that_it_runs_of_five_hundred() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let toml = "engine = \"sh\"\nentry = \"main.sh\"\n";
    let folder = deploy.source("ours", "1.0.0", toml, &[("main.sh", TICKER)])?;
    deploy.write(
        &format!("{folder}/data"),
        large::noise(large::bundle_size())?,
    )?;
    deploy.pack(&["publish", &folder])?;
    deploy.manifest(
        "ours",
        "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n",
    )?;
    deploy.push()?;
    large::crowd(&deploy, BUNDLES - 1)?;
    let whole = large::size_of(&deploy.remote())?;
    ensure!(whole > 1_000_000_000, "the repository has {whole} bytes");

    let http = GitOverHttp::start(&world)?;
    let before = http.bytes_sent()?;
    let here = SwarmBox::start(&world, "box-1", &deploy, &http.url("deploy.git"))?;
    here.until_runs("ours", "1.0.0")?;
    check("http", &here, http.bytes_sent()? - before)?;

    let ssh = GitOverSsh::start_counting(&world)?;
    let repository = format!("poll = \"1s\"\n{}", ssh.settings());
    let url = ssh.url("deploy.git")?;
    let mut there = SwarmBox::new(&world, "box-2", &deploy, &url, &repository, "")?;
    there.run()?;
    there.until_runs("ours", "1.0.0")?;
    check("ssh", &there, ssh.bytes_sent()?)
}
