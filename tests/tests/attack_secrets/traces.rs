//! Where a secret is found: nowhere that anybody could look.

use super::{KEEPER_TOML, canary, enrolled, pid, sum};
use anyhow::{Result, ensure};
use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};
use swarm_tests::{
    Deploy, GitOverHttp, Map, SwarmBox, World, everywhere,
    process::{is_alive, signal},
    tap::Tap,
    until,
};

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
pub fn ours(supervisor: u32) -> Result<Vec<u32>> {
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
