//! "Secrets" of the attacks, end to end: who reads a secret, where it is found, and what is refused.

use anyhow::{Context, Result, ensure};
use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};
use swarm_manifests::status::{Row, State};
use swarm_tests::{
    Deploy, GitOverHttp, Map, SwarmBox, TICKER, World, everywhere,
    process::{is_alive, kill_now, signal},
    tap::Tap,
    until,
};

/// Nothing else on any machine has this text. In two parts, so that this program's own file has it nowhere.
fn canary() -> String {
    ["canary-7f3a9c51", "e2d84b06-sings"].concat()
}

/// Says of its secret what anybody may know, and holds it open.
const KEEPER: &str = r#"
exec 3< "$DB"
echo "at $DB mode $(stat -c %a "$DB") kind $(stat -f -c %T "$DB")"
echo "sum $(sha256sum < "$DB" | cut -d' ' -f1)"
while :; do sleep 0.2; done
"#;
const KEEPER_TOML: &str =
    "mode = \"daemon\"\n[restart]\nmax-delay = \"0s\"\n[secrets]\nDB = \"db\"";

/// A box `lab-1`, running, whose own key stands in the signed roster; and a bundle that says what it reads.
fn enrolled<'a>(world: &'a World, deploy: &Deploy<'_>, tail: &str) -> Result<SwarmBox<'a>> {
    let remote = deploy.remote().display().to_string();
    let mut here = SwarmBox::new(world, "lab-1", deploy, &remote, "poll = \"1s\"\n", tail)?;
    here.run()?;
    deploy.publish_sh("keeper", "1.0.0", KEEPER)?;
    deploy.enlist(&here, "lab-1")?;
    Ok(here)
}

fn sum(text: &str) -> String {
    swarm_manifests::id::Digest::of(text.as_bytes()).hex()
}

fn pid(row: &Row) -> Result<u32> {
    Ok(row.pid.context("a pid")?.try_into()?)
}

/// Where the keeper says that its secret is.
fn place(here: &SwarmBox<'_>) -> Result<PathBuf> {
    let line = until("the keeper saying where its secret is", || {
        let printed = here.printed("keeper").ok()?;
        printed.into_iter().rfind(|line| line.starts_with("at "))
    })?;
    let path = line.split(' ').nth(1).context("a path")?;
    Ok(path.into())
}

#[test]
fn a_secret_is_read_by_its_workflow_alone_and_is_gone_with_it() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let mut here = enrolled(&world, &deploy, "")?;
    let secret = canary();
    deploy.manifest("keeper", &everywhere("1.0.0", KEEPER_TOML))?;
    deploy.encrypt("keeper", "db", &secret)?;
    deploy.commit_as("alice", "a secret")?;
    deploy.push()?;
    here.until_printed("keeper", &format!("sum {}", sum(&secret)))?;
    let path = place(&here)?;
    let printed = here.printed("keeper")?.join("\n");
    ensure!(printed.contains("mode 400 kind tmpfs"), "{printed}");

    // Another workflow on the same box, with another user.
    let spy = format!("cat {} 2>&1 || echo denied\nsleep 1000\n", path.display());
    deploy.publish_sh("spy", "1.0.0", &spy)?;
    deploy.manifest("spy", &everywhere("1.0.0", "mode = \"daemon\""))?;
    deploy.push()?;
    here.until_printed("spy", "denied")?;
    ensure!(
        !here.printed("spy")?.join("").contains(&secret),
        "another workflow read it"
    );

    // The main process is killed, and gets it again; everything of ours is killed, and it stays as long as the workflow does.
    let before = here.until_runs("keeper", "1.0.0")?;
    kill_now(pid(&before)?);
    let again = here.until_row("keeper", "started again", |row| {
        row.restarts > before.restarts && row.pid.is_some()
    })?;
    here.supervisor().kill();
    here.run()?;
    let found = here.until_runs("keeper", "1.0.0")?;
    assert_eq!(found.pid, again.pid);
    ensure!(path.exists(), "it is gone though the workflow runs");
    kill_now(pid(&found)?);
    here.until_row("keeper", "started by another supervisor", |row| {
        row.pid.is_some() && row.pid != found.pid
    })?;

    // A kill takes it along, and so does kill -9 of everything and then of the workflow.
    here.agent(&["kill", "keeper"])?;
    ensure!(!path.exists(), "{} outlived the kill", path.display());
    here.agent(&["start", "keeper"])?;
    let last = here.until_runs("keeper", "1.0.0")?;
    until("the secret being there again", || {
        path.exists().then_some(())
    })?;
    deploy.git(&["rm", "-q", "manifests/keeper.toml"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "no keeper"])?;
    here.supervisor().kill();
    kill_now(pid(&last)?);
    deploy.push()?;
    here.run()?;
    here.agent(&["sync"])?;
    until("the secret being gone", || (!path.exists()).then_some(()))?;
    here.assert_no_panic();
    Ok(())
}

/// What runs goes on also where its successor is held back, and starts again with its secret when all of ours was killed.
#[test]
fn a_workflow_whose_new_version_is_refused_keeps_its_secret() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let mut here = enrolled(&world, &deploy, "")?;
    deploy.manifest("keeper", &everywhere("1.0.0", KEEPER_TOML))?;
    deploy.encrypt("keeper", "db", &canary())?;
    deploy.commit_as("alice", "a secret")?;
    deploy.push()?;
    here.until_printed("keeper", "sum ")?;
    deploy.manifest("keeper", &everywhere("9.9.9", KEEPER_TOML))?;
    deploy.push()?;
    until("the new version being refused", || {
        let why = here.agent(&["why", "keeper"]).ok()?;
        why.contains("9.9.9").then_some(())
    })?;
    let before = here.until_runs("keeper", "1.0.0")?;
    here.supervisor().kill();
    here.run()?;
    kill_now(pid(&before)?);
    here.until_row("keeper", "started again with its secret", |row| {
        row.pid.is_some() && row.pid != before.pid
    })?;
    here.assert_no_panic();
    Ok(())
}

/// Everything below a folder that has these bytes in it.
fn found_below(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(found_below(&path, bytes)),
            Ok(kind) if kind.is_file() => {
                let text = fs::read(&path).unwrap_or_default();
                found.extend(has(&text, bytes).then_some(path));
            }
            _ => {}
        }
    }
    found
}

fn has(text: &[u8], bytes: &[u8]) -> bool {
    text.windows(bytes.len()).any(|part| part == bytes)
}

/// Whether a process has these bytes anywhere in its memory. None: it may not be looked at.
fn has_in_memory(pid: u32, bytes: &[u8]) -> Option<bool> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    for line in maps.lines() {
        let mut words = line.split(' ');
        let (from, to) = words.next()?.split_once('-')?;
        let (from, to) = (
            u64::from_str_radix(from, 16).ok()?,
            u64::from_str_radix(to, 16).ok()?,
        );
        if !words.next()?.starts_with("rw") || to - from > 256 << 20 {
            continue;
        }
        let mut part = vec![0; usize::try_from(to - from).ok()?];
        let read = memory
            .seek(SeekFrom::Start(from))
            .and_then(|_| memory.read_exact(&mut part));
        if read.is_ok() && has(&part, bytes) {
            return Some(true);
        }
    }
    Some(false)
}

/// The processes of a box: the supervisor and what descends from it, but for workflows.
fn ours(supervisor: u32) -> Result<Vec<u32>> {
    let children = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"))?;
    let children = children.split_whitespace().map(str::parse);
    let mut pids = children.collect::<Result<Vec<u32>, _>>()?;
    pids.retain(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("swarm"))
    });
    pids.push(supervisor);
    Ok(pids)
}

#[test]
fn a_canary_is_found_in_no_output_no_file_no_memory_and_not_on_the_wire() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let mut map = Map::start(&world)?;
    let tap = Tap::recording(map.port())?;
    map.be_reached_at(&format!("http://127.0.0.1:{}", tap.port()))?;
    let token = map.token("lab-1")?;
    let tail = format!(
        "[map]\nurl = \"http://127.0.0.1:{}\"\ntoken-file = \"{token}\"\n",
        tap.port()
    );
    let mut here = enrolled(&world, &deploy, &tail)?;
    let secret = canary();
    deploy.manifest("keeper", &everywhere("1.0.0", KEEPER_TOML))?;
    deploy.encrypt("keeper", "db", &secret)?;
    deploy.commit_as("alice", "a secret")?;
    deploy.push()?;
    here.until_printed("keeper", &format!("sum {}", sum(&secret)))?;
    until("the map showing the keeper running", || {
        let shown = map.get("/v1/workflows/keeper").ok()?;
        shown.contains("running").then_some(())
    })?;
    let bytes = secret.as_bytes();
    for words in [
        &["list", "--json"][..],
        &["why", "keeper", "--json"],
        &["status", "--json"],
        &["history", "--json"],
        &["logs", "keeper", "--json"],
        &["plan", "--json"],
        &["check-config"],
    ] {
        let said = here.try_agent(words)?;
        ensure!(
            !has(&said.stdout, bytes) && !has(&said.stderr, bytes),
            "swarm-agent {} prints it",
            words.join(" ")
        );
    }
    for path in [
        "/v1/boxes",
        "/v1/workflows/keeper",
        "/v1/audit",
        "/",
        "/metrics",
    ] {
        ensure!(
            !has(map.get(path)?.as_bytes(), bytes),
            "the map shows it at {path}"
        );
    }
    let heard = tap.heard();
    ensure!(
        has(&heard, b"keeper"),
        "nothing of it went over the wire at all"
    );
    ensure!(!has(&heard, bytes), "it went over the wire");
    let row = here.until_runs("keeper", "1.0.0")?;
    let supervisor = here.supervisor().pid();
    let mut processes = ours(supervisor)?;
    ensure!(
        processes.len() >= 2,
        "no agent below the supervisor: {processes:?}"
    );
    for pid in &processes {
        ensure!(
            has_in_memory(*pid, bytes) == Some(false),
            "process {pid} has it in its memory"
        );
        let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let is_off =
            core.is_some_and(|line| line["Max core file size".len()..].trim().starts_with("0 "));
        ensure!(is_off, "process {pid} may leave a core file: {core:?}");
    }
    processes.push(pid(&row)?);
    for pid in processes {
        for file in ["environ", "cmdline", "stat"] {
            let text = fs::read(format!("/proc/{pid}/{file}"))?;
            ensure!(!has(&text, bytes), "it stands in /proc/{pid}/{file}");
        }
    }
    // Everything that anybody wrote: states, store, mirror, logs, journal, the map's database, the clone.
    let found = found_below(&world.path(""), bytes);
    ensure!(found.is_empty(), "it lies on the disk: {found:?}");
    // And a program that is asked to leave its memory behind leaves none.
    let agent = ours(supervisor)?[0];
    signal(agent, "ABRT");
    until("the agent's end", || (!is_alive(agent)).then_some(()))?;
    let found = found_below(&world.path(""), bytes);
    ensure!(found.is_empty(), "it lies on the disk: {found:?}");
    Ok(())
}

#[test]
fn a_secret_for_another_box_cut_off_flipped_or_of_another_workflow_is_refused_with_its_place()
-> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let here = enrolled(&world, &deploy, "")?;
    deploy.manifest("keeper", &everywhere("1.0.0", KEEPER_TOML))?;
    deploy.encrypt("keeper", "db", "one")?;
    deploy.commit_as("alice", "a secret")?;
    deploy.push()?;
    here.until_printed("keeper", &format!("sum {}", sum("one")))?;
    let before = here.until_runs("keeper", "1.0.0")?;

    let file = "secrets/keeper/db.age";
    let good = fs::read(deploy.path(file))?;
    let mut flipped = good.clone();
    *flipped.last_mut().context("bytes")? ^= 1;
    let mut other_head = good.clone();
    let at = other_head
        .windows(6)
        .position(|part| part == b"keeper")
        .context("its purpose")?;
    other_head[at] = b'h';
    // Somebody else's box, with the same name in the file.
    let foreign = world.key("foreign")?;
    let recipient = fs::read_to_string(foreign.with_extension("pub"))?;
    let foreign = by_age(&recipient)?;
    let unbound = by_age(&fs::read_to_string(world.path("keys/lab-1.pub"))?)?;
    for (what, bytes, says) in [
        ("cut off", &good[..good.len() - 20], "changed or cut off"),
        ("a flipped bit", &flipped, "changed or cut off"),
        ("another header", &other_head, "secrets/keeper/db.age"),
        ("another box", &foreign, "not encrypted for this box"),
        ("no purpose", &unbound, "does not say for which workflow"),
        ("a passphrase", PASSPHRASE, "passphrase"),
        ("no age file", b"hunter2", "no encrypted secret"),
    ] {
        deploy.write(file, bytes)?;
        deploy.git(&["add", "-A"])?;
        deploy.git(&["commit", "-q", "-S", "-m", what])?;
        deploy.push()?;
        let row = here.until_row("keeper", &format!("refused ({what})"), |row| {
            row.next
                .as_ref()
                .is_some_and(|next| next.state == State::Refused && next.reason.contains(says))
        })?;
        let next = row.next.context("what is refused")?;
        assert_eq!(next.rule.as_deref(), Some("S-RUN-12"), "{what}");
        ensure!(next.reason.contains(file), "{what}: {}", next.reason);
        assert_eq!(row.pid, before.pid, "{what} touched what runs");
    }
    let why = here.agent(&["why", "keeper"])?;
    ensure!(why.contains("swarm-pack encrypt keeper db"), "{why}");

    // Who may deploy thief takes keeper's secret for it, as it is: the very bytes that this box can read.
    deploy.write(file, &good)?;
    deploy.write("secrets/thief/db.age", &good)?;
    let manifest = format!("bundle = \"keeper\"\n{}", everywhere("1.0.0", KEEPER_TOML));
    deploy.write("manifests/thief.toml", manifest)?;
    deploy.git(&["add", "-A"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "thief"])?;
    deploy.push()?;
    let row = here.until_state("thief", State::Refused)?;
    assert_eq!(row.rule.as_deref(), Some("S-RUN-12"));
    let reason = row.reason.unwrap_or_default();
    ensure!(reason.contains("encrypted as keeper/db"), "{reason}");
    here.until_row("keeper", "running on, nothing waiting", |row| {
        row.pid == before.pid && row.next.is_none()
    })?;
    here.assert_no_panic();
    Ok(())
}

/// `two` encrypted by age itself to one SSH key: no stanza of ours is in it.
fn by_age(public: &str) -> Result<Vec<u8>> {
    let recipient: age::ssh::Recipient = public
        .trim()
        .parse()
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    Ok(age::encrypt(&recipient, b"two")?)
}

/// `age -p`, with an empty body.
const PASSPHRASE: &[u8] = b"age-encryption.org/v1\n-> scrypt rF0/NwblUHHTpgQgRpe5CQ 10\ngUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY\n--- IOKnFSIp4iGmB9kDmXSqYTXRqGvxKnOqOtY4HyUfFtc\n0123456789abcdef0123456789abcdef";

#[test]
fn a_box_key_that_others_can_read_starts_nothing() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let mut here = enrolled(&world, &deploy, "")?;
    here.supervisor().end();
    let key = here.path("state/agent/box.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644))?;
    here.run()?;
    until("the agent saying why it does not start", || {
        here.log().contains("can be read by others").then_some(())
    })?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let asked = here.try_agent(&["sync", "--timeout", "5s"])?;
    assert_eq!(asked.status.code(), Some(5), "{asked:?}");
    ensure!(here.rows()?.is_empty(), "it followed the trunk");
    // Closed again, it goes on: with the next start of the agent, which comes by itself.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    here.until_runs("ticker", "1.0.0")?;
    Ok(())
}

#[test]
fn a_token_in_a_url_is_in_no_output_and_no_log() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("keeper", "1.0.0", "sleep 1000\n")?;
    deploy.manifest("keeper", &everywhere("1.0.0", "mode = \"daemon\""))?;
    deploy.push()?;
    let server = GitOverHttp::start(&world)?;
    let token = canary();
    let url = server
        .url("deploy.git")
        .replacen("http://", &format!("http://ann:{token}@"), 1);
    let mut here = SwarmBox::new(&world, "lab-1", &deploy, &url, "poll = \"1s\"\n", "")?;
    here.run()?;
    here.until_runs("keeper", "1.0.0")?;
    // And where it goes wrong: errors like to name their url.
    drop(server);
    until("the box saying that its remote is away", || {
        let said = here.try_agent(&["status"]).ok()?;
        String::from_utf8_lossy(&said.stdout)
            .contains("S-GIT-01")
            .then_some(())
    })?;
    let bytes = token.as_bytes();
    for words in [
        &["status", "--json"][..],
        &["why", "keeper"],
        &["history", "--json"],
        &["check-config"],
        &["sync", "--timeout", "5s"],
        &["plan"],
    ] {
        let said = here.try_agent(words)?;
        let is_shown = has(&said.stdout, bytes) || has(&said.stderr, bytes);
        ensure!(!is_shown, "swarm-agent {} prints it", words.join(" "));
    }
    for pid in ours(here.supervisor().pid())? {
        for file in ["environ", "cmdline"] {
            ensure!(
                !has(&fs::read(format!("/proc/{pid}/{file}"))?, bytes),
                "/proc/{pid}/{file}"
            );
        }
    }
    let mut found = found_below(&world.path(""), bytes);
    found.retain(|path| !path.ends_with("agent.toml"));
    ensure!(found.is_empty(), "it is written to {found:?}");
    Ok(())
}
