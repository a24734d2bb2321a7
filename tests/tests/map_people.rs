//! People and the map: who gets in by their SSH key, what for, and until when.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{fs, process::Output};
use swarm_tests::{
    Deploy, Mirroring, SwarmBox, TICKER, World,
    browser::Page,
    process::{feed, output, run},
    until,
};

/// A map that only people of the policy may read, at the head of the trunk.
fn closed<'a>(world: &'a World, deploy: &Deploy<'_>) -> Result<Mirroring<'a>> {
    let remote = deploy.remote().display().to_string();
    let mut map = Mirroring::of(world, deploy, &remote, "poll = \"1s\"\n")?;
    map.end();
    let file = world.path("map.toml");
    let text = fs::read_to_string(&file)?.replace("public-read = true", "public-read = false");
    fs::write(&file, text)?;
    map.run()?;
    Ok(map)
}

/// `swarm-agent login` by this person.
fn login(world: &World, map: &Mirroring<'_>, person: &str, more: &[&str]) -> Result<Output> {
    let key = world.key(person)?;
    let mut command = world.agent();
    command.args(["login", "--map", &map.url, "--key"]).arg(key);
    output(command.args(more))
}

/// The same, again until the map has its people: it reads the policy from its own mirror.
fn logged_in(world: &World, map: &Mirroring<'_>, person: &str, more: &[&str]) -> Result<String> {
    let done = until("the login", || {
        let done = login(world, map, person, more).ok()?;
        done.status.success().then_some(done)
    })
    .with_context(|| format!("{:?}", login(world, map, person, more)))?;
    Ok(String::from_utf8(done.stdout)?)
}

/// The status of a GET with this session.
fn status_of(
    world: &World,
    map: &Mirroring<'_>,
    path: &str,
    session: Option<&str>,
) -> Result<String> {
    let mut curl = world.command("curl");
    curl.args([
        "-sS",
        "--max-time",
        "20",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
    ]);
    if let Some(session) = session {
        curl.args(["-H", &format!("Authorization: Bearer {session}")]);
    }
    run(curl.arg(format!("{}{path}", map.url)))
}

/// Posts JSON; gives status and body.
fn post(world: &World, url: &str, body: &Value) -> Result<(u16, Value)> {
    let mut curl = world.command("curl");
    curl.args([
        "-sS",
        "--max-time",
        "20",
        "-w",
        "\n%{http_code}",
        "--data",
        &body.to_string(),
    ]);
    let printed = run(curl.args(["-H", "Content-Type: application/json", url]))?;
    let (text, status) = printed.rsplit_once('\n').context("a status")?;
    Ok((
        status.parse()?,
        serde_json::from_str(text).unwrap_or_default(),
    ))
}

/// Signs a session's statement as a client of any kind would.
fn answer(world: &World, person: &str, at: &str, nonce: &str) -> Result<Value> {
    let key = world.key(person)?;
    let line = fs::read_to_string(key.with_extension("pub"))?;
    let mut keygen = world.command("ssh-keygen");
    let print = run(keygen.arg("-lf").arg(key.with_extension("pub")))?;
    let fingerprint = print.split(' ').nth(1).context("a fingerprint")?;
    let text = format!("swarm-session-v1\nmap {at}\nnonce {nonce}\nkey {fingerprint}\n");
    let mut keygen = world.command("ssh-keygen");
    keygen.args(["-q", "-Y", "sign", "-n", "swarm-session@v1", "-f"]);
    let signature = feed(keygen.arg(key), text.as_bytes())?;
    Ok(json!({ "key": line.trim(), "nonce": nonce, "signature": signature }))
}

fn nonce(world: &World, map: &Mirroring<'_>) -> Result<String> {
    let line = fs::read_to_string(world.key("alice")?.with_extension("pub"))?;
    let url = format!("{}/v1/session", map.url);
    let (_, said) = post(world, &url, &json!({ "key": line.trim() }))?;
    Ok(said["nonce"].as_str().context("a nonce")?.to_owned())
}

/// Adds somebody to the policy, or takes their key out of use; pushes it.
fn change_policy(deploy: &Deploy<'_>, change: impl Fn(&str) -> String) -> Result<()> {
    let text = fs::read_to_string(deploy.path("policy.toml"))?;
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("version = "))
        .context("a version")?
        .split(' ')
        .next()
        .context("a number")?
        .parse::<u64>()?;
    let newer = text.replace(
        &format!("version = {version}"),
        &format!("version = {}", version + 1),
    );
    deploy.write("policy.toml", change(&newer))?;
    deploy.git(&["add", "policy.toml"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "another policy"])?;
    deploy.push()
}

fn add_bob(world: &World, deploy: &Deploy<'_>) -> Result<()> {
    let line = fs::read_to_string(world.key("bob")?.with_extension("pub"))?;
    change_policy(deploy, |text| {
        format!("{text}\n[people.bob]\nkeys = [\"{}\"]\n", line.trim())
    })
}

#[test]
fn a_person_of_the_policy_logs_in_with_their_key_and_a_stranger_does_not() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let map = closed(&world, &deploy)?;
    let ask = |words: &[&str]| output(world.agent().args(words).arg(format!("--map={}", map.url)));
    let refused = ask(&["status"])?;
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    ensure!(String::from_utf8_lossy(&refused.stderr).contains("swarm-agent login"));
    logged_in(&world, &map, "alice", &[])?;
    let seen = ask(&["status", "--json"])?;
    assert_eq!(seen.status.code(), Some(0), "{seen:?}");
    let kept = world.path("home/.local/state/swarm/sessions");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&kept)?);
    assert_eq!(mode & 0o777, 0o600, "others may read the session");
    let stranger = login(&world, &map, "mallory", &[])?;
    assert_eq!(stranger.status.code(), Some(4), "{stranger:?}");
    ensure!(String::from_utf8_lossy(&stranger.stderr).contains("policy.toml"));
    Ok(())
}

#[test]
fn the_session_of_a_person_who_is_taken_out_of_the_policy_ends() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    add_bob(&world, &deploy)?;
    let map = closed(&world, &deploy)?;
    logged_in(&world, &map, "bob", &[])?;
    let kept = fs::read_to_string(world.path("home/.local/state/swarm/sessions"))?;
    let session = kept.trim().rsplit(' ').next().context("a session")?;
    assert_eq!(status_of(&world, &map, "/v1/boxes", Some(session))?, "200");
    // Somebody who only listens is cut off as well.
    let mut curl = world.command("curl");
    curl.args([
        "-sSN",
        "--max-time",
        "120",
        "-H",
        &format!("Authorization: Bearer {session}"),
    ]);
    curl.arg(format!("{}/v1/events", map.url));
    let log = world.path("logs/listener");
    let mut listener = swarm_tests::Running::start("listener", &mut curl, &log)?;
    until("the stream", || {
        fs::read_to_string(&log)
            .ok()?
            .contains("hello")
            .then_some(())
    })?;
    let policy = deploy.git(&["show", "HEAD~1:policy.toml"])?;
    let people = policy.clone();
    change_policy(&deploy, |now| {
        let version = now
            .lines()
            .find(|line| line.starts_with("version = "))
            .unwrap_or_default();
        let old = people
            .lines()
            .find(|line| line.starts_with("version = "))
            .unwrap_or_default();
        people.replacen(old, version, 1)
    })?;
    until("the session ending", || {
        (status_of(&world, &map, "/v1/boxes", Some(session)).ok()? == "401").then_some(())
    })?;
    until("the stream ending", || (!listener.is_alive()).then_some(()))?;
    let again = login(&world, &map, "bob", &[])?;
    assert_eq!(again.status.code(), Some(4), "{again:?}");
    Ok(())
}

#[test]
fn a_challenge_signed_for_another_map_opens_nothing_and_none_is_answered_twice() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let map = closed(&world, &deploy)?;
    logged_in(&world, &map, "alice", &[])?;
    let url = format!("{}/v1/session", map.url);
    // What a map elsewhere gets when it hands our challenge on: an answer over its own url.
    let relayed = answer(&world, "alice", "http://127.0.0.1:1", &nonce(&world, &map)?)?;
    assert_eq!(post(&world, &url, &relayed)?.0, 401);
    let own = answer(&world, "alice", &map.url, &nonce(&world, &map)?)?;
    let (status, said) = post(&world, &url, &own)?;
    assert_eq!(status, 200, "{said}");
    assert_eq!(post(&world, &url, &own)?.0, 401, "answered twice");
    let invented = answer(&world, "alice", &map.url, "00.99999999999.00")?;
    assert_eq!(post(&world, &url, &invented)?.0, 401);
    // Alice's key with somebody else's signature.
    let mut forged = answer(&world, "mallory", &map.url, &nonce(&world, &map)?)?;
    forged["key"] = own["key"].clone();
    assert_eq!(post(&world, &url, &forged)?.0, 401);
    Ok(())
}

#[test]
fn a_link_opens_the_live_page_in_a_browser_once() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("ticker", "1.0.0", TICKER)?;
    let manifest = "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n";
    deploy.manifest("ticker", manifest)?;
    deploy.push()?;
    let map = closed(&world, &deploy)?;
    let remote = deploy.remote().display().to_string();
    let tail = map.settings_for("box-1")?;
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &remote, "poll = \"1s\"\n", &tail)?;
    here.run()?;
    here.until_runs("ticker", "1.0.0")?;
    let mut stranger = Page::open(&world, &map.url)?;
    stranger.until_text("the page saying how to get in", |text| {
        text.contains("swarm-agent login --web") && !text.contains("ticker")
    })?;
    let link = logged_in(&world, &map, "alice", &["--web"])?;
    let mut page = Page::open(&world, link.trim())?;
    page.until_text("the fleet", |text| text.contains("ticker"))?;
    page.until_text("the page being live", |text| text.contains("live"))?;
    let address = page.evaluate("location.href")?;
    assert_eq!(
        address,
        format!("{}/", map.url),
        "the link stays in the address"
    );
    assert_eq!(
        page.evaluate("document.cookie")?,
        "",
        "scripts see the session"
    );
    let acted =
        page.evaluate("fetch('/v1/requests', { method: 'POST' }).then(answer => answer.status)")?;
    assert_eq!(acted, 401, "a cookie is for reading only");
    let mut again = Page::open(&world, link.trim())?;
    again.until_text("the used link being refused", |text| {
        text.contains("was used") && !text.contains("ticker")
    })?;
    Ok(())
}

/// A box's enrolment, signed as any client would with this key.
fn enrolment(
    world: &World,
    map: &Mirroring<'_>,
    key: &str,
    name: &str,
    token: &str,
) -> Result<Value> {
    let path = world.key(key)?;
    let line = fs::read_to_string(path.with_extension("pub"))?;
    let mut keygen = world.command("ssh-keygen");
    let print = run(keygen.arg("-lf").arg(path.with_extension("pub")))?;
    let fingerprint = print.split(' ').nth(1).context("a fingerprint")?;
    let text = format!(
        "swarm-enrol-v1\nmap {}\nbox {name}\ntoken {token}\nkey {fingerprint}\n",
        map.url
    );
    let mut keygen = world.command("ssh-keygen");
    keygen.args(["-q", "-Y", "sign", "-n", "swarm-enrol@v1", "-f"]);
    let signature = feed(keygen.arg(path), text.as_bytes())?;
    Ok(json!({ "box": name, "key": line.trim(), "token": token, "signature": signature }))
}

/// A session by this key, whosever it is.
fn session_by(world: &World, map: &Mirroring<'_>, key: &str) -> Result<String> {
    let url = format!("{}/v1/session", map.url);
    let asked = answer(world, key, &map.url, &nonce(world, map)?)?;
    let (status, said) = post(world, &url, &asked)?;
    ensure!(status == 200, "{status}: {said}");
    Ok(said["session"].as_str().context("a session")?.to_owned())
}

#[test]
fn a_persons_key_is_no_boxs_and_a_boxs_key_that_becomes_a_persons_is_theirs() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let map = closed(&world, &deploy)?;
    logged_in(&world, &map, "alice", &[])?;
    let url = format!("{}/v1/enrol", map.url);
    let token = map.command(&["token", "--box", "evil-1"])?;
    let token = token.trim();
    // Somebody else with a token and alice's public key; then alice herself.
    let mut forged = enrolment(&world, &map, "mallory", "evil-1", token)?;
    let own = enrolment(&world, &map, "alice", "evil-1", token)?;
    forged["key"] = own["key"].clone();
    assert_eq!(post(&world, &url, &forged)?.0, 401);
    let (status, said) = post(&world, &url, &own)?;
    assert_eq!(status, 409, "{said}");
    // Bob is nobody yet: his key may be a box's, until the policy says that it is his.
    let bobs = enrolment(&world, &map, "bob", "evil-1", token)?;
    assert_eq!(post(&world, &url, &bobs)?.0, 201);
    let of_box = session_by(&world, &map, "bob")?;
    assert_eq!(status_of(&world, &map, "/v1/boxes", Some(&of_box))?, "401");
    add_bob(&world, &deploy)?;
    until("bob's key opening a person's session", || {
        let session = session_by(&world, &map, "bob").ok()?;
        let status = status_of(&world, &map, "/v1/boxes", Some(&session)).ok()?;
        (status == "200").then_some(())
    })?;
    let watch = "/v1/boxes/evil-1/watch";
    assert_eq!(status_of(&world, &map, watch, Some(&of_box))?, "401");
    Ok(())
}
