//! The main job: push a signed manifest, see it run, kill it.

use anyhow::Result;
use std::{fmt::Write, fs, net::TcpListener};
use swarm_manifests::status::State;
use swarm_tests::{
    Deploy, GitOverHttp, GitOverSsh, Map, SwarmBox, TICKER, World, daemon, everywhere, process,
    process::free_port, until,
};

#[test]
fn what_is_pushed_runs_and_a_kill_ends_it_for_good() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverHttp::start(&world)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let here = SwarmBox::start(&world, "box-1", &deploy, &server.url("deploy.git"))?;
    let row = here.until_runs("ticker", "1.0.0")?;
    assert_eq!(row.by.as_deref(), Some("alice"));
    assert_eq!(row.box_name, "box-1");
    assert_eq!(row.commit.as_deref(), Some(deploy.head()?.as_str()));
    assert!(
        row.digest
            .as_deref()
            .is_some_and(|digest| digest.starts_with("sha256:"))
    );
    here.until_printed("ticker", "tick")?;
    let pid = u32::try_from(row.pid.expect("a running workflow has a pid"))?;
    assert!(process::is_alive(pid));
    here.agent(&["kill", "ticker", "--reason", "enough"])?;
    assert!(
        !process::is_alive(pid),
        "kill returned, and the process is still there"
    );
    let row = here
        .row("ticker")?
        .expect("a killed workflow stays in the list");
    assert_eq!(row.state, State::Killed);
    assert_eq!(row.pid, None);
    here.agent(&["sync"])?;
    assert_eq!(
        here.row("ticker")?.expect("still listed").state,
        State::Killed,
        "a sync lifted the kill"
    );
    here.agent(&["start", "ticker"])?;
    here.until_runs("ticker", "1.0.0")?;
    let history = here.agent(&["history", "ticker"])?;
    assert!(
        history.contains("kill") && history.contains("enough"),
        "{history}"
    );
    Ok(())
}

#[test]
fn a_new_version_replaces_the_old_one_over_ssh() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverSsh::start(&world)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let repository = format!(
        "poll = \"1s\"\nidentity-file = \"{}\"\nknown-hosts = \"{}\"\n",
        server.identity.display(),
        server.known_hosts.display()
    );
    let mut here = SwarmBox::new(
        &world,
        "box-1",
        &deploy,
        &server.url("deploy.git")?,
        &repository,
        "",
    )?;
    here.run()?;
    let old = here.until_runs("ticker", "1.0.0")?;
    deploy.daemon("ticker", "1.1.0", TICKER)?;
    deploy.push()?;
    let new = here.until_runs("ticker", "1.1.0")?;
    assert_ne!(old.pid, new.pid);
    assert!(
        !process::is_alive(u32::try_from(old.pid.expect("it ran"))?),
        "the old version is still there"
    );
    Ok(())
}

#[test]
fn a_removed_manifest_stops_its_workflow_and_an_empty_repository_stops_nothing() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    for name in ["one", "two", "three"] {
        deploy.publish_sh(name, "1.0.0", TICKER)?;
        deploy.manifest(name, &daemon("1.0.0"))?;
    }
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    for name in ["one", "two", "three"] {
        here.until_runs(name, "1.0.0")?;
    }
    deploy.git(&["rm", "-q", "manifests/one.toml"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "remove one"])?;
    deploy.push()?;
    until("one leaving the list", || {
        here.row("one").ok()?.is_none().then_some(())
    })?;
    // The repository is gone altogether: nothing changes.
    fs::rename(deploy.remote(), world.path("git/away.git"))?;
    let output = here.try_agent(&["sync"])?;
    assert_eq!(
        output.status.code(),
        Some(5),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    here.until_runs("two", "1.0.0")?;
    here.until_runs("three", "1.0.0")?;
    Ok(())
}

#[test]
fn the_last_of_many_pushes_runs() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    // The install lasts until somebody listens at this port: until all is pushed.
    let gate = free_port()?;
    let toml = "engine = \"sh\"\nentry = \"main.sh\"\n\n[install]\ncommand = [\"bash\", \"install.sh\"]\nnetwork = true\n";
    let install =
        format!("until (exec 3<>/dev/tcp/127.0.0.1/{gate}) 2>/dev/null; do sleep 0.1; done\n");
    let files = [("main.sh", TICKER), ("install.sh", install.as_str())];
    let folder = deploy.source("slow", "1.0.0", toml, &files)?;
    deploy.pack(&["publish", &folder])?;
    deploy.manifest("slow", &daemon("1.0.0"))?;
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    here.until_row("slow", "installing", |row| row.state == State::Installing)?;
    for push in 1..=200 {
        let run = format!("mode = \"daemon\"\n\n[env]\nPUSH = \"{push}\"");
        deploy.manifest("slow", &everywhere("1.0.0", &run))?;
        deploy.push()?;
    }
    let row = here.row("slow")?.expect("it is installed");
    assert_eq!(row.state, State::Installing, "{row:?}");
    let _open = TcpListener::bind(("127.0.0.1", gate))?;
    let head = deploy.head()?;
    here.until_row("slow", "running the last push", |row| {
        row.state == State::Running && row.commit.as_deref() == Some(head.as_str())
    })?;
    Ok(())
}

#[test]
fn a_push_by_somebody_without_rights_stops_the_trunk_and_says_so() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    let before = here.until_runs("ticker", "1.0.0")?;
    let mallory = world.key("mallory")?;
    deploy.write(
        "manifests/ticker.toml",
        everywhere("1.0.0", "mode = \"once\""),
    )?;
    let signer = format!("user.signingkey={}.pub", mallory.display());
    deploy.git(&["-c", &signer, "commit", "-q", "-S", "-am", "mine now"])?;
    deploy.push()?;
    let output = here.try_agent(&["sync", "--json"])?;
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let status = here.agent(&["status"])?;
    assert!(status.contains("S-TRUNK-04"), "{status}");
    let after = here.until_runs("ticker", "1.0.0")?;
    assert_eq!(before.pid, after.pid, "a refused commit touched what runs");
    Ok(())
}

#[test]
fn a_tampered_bundle_is_refused_and_the_old_version_goes_on() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    let before = here.until_runs("ticker", "1.0.0")?;
    deploy.publish_sh("ticker", "1.1.0", TICKER)?;
    deploy.write("bundles/ticker/1.1.0/main.sh", "echo owned\n")?;
    deploy.git(&["commit", "-q", "-S", "-am", "tampered"])?;
    deploy.manifest("ticker", &daemon("1.1.0"))?;
    deploy.push()?;
    let row = here.until_row("ticker", "having a refused successor", |row| {
        row.next
            .as_ref()
            .is_some_and(|next| next.state == State::Refused)
    })?;
    let next = row.next.expect("it has one");
    assert_eq!(next.version.as_deref(), Some("1.1.0"));
    assert!(
        next.rule
            .as_deref()
            .is_some_and(|rule| rule.starts_with("S-BUNDLE-")),
        "{next:?}"
    );
    assert_eq!(row.pid, before.pid);
    let why = here.agent(&["why", "ticker"])?;
    assert!(
        why.contains("main.sh"),
        "why does not name the file:\n{why}"
    );
    Ok(())
}

#[test]
fn the_map_shows_boxes_workflows_and_who_did_what() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let mut map = Map::start(&world)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let mut here = SwarmBox::new(
        &world,
        "box-1",
        &deploy,
        &deploy.remote().display().to_string(),
        "poll = \"1s\"\n",
        &map.settings_for("box-1")?,
    )?;
    here.run()?;
    here.until_runs("ticker", "1.0.0")?;
    let found = until("the workflow on the map", || {
        map.items("/v1/workflows")
            .ok()?
            .into_iter()
            .find(|one| one["workflow"] == "ticker")
    })?;
    assert_eq!(found["by"], "alice");
    until("the box online on the map", || {
        let boxes = map.items("/v1/boxes").ok()?;
        (boxes[0]["box"] == "box-1" && boxes[0]["state"] == "online").then_some(())
    })?;
    // An outage of the map loses nothing: what happened meanwhile comes afterwards.
    map.end();
    here.agent(&["kill", "ticker", "--reason", "while the map is away"])?;
    map.run()?;
    let killed = until("the kill in the audit", || {
        map.items("/v1/audit")
            .ok()?
            .into_iter()
            .find(|row| row["action"] == "kill")
    })?;
    assert_eq!(killed["workflow"], "ticker");
    assert_eq!(killed["box"], "box-1");
    assert!(
        killed["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("while the map is away")),
        "{killed}"
    );
    let actions: Vec<_> = map
        .items("/v1/audit")?
        .iter()
        .filter_map(|row| row["action"].as_str().map(str::to_string))
        .collect();
    for wanted in ["deploy", "start", "kill"] {
        assert!(
            actions.iter().any(|action| action == wanted),
            "no {wanted} in {actions:?}"
        );
    }
    assert!(
        map.get("/")?.contains("ticker"),
        "the page does not show the workflow"
    );
    Ok(())
}

#[test]
fn the_box_takes_only_what_it_runs() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverHttp::start(&world)?;
    let noise = |seed: u64| {
        // Incompressible text of about 400 kB.
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut text = String::new();
        for _ in 0..25_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Writing to a String cannot fail.
            let _ = write!(text, "{state:016x}");
        }
        text
    };
    for at in 0..20_u64 {
        let name = format!("app-{at}");
        let folder = deploy.source(
            &name,
            "1.0.0",
            "engine = \"sh\"\nentry = \"main.sh\"\n",
            &[("main.sh", TICKER), ("data.txt", &noise(at + 1))],
        )?;
        deploy.pack(&["publish", &folder])?;
    }
    deploy.manifest("app-7", &daemon("1.0.0"))?;
    deploy.push()?;
    let before = server.bytes_sent()?;
    let here = SwarmBox::start(&world, "box-1", &deploy, &server.url("deploy.git"))?;
    here.until_runs("app-7", "1.0.0")?;
    let received = server.bytes_sent()? - before;
    assert!(
        received < 900_000,
        "one bundle of 400 kB (200 kB packed) of twenty cost {received} bytes"
    );
    Ok(())
}
