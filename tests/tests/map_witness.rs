//! The map bears witness of the trunk: what a box makes of it, and what a lying one cannot do.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};
use swarm_tests::{
    Deploy, Mirroring, SwarmBox, TICKER, World,
    process::{feed, run},
    until,
};

/// Publishes a version of the ticker; gives the head.
fn release(deploy: &Deploy<'_>, version: &str) -> Result<String> {
    deploy.daemon("ticker", version, TICKER)?;
    deploy.head()
}

/// A second bare repository, which has what the first has now.
fn second_remote(world: &World, deploy: &Deploy<'_>) -> Result<String> {
    let path = world.path("git/second.git").display().to_string();
    let first = deploy.remote().display().to_string();
    run(world
        .command("git")
        .args(["clone", "-q", "--bare", &first, &path]))?;
    deploy.git(&["remote", "add", "second", &path])?;
    Ok(path)
}

/// `[map]` of a box that pins this map's key.
fn pinned(map: &Mirroring<'_>, name: &str) -> Result<String> {
    let key = map.command(&["key"])?;
    Ok(format!(
        "{}key = \"{}\"\n",
        map.settings_for(name)?,
        key.trim()
    ))
}

fn status(here: &SwarmBox<'_>) -> Result<Value> {
    Ok(serde_json::from_str(&here.agent(&["status", "--json"])?)?)
}

fn until_status(here: &SwarmBox<'_>, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    until(what, || status(here).ok().filter(|said| wanted(said)))
        .with_context(|| format!("{:?}\n{}", status(here), here.log()))
}

fn until_state(map: &Mirroring<'_>, name: &str, state: &str) -> Result<()> {
    let wanted = (name.to_owned(), state.to_owned());
    until(&format!("{name} {state} on the map"), || {
        map.states().ok()?.contains(&wanted).then_some(())
    })
    .with_context(|| format!("{:?}", map.states()))
}

#[test]
fn a_box_whose_remote_lags_behind_the_witness_says_stale_until_it_follows() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    release(&deploy, "1.0.0")?;
    deploy.push()?;
    let second = second_remote(&world, &deploy)?;
    let map = Mirroring::start(&world, &deploy)?;
    let tail = pinned(&map, "box-1")?;
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &second, "poll = \"1s\"\n", &tail)?;
    here.run()?;
    here.until_runs("ticker", "1.0.0")?;
    until_state(&map, "box-1", "online")?;
    release(&deploy, "1.1.0")?;
    deploy.push()?;
    let said = until_status(&here, "the box saying stale", |said| {
        said["map"]["freshness"]["rule"] == "S-MAP-04"
    })?;
    ensure!(said["warnings"].to_string().contains("stale"), "{said}");
    until_state(&map, "box-1", "stale")?;
    until("why on the page", || {
        map.get("/").ok()?.contains("S-MAP-04").then_some(())
    })?;
    here.until_runs("ticker", "1.0.0")?;
    deploy.git(&["push", "-q", "--no-verify", "second", "main"])?;
    here.until_runs("ticker", "1.1.0")?;
    until_status(&here, "the box following", |said| {
        said["map"]["freshness"].is_null()
    })?;
    until_state(&map, "box-1", "online")
}

#[test]
fn two_commits_at_one_position_are_called_forked_by_box_and_map() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    release(&deploy, "1.0.0")?;
    deploy.push()?;
    let second = second_remote(&world, &deploy)?;
    let map = Mirroring::start(&world, &deploy)?;
    // The same position, signed by the same person, and another commit.
    deploy.write("NOTES", "for the second remote")?;
    deploy.git(&["add", "NOTES"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "another history"])?;
    let theirs = deploy.head()?;
    deploy.git(&["push", "-q", "--no-verify", "second", "main"])?;
    deploy.git(&["reset", "-q", "--hard", "HEAD~1"])?;
    deploy.write("NOTES", "for everybody")?;
    deploy.git(&["add", "NOTES"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "the history"])?;
    let ours = deploy.head()?;
    deploy.push()?;
    let tail = pinned(&map, "box-1")?;
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &second, "poll = \"1s\"\n", &tail)?;
    here.run()?;
    here.until_runs("ticker", "1.0.0")?;
    let said = until_status(&here, "the box saying forked", |said| {
        said["map"]["freshness"]["rule"] == "S-MAP-05"
    })?;
    assert_eq!(said["commit"], theirs.as_str());
    let reason = said["map"]["freshness"]["reason"].to_string();
    ensure!(
        reason.contains(&theirs[..10]) && reason.contains(&ours[..10]),
        "{reason}"
    );
    until_state(&map, "box-1", "forked")?;
    let page = until("why on the page", || {
        let page = map.get("/").ok()?;
        page.contains("S-MAP-05").then_some(page)
    })?;
    let wrong = page.find("S-MAP-05").context("not on the page")?;
    ensure!(
        wrong < page.find("id=\"boxes\"").context("boxes")?,
        "not first"
    );
    here.until_runs("ticker", "1.0.0")?;
    Ok(())
}

#[test]
fn a_box_that_lost_its_trust_does_not_follow_a_remote_that_was_set_back() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    release(&deploy, "1.0.0")?;
    let old = deploy.head()?;
    let new = release(&deploy, "1.1.0")?;
    deploy.push()?;
    let map = Mirroring::start(&world, &deploy)?;
    map.until_trunk("the mirror at the head", |trunk| {
        trunk["head"]["commit"] == new.as_str()
    })?;
    let remote = deploy.remote().display().to_string();
    let tail = pinned(&map, "box-1")?;
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &remote, "poll = \"1s\"\n", &tail)?;
    // It never trusted anything, and what it is offered first is old.
    deploy.git(&[
        "push",
        "-q",
        "--no-verify",
        "-f",
        "origin",
        &format!("{old}:main"),
    ])?;
    here.run()?;
    let said = until_status(&here, "the box refusing what is old", |said| {
        said["trouble"]["rule"] == "S-TRUNK-05"
    })?;
    ensure!(said["commit"].is_null(), "it trusts something: {said}");
    ensure!(
        here.rows()?.is_empty(),
        "something old runs: {:?}",
        here.rows()
    );
    deploy.git(&[
        "push",
        "-q",
        "--no-verify",
        "-f",
        "origin",
        &format!("{new}:main"),
    ])?;
    here.until_runs("ticker", "1.1.0")?;
    Ok(())
}

/// A map that lies: it lets every box in, and bears this witness.
struct Liar {
    port: u16,
    witness: Arc<Mutex<Value>>,
}

impl Liar {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let witness = Arc::new(Mutex::new(Value::Null));
        let told = witness.clone();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = told.clone();
                std::thread::spawn(move || converse(stream, &told));
            }
        });
        Ok(Self { port, witness })
    }

    fn says(&self, witness: &Value) {
        if let Ok(mut told) = self.witness.lock() {
            told.clone_from(witness);
        }
    }
}

/// Requests on one connection, until it ends.
fn converse(stream: TcpStream, told: &Mutex<Value>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            if header.trim().is_empty() {
                break;
            }
            let (name, value) = header.split_once(':')?;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let answer = match path.as_str() {
            "/v1/session" if body["signature"].is_null() => {
                json!({ "nonce": "n", "expires_in_s": 60 })
            }
            "/v1/session" => json!({ "session": "s", "expires_in_s": 3600 }),
            path if path.ends_with("/report") => {
                json!({ "next_in_s": 1, "resend": false, "witness": *told.lock().ok()? })
            }
            _ => Value::Null,
        };
        let status = if answer.is_null() {
            "404 Not Found"
        } else {
            "200 OK"
        };
        let text = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            text.len()
        );
        reader
            .get_mut()
            .write_all(format!("{head}{text}").as_bytes())
            .ok()?;
    }
}

/// What somebody says of the trunk, signed with this key.
fn signed(
    world: &World,
    key: &str,
    namespace: &str,
    repository: &str,
    position: u64,
    commit: &str,
) -> Result<Value> {
    let time = "2026-01-01T00:00:00Z";
    let text = format!(
        "swarm-witness-v1\nrepository {repository}\nposition {position}\ncommit {commit}\ntime {time}\n"
    );
    let mut keygen = world.command("ssh-keygen");
    keygen.args(["-q", "-Y", "sign", "-n", namespace, "-f"]);
    let signature = feed(keygen.arg(world.key(key)?), text.as_bytes())?;
    Ok(json!({
        "repository": repository, "position": position, "commit": commit, "time": time,
        "signature": signature,
    }))
}

fn repository_id(deploy: &Deploy<'_>) -> Result<String> {
    let policy = fs::read_to_string(deploy.path("policy.toml"))?;
    let line = policy.lines().find(|line| line.starts_with("repository"));
    let value = line.and_then(|line| line.split('"').nth(1));
    Ok(value.context("a repository id")?.to_owned())
}

#[test]
fn a_lying_witness_is_named_and_moves_nothing() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    release(&deploy, "1.0.0")?;
    deploy.push()?;
    let liar = Liar::start()?;
    let public = world.key("map")?.with_extension("pub");
    let tail = format!(
        "[map]\nurl = \"http://127.0.0.1:{}\"\nkey = \"{}\"\n",
        liar.port,
        fs::read_to_string(public)?.trim()
    );
    let remote = deploy.remote().display().to_string();
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &remote, "poll = \"1s\"\n", &tail)?;
    let id = repository_id(&deploy)?;
    let nowhere = "ab".repeat(20);
    let good =
        |position, commit: &str| signed(&world, "map", "swarm-witness@v1", &id, position, commit);
    // Before it trusts anything: a position without a commit is no floor.
    liar.says(&good(1000, &nowhere)?);
    here.run()?;
    here.until_runs("ticker", "1.0.0")?;
    let head = deploy.head()?;
    let position = status(&here)?["position"].as_u64().context("a position")?;
    let mut changed = good(position + 5, &nowhere)?;
    changed["position"] = json!(position + 6);
    let lies = [
        (
            "another key",
            signed(&world, "mallory", "swarm-witness@v1", &id, 9, &nowhere)?,
            "S-MAP-03",
            "another key",
        ),
        (
            "another use",
            signed(&world, "map", "git", &id, 9, &nowhere)?,
            "S-MAP-03",
            "namespace",
        ),
        ("changed", changed, "S-MAP-03", "does not fit"),
        (
            "another repository",
            signed(&world, "map", "swarm-witness@v1", "other", 9, &nowhere)?,
            "S-MAP-03",
            "another repository",
        ),
        (
            "a position without a commit",
            good(1_000_000, &nowhere)?,
            "S-MAP-04",
            "stale",
        ),
        (
            "another commit here",
            good(position, &nowhere)?,
            "S-MAP-05",
            "forked",
        ),
    ];
    for (what, lie, rule, words) in lies {
        liar.says(&lie);
        let said = until_status(&here, what, |said| {
            let freshness = &said["map"]["freshness"];
            freshness["rule"] == rule && freshness["reason"].to_string().contains(words)
        })?;
        assert_eq!(said["commit"], head.as_str(), "{what}: {said}");
        assert_eq!(here.until_runs("ticker", "1.0.0")?.restarts, 0, "{what}");
    }
    // And it delays nothing.
    release(&deploy, "1.1.0")?;
    deploy.push()?;
    here.until_runs("ticker", "1.1.0")?;
    Ok(())
}
