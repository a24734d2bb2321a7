//! The page of the map as a browser makes it, with and without JavaScript; and a map by https that a box knows by its authority.

use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use swarm_manifests::status::State;
use swarm_tests::{
    Deploy, Map, Running, SwarmBox, TICKER, World,
    browser::{Page, QUIET},
    daemon,
    process::{free_port, program, run},
    until,
};

/// Whether the browser runs scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scripts {
    Off,
    On,
}

/// What a browser's profile says to leave scripts alone; with them switched off by the engine's flag, it dumps nothing.
const WITHOUT_SCRIPTS: &str = r#"{"profile":{"default_content_setting_values":{"javascript":2}}}"#;

/// The document at this address, as the browser has it in the end.
fn seen(world: &World, url: &str, scripts: Scripts) -> Result<String> {
    let profile = tempfile::tempdir_in(world.path(""))?;
    if scripts == Scripts::Off {
        let own = profile.path().join("Default");
        fs::create_dir(&own)?;
        fs::write(own.join("Preferences"), WITHOUT_SCRIPTS)?;
    }
    let mut browser = world.command(program("chromium", "chromium")?);
    browser.args(QUIET).arg("--dump-dom");
    browser.arg(format!("--user-data-dir={}", profile.path().display()));
    run(browser.arg(url))
}

#[test]
fn a_browser_shows_what_runs_and_what_was_refused_with_and_without_javascript() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let map = Map::start(&world)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    // Past the hook that would refuse it.
    deploy.write("manifests/absent.toml", daemon("9.9.9"))?;
    deploy.git(&["add", "manifests"])?;
    deploy.git(&["commit", "-q", "--no-verify", "-S", "-m", "deploy absent"])?;
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
    let trial = world.path("trial.html");
    fs::write(
        &trial,
        "<p>off<script>document.querySelector('p').textContent = 'on'</script>",
    )?;
    let trial = format!("file://{}", trial.display());
    assert!(seen(&world, &trial, Scripts::Off)?.contains(">off<"));
    assert!(seen(&world, &trial, Scripts::On)?.contains(">on<"));
    here.until_runs("ticker", "1.0.0")?;
    let refused = here.until_state("absent", State::Refused)?;
    let rule = refused.rule.context("a refusal has a rule")?;
    until("both workflows on the map", || {
        let items = map.items("/v1/workflows").ok()?;
        let running = map.get("/?box=box-1").ok()?.contains(">running<");
        (items.len() == 2 && running).then_some(())
    })?;
    for scripts in [Scripts::Off, Scripts::On] {
        let all = seen(&world, &map.url(), scripts)?;
        for wanted in ["ticker", "absent", "online", "box-1", "alice", &rule] {
            assert!(
                all.contains(wanted),
                "no {wanted}, scripts {scripts:?}:\n{all}"
            );
        }
        let one = seen(&world, &format!("{}/?box=box-1", map.url()), scripts)?;
        for wanted in ["ticker", "absent", ">running<", ">refused<", "alice", &rule] {
            assert!(
                one.contains(wanted),
                "no {wanted}, scripts {scripts:?}:\n{one}"
            );
        }
    }
    Ok(())
}

#[test]
fn an_open_page_shows_a_new_state_without_being_loaded_anew() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let map = Map::start(&world)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let remote = deploy.remote().display().to_string();
    let tail = map.settings_for("box-1")?;
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &remote, "poll = \"1s\"\n", &tail)?;
    here.run()?;
    here.until_runs("ticker", "1.0.0")?;
    let mut page = Page::open(&world, &format!("{}/?box=box-1", map.url()))?;
    page.until_cell("running")?;
    page.evaluate("window.loadedOnce = true")?;
    here.agent(&["kill", "ticker", "--reason", "to see it on the page"])?;
    page.until_cell("killed")?;
    here.agent(&["start", "ticker"])?;
    page.until_cell("running")?;
    assert_eq!(page.evaluate("window.loadedOnce")?, true, "it was reloaded");
    Ok(())
}

/// A self-signed certificate of 127.0.0.1 and its key.
fn certificate(world: &World, name: &str) -> Result<[String; 2]> {
    let [cert, key] = ["pem", "key"].map(|end| {
        let path = world.path(format!("keys/{name}.{end}"));
        path.display().to_string()
    });
    let mut openssl = world.command(program("openssl", "openssl")?);
    openssl.args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]);
    openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.args(["-subj", "/CN=map", "-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    run(openssl.args(["-keyout", &key, "-out", &cert]))?;
    Ok([cert, key])
}

#[test]
fn a_box_reports_over_https_only_to_a_map_that_its_authority_vouches_for() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.push()?;
    let [cert, key] = certificate(&world, "map")?;
    let [other, _] = certificate(&world, "other")?;
    let port = free_port()?;
    let url = format!("https://127.0.0.1:{port}");
    let store = format!("sqlite:{}", world.path("map.db").display());
    let mut serve = world.map();
    serve.args(["serve", "--public-read", "--heartbeat", "1s"]);
    serve.args(["--listen", &format!("127.0.0.1:{port}"), "--store", &store]);
    serve.args(["--tls-cert", &cert, "--tls-key", &key]);
    let _map = Running::start("map", &mut serve, &world.path("logs/map"))?;
    let get = |path: &str| {
        let mut curl = world.command("curl");
        curl.args(["-sS", "--fail", "--max-time", "20", "--cacert", &cert]);
        run(curl.arg(format!("{url}{path}")))
    };
    until("the map being ready", || get("/readyz").ok())?;
    let start = |name: &str, ca: &str| -> Result<SwarmBox<'_>> {
        let token = world.path(format!("keys/{name}.token"));
        let mut command = world.map();
        let text = run(command.args(["token", "--store", &store, "--box", name]))?;
        fs::write(&token, text)?;
        let tail = format!(
            "[map]\nurl = \"{url}\"\nca = \"{ca}\"\ntoken-file = \"{}\"\n",
            token.display()
        );
        let remote = deploy.remote().display().to_string();
        let mut made = SwarmBox::new(&world, name, &deploy, &remote, "poll = \"1s\"\n", &tail)?;
        made.run()?;
        Ok(made)
    };
    let stranger = start("stranger", &other)?;
    let _friend = start("friend", &cert)?;
    until("the box on the map", || {
        let boxes: Value = serde_json::from_str(&get("/v1/boxes?state=online").ok()?).ok()?;
        (boxes["items"][0]["box"] == "friend").then_some(())
    })?;
    let failure = until("the other box saying why not", || {
        let status: Value =
            serde_json::from_str(&stranger.agent(&["status", "--json"]).ok()?).ok()?;
        status["map"]["failure"].as_str().map(str::to_string)
    })?;
    assert!(failure.contains("certificate"), "{failure}");
    let told = stranger.agent(&["status"])?;
    assert!(told.contains("certificate"), "{told}");
    let boxes: Value = serde_json::from_str(&get("/v1/boxes")?)?;
    let known = boxes["items"].as_array().context("items")?;
    let stranger = known.iter().find(|one| one["box"] == "stranger");
    let stranger = stranger.context("the token makes it known")?;
    assert!(stranger["last_seen"].is_null(), "{stranger}");
    assert_eq!(stranger["state"], "pending");
    Ok(())
}
