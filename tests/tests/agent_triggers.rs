//! What makes a box look: webhooks, the map's nudge, a file that changed; and what must not make it run anything.

use anyhow::{Context, Result};
use std::{fs, io::Read, io::Write, net::TcpStream, time::Duration};
use swarm_tests::{
    Deploy, GitOverHttp, Map, SwarmBox, TICKER, World, bench::webhook, daemon, map::HOOK_SECRET,
    process, until,
};

const SECRET: &str = "a secret of this test";
const HOUR: &str = "poll = \"1h\"\n";
const PUSHED: &str = "{\"ref\":\"refs/heads/main\"}";

/// A box that polls once an hour and takes webhooks; gives the port.
fn hooked<'a>(
    world: &'a World,
    deploy: &Deploy<'_>,
    server: &GitOverHttp,
) -> Result<(SwarmBox<'a>, u16)> {
    let port = process::free_port()?;
    let secret = world.path("hook.secret");
    fs::write(&secret, format!("{SECRET}\n"))?;
    let mut here = SwarmBox::new(
        world,
        "box-1",
        deploy,
        &server.url("deploy.git"),
        HOUR,
        &format!(
            "[webhook]\nlisten = \"127.0.0.1:{port}\"\nsecret-file = \"{}\"\n",
            secret.display()
        ),
    )?;
    here.run()?;
    until("the webhook's port", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    })?;
    Ok((here, port))
}

/// A request with these headers; gives the status.
fn raw(port: u16, headers: &str, body: &[u8]) -> Result<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    stream.write_all(
        format!("POST /hooks/generic HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{headers}\r\n")
            .as_bytes(),
    )?;
    // Who is refused by its head alone may find the door closed.
    let _ = stream.write_all(body);
    let mut head = [0; 12];
    stream.read_exact(&mut head).context("no answer")?;
    Ok(std::str::from_utf8(&head[9..12])?.parse()?)
}

#[test]
fn a_signed_webhook_brings_a_push_long_before_the_poll() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverHttp::start(&world)?;
    let (here, port) = hooked(&world, &deploy, &server)?;
    here.agent(&["sync"])?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    webhook::post(port, SECRET, PUSHED)?;
    here.until_runs("ticker", "1.0.0")?;
    Ok(())
}

#[test]
fn a_forged_webhook_runs_nothing() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverHttp::start(&world)?;
    let (here, port) = hooked(&world, &deploy, &server)?;
    here.agent(&["sync"])?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let before = server.answered()?;
    let length = format!("Content-Length: {}\r\n", PUSHED.len());
    let forged = format!(
        "{length}X-Swarm-Signature-256: sha256={}\r\n",
        "0".repeat(64)
    );
    assert_eq!(raw(port, &length, PUSHED.as_bytes())?, 401, "unsigned");
    assert_eq!(raw(port, &forged, PUSHED.as_bytes())?, 401, "forged");
    let compressed = format!("{forged}Content-Encoding: gzip\r\n");
    assert_eq!(
        raw(port, &compressed, PUSHED.as_bytes())?,
        415,
        "compressed"
    );
    assert_eq!(
        raw(port, "Content-Length: 1048577\r\n", b"{")?,
        413,
        "oversized"
    );
    assert!(webhook::post(port, "another secret", PUSHED).is_err());
    assert_eq!(server.answered()?, before, "somebody made it look");
    assert!(here.rows()?.is_empty(), "{:?}", here.rows()?);
    Ok(())
}

#[test]
fn a_thousand_deliveries_of_the_same_push_cost_a_handful_of_looks() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverHttp::start(&world)?;
    let (here, port) = hooked(&world, &deploy, &server)?;
    here.agent(&["sync"])?;
    let before = server.answered()?;
    let begun = std::time::Instant::now();
    for _ in 0..1000 {
        webhook::post(port, SECRET, PUSHED)?;
    }
    here.agent(&["sync"])?;
    let looks = server.answered()? - before;
    // While it lasts one look every two seconds, after some that come closer.
    let most = 12 + usize::try_from(begun.elapsed().as_secs())?;
    assert!(
        looks <= most,
        "{looks} looks for one push, more than {most}"
    );
    Ok(())
}

#[test]
fn a_save_of_the_remote_on_this_machine_is_noticed_long_before_the_poll() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let remote = deploy.remote().display().to_string();
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &remote, HOUR, "")?;
    here.run()?;
    here.agent(&["sync"])?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    here.until_runs("ticker", "1.0.0")?;
    Ok(())
}

#[test]
fn changed_labels_choose_and_let_go_without_a_restart() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("ticker", "1.0.0", TICKER)?;
    let there = daemon("1.0.0").replace("all = true", "where = 'site == \"berkeley\"'");
    deploy.manifest("ticker", &there)?;
    deploy.push()?;
    let remote = deploy.remote().display().to_string();
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &remote, HOUR, "")?;
    here.run()?;
    here.agent(&["sync"])?;
    assert!(here.row("ticker")?.is_none(), "it is not for this box");
    let supervisor = here.supervisor().pid();
    let file = here.path("agent.toml");
    let before = fs::read_to_string(&file)?;
    fs::write(
        &file,
        before.replace("site = \"test\"", "site = \"berkeley\""),
    )?;
    here.until_runs("ticker", "1.0.0")?;
    fs::write(&file, &before)?;
    until("ticker leaving the list", || {
        here.row("ticker").ok()?.is_none().then_some(())
    })?;
    assert_eq!(here.supervisor().pid(), supervisor);
    Ok(())
}

#[test]
fn the_second_url_counts_where_the_first_is_dead() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let dead = format!("http://127.0.0.1:{}/deploy.git", process::free_port()?);
    let remote = deploy.remote().display().to_string();
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &remote, "poll = \"1s\"\n", "")?;
    let file = here.path("agent.toml");
    let text = fs::read_to_string(&file)?;
    fs::write(
        &file,
        text.replace(
            &format!("url = \"{remote}\""),
            &format!("url = [\"{dead}\", \"{remote}\"]"),
        ),
    )?;
    here.run()?;
    here.until_runs("ticker", "1.0.0")?;
    let status = here.agent(&["status"])?;
    assert!(status.contains(&remote), "{status}");
    Ok(())
}

#[test]
fn a_hook_on_the_map_reaches_the_box() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverHttp::start(&world)?;
    let map = Map::start(&world)?;
    let mut here = SwarmBox::new(
        &world,
        "box-1",
        &deploy,
        &server.url("deploy.git"),
        HOUR,
        &map.settings_for("box-1")?,
    )?;
    here.run()?;
    until("the box on the map", || {
        map.items("/v1/boxes")
            .ok()?
            .iter()
            .any(|found| found["state"] == "online")
            .then_some(())
    })?;
    // The agent holds its watch open once it has reported.
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    until("ticker running after a hook on the map", || {
        webhook::post(map.port(), HOOK_SECRET, PUSHED).ok()?;
        here.row("ticker").ok()?
    })?;
    here.until_runs("ticker", "1.0.0")?;
    Ok(())
}

/// What a forge says of a push.
fn said(head: &str) -> String {
    format!("{{\"ref\":\"refs/heads/main\",\"after\":\"{head}\"}}")
}

#[test]
fn what_a_webhook_says_was_pushed_counts_only_where_the_branch_is() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverHttp::start(&world)?;
    let (here, port) = hooked(&world, &deploy, &server)?;
    here.agent(&["sync"])?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    let good = deploy.head()?;
    deploy.push()?;
    // Signed and ahead of the branch, but not on it.
    deploy.manifest("other", &daemon("9.0.0"))?;
    let aside = deploy.head()?;
    deploy.git(&[
        "push",
        "-q",
        "--no-verify",
        "origin",
        "HEAD:refs/heads/aside",
    ])?;
    for lie in [&aside, &"1".repeat(40)] {
        webhook::post(port, SECRET, &said(lie))?;
    }
    here.until_runs("ticker", "1.0.0")?;
    here.agent(&["sync"])?;
    let status = here.agent(&["status", "--json"])?;
    assert!(
        status.contains(&good) && !status.contains(&aside),
        "{status}"
    );
    // And where the branch is there, it counts.
    deploy.push()?;
    webhook::post(port, SECRET, &said(&aside))?;
    here.until_row("other", "known", |_| true)?;
    Ok(())
}

#[test]
fn another_poll_counts_without_a_restart() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverHttp::start(&world)?;
    let url = server.url("deploy.git");
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &url, HOUR, "")?;
    here.run()?;
    here.agent(&["sync"])?;
    let agent = process::child_in_role(here.supervisor().pid(), "agent");
    let file = here.path("agent.toml");
    let text = fs::read_to_string(&file)?.replace(HOUR, "poll = \"100ms\"\n");
    fs::write(&file, text)?;
    // Once it looks again and again it has read that.
    let looks = server.requests().len() + 10;
    until("many looks", || {
        (server.requests().len() > looks).then_some(())
    })?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    here.until_runs("ticker", "1.0.0")?;
    assert_eq!(
        process::child_in_role(here.supervisor().pid(), "agent"),
        agent,
        "the agent was started again"
    );
    Ok(())
}

#[test]
fn a_repository_folder_that_is_replaced_is_noticed_by_the_poll() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let remote = deploy.remote();
    let url = remote.display().to_string();
    let here = SwarmBox::start(&world, "box-1", &deploy, &url)?;
    here.agent(&["sync"])?;
    // Another folder, in its place within a moment: nobody watches that one.
    let new = remote.with_extension("new");
    process::run(
        world
            .command("git")
            .args(["clone", "-q", "--bare"])
            .args([&remote, &new]),
    )?;
    fs::rename(&remote, remote.with_extension("old"))?;
    fs::rename(&new, &remote)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    here.until_runs("ticker", "1.0.0")?;
    Ok(())
}

#[test]
fn a_port_that_is_taken_is_said_and_stops_nothing_and_is_taken_once_it_is_free() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let port = process::free_port()?;
    let other = std::net::TcpListener::bind(("127.0.0.1", port))?;
    let tail = format!("[webhook]\nlisten = \"127.0.0.1:{port}\"\n");
    let remote = deploy.remote().display().to_string();
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &remote, "poll = \"1s\"\n", &tail)?;
    here.run()?;
    here.until_runs("ticker", "1.0.0")?;
    let warned = |status: &str| status.contains(&format!("ss -ltnp 'sport = :{port}'"));
    until("status saying so", || {
        warned(&here.agent(&["status"]).ok()?).then_some(())
    })?;
    drop(other);
    until("the port taken, and nothing said of it any more", || {
        TcpStream::connect(("127.0.0.1", port)).ok()?;
        (!warned(&here.agent(&["status"]).ok()?)).then_some(())
    })
}
