//! The commands' contract on a running box, as scripts find it: rows, exit codes, JSON, and who may.

use anyhow::{Context, Result};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path, process::Command};
use swarm_manifests::status::State;
use swarm_tests::{
    Deploy, Running, SwarmBox, World, daemon, everywhere,
    process::{self, feed, output, program, run},
    until,
};

const LOOP: &str = "while :; do sleep 1; done\n";
/// Those of the spec, and `protections`, which docs/reference/configuration.md adds.
const FIELDS: &str = "box workflow bundle version digest mode state reason rule since pid instance restarts up_s time_left_s \
                      last_exit memory_bytes cpu_s commit by next protections";

/// A box with something in every kind of state.
fn motley<'a>(world: &'a World, deploy: &Deploy<'_>) -> Result<SwarmBox<'a>> {
    deploy.daemon("lp", "1.0.0", LOOP)?;
    for (name, script) in [
        ("good", "exit 0\n"),
        ("bad", "exit 3\n"),
        ("shot", "kill -9 $$\n"),
    ] {
        deploy.publish_sh(name, "1.0.0", script)?;
        deploy.manifest(name, &everywhere("1.0.0", "mode = \"once\""))?;
    }
    let toml = "engine = \"sh\"\nentry = \"main.sh\"\n\n[requires]\nnode = \">=900\"\n";
    let needy = deploy.source("needy", "1.0.0", toml, &[("main.sh", LOOP)])?;
    deploy.pack(&["publish", &needy])?;
    deploy.manifest("needy", &daemon("1.0.0"))?;
    deploy.manifest("absent", &daemon("9.9.9"))?;
    let elsewhere = daemon("1.0.0").replace("all = true", "boxes = [\"other\"]");
    deploy.publish_sh("away", "1.0.0", LOOP)?;
    deploy.manifest("away", &elsewhere)?;
    deploy.push()?;
    let here = SwarmBox::by_path(world, deploy)?;
    here.until_runs("lp", "1.0.0")?;
    for (name, state) in [
        ("good", State::Finished),
        ("bad", State::Failed),
        ("shot", State::Failed),
        ("needy", State::Blocked),
        ("absent", State::Refused),
    ] {
        here.until_state(name, state)?;
    }
    Ok(here)
}

#[test]
fn every_row_has_exactly_the_fields_of_the_spec() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let here = motley(&world, &deploy)?;
    let text = here.agent(&["list", "--json"])?;
    let rows: Vec<Value> = serde_json::from_str(&text)?;
    let wanted: BTreeSet<&str> = FIELDS.split_whitespace().collect();
    for row in &rows {
        let fields = row.as_object().context("a row is an object")?;
        let found: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
        assert_eq!(found, wanted);
        for always in [
            "box", "workflow", "bundle", "version", "mode", "state", "commit", "by",
        ] {
            assert!(row[always].is_string(), "no {always} in {row}");
        }
        let since = row["since"].as_str().unwrap_or_default();
        assert!(
            since.contains('T') && since.ends_with('Z'),
            "since {since:?} in {row}"
        );
        let settled = ["running", "ready"].contains(&row["state"].as_str().unwrap_or_default());
        assert!(settled || row["reason"].is_string(), "no reason in {row}");
    }
    let exit = |name: &str| {
        let row = rows.iter().find(|row| row["workflow"] == name);
        row.map(|row| row["last_exit"].clone())
    };
    assert_eq!(exit("bad"), Some(serde_json::json!({"code": 3})));
    assert_eq!(exit("shot"), Some(serde_json::json!({"signal": "SIGKILL"})));
    assert_eq!(exit("lp"), Some(Value::Null));
    for name in ["needy", "absent"] {
        let row = rows.iter().find(|row| row["workflow"] == name);
        let rule = row.and_then(|row| row["rule"].as_str());
        assert!(rule.is_some_and(|rule| rule.starts_with("S-")), "{row:?}");
    }
    Ok(())
}

#[test]
fn every_command_ends_with_the_exit_code_of_the_spec_and_prints_json_that_jq_reads() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let mut here = motley(&world, &deploy)?;
    let jq = program("jq", "jq")?;
    for (words, exit) in [
        ("list", 0),
        ("status", 0),
        ("why lp", 0),
        ("why absent", 0),
        ("why away", 0),
        ("logs lp", 0),
        ("history", 0),
        ("history lp", 0),
        ("history --verify", 0),
        ("check-config", 0),
        ("explain S-TRUNK-03", 0),
        ("plan", 1),
        ("sync", 1),
        ("restart lp", 0),
        ("kill lp", 0),
        ("start lp", 0),
    ] {
        let words: Vec<&str> = words.split(' ').chain(["--json"]).collect();
        let ended = here.try_agent(&words)?;
        assert_eq!(ended.status.code(), Some(exit), "{words:?} {ended:?}");
        feed(Command::new(&jq).args(["-e", "."]), &ended.stdout)
            .with_context(|| format!("{words:?}"))?;
    }
    let wrong = [
        ("frob", 2),
        ("list --frob", 2),
        ("list extra", 2),
        ("kill", 2),
        ("start", 2),
        ("restart", 2),
        ("why", 2),
        ("logs", 2),
        ("logs lp -n many", 2),
        ("logs lp --since yesterday", 2),
        ("sync --timeout soon", 2),
        ("purge", 2),
        ("explain", 2),
        ("explain S-NONE-99", 2),
        ("completions", 2),
        ("completions dos", 2),
        ("local", 2),
        ("local /nowhere", 2),
        ("demo --port high", 2),
        ("list --map", 2),
        ("kill nobody", 3),
        ("start nobody", 3),
        ("restart nobody", 3),
        ("why nobody", 3),
        ("logs nobody", 3),
        ("history nobody", 3),
        ("purge nobody", 3),
        ("purge lp", 1),
    ];
    for (words, exit) in wrong {
        let ended = here.try_agent(&words.split(' ').collect::<Vec<_>>())?;
        let talk = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(exit), "{words}: {talk}");
        assert!(
            !talk.is_empty() && !talk.contains("panicked"),
            "{words}: {talk}"
        );
    }
    let missing = world
        .agent()
        .args(["list", "--config", "/nowhere"])
        .output()?;
    assert_eq!(missing.status.code(), Some(2));
    // The agent proper is gone or stopped: what needs only the supervisor still answers. Then nobody is there.
    here.supervisor().kill();
    for words in [
        "list",
        "status",
        "kill lp",
        "start lp",
        "restart lp",
        "why lp",
        "logs lp",
        "history",
        "sync",
        "plan",
    ] {
        let ended = here.try_agent(&words.split(' ').collect::<Vec<_>>())?;
        assert_eq!(ended.status.code(), Some(5), "{words} {ended:?}");
    }
    here.run()
}

/// `/etc/passwd` and `/etc/group` of the machine, and three more people, of whom `ann` is an operator.
fn people(world: &World) -> Result<()> {
    let passwd = fs::read_to_string("/etc/passwd")?;
    let groups = fs::read_to_string("/etc/group")?;
    let more = |name: &str, id: u32| format!("{name}:x:{id}:{id}::/nonexistent:/bin/sh\n");
    fs::write(
        world.path("passwd"),
        passwd + &more("ann", 61_001) + &more("ben", 61_002),
    )?;
    fs::write(
        world.path("group"),
        groups + "ann:x:61001:\nben:x:61002:\nswarm-operators:x:61009:ann\n",
    )?;
    Ok(())
}

#[test]
fn an_operator_may_kill_and_stands_in_the_journal_and_nobody_else_may() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("lp", "1.0.0", LOOP)?;
    deploy.push()?;
    people(&world)?;
    // Its control socket where root's agent has it, in a /run that only these processes see.
    let remote = deploy.remote().display().to_string();
    let made = SwarmBox::new(&world, "box-1", &deploy, &remote, "poll = \"1s\"\n", "")?;
    let file = made.path("agent.toml");
    let toml = fs::read_to_string(&file)?;
    let lines = toml.lines().filter(|line| !line.starts_with("control"));
    fs::write(&file, lines.collect::<Vec<_>>().join("\n"))?;
    let [passwd, group] = ["passwd", "group"].map(|name| world.path(name).display().to_string());
    let inside = format!(
        "mount -t tmpfs -o mode=755 none /run && mount --bind {passwd} /etc/passwd && mount --bind {group} /etc/group && \
         exec \"$@\""
    );
    let mut alone = world.command(program("unshare", "util-linux")?);
    alone.args(["-m", "sh", "-c", &inside, "sh"]);
    alone.arg(swarm_tests::world::swarm_program("swarm-agent"));
    alone
        .args(["run", "--stop-workflows", "--config"])
        .arg(&file);
    let mut agent = Running::start("agent", &mut alone, &world.path("logs/agent"))?;
    let namespace = agent.pid().to_string();
    let ask = |who: u32, words: &[&str]| {
        let id = who.to_string();
        let mut ask = world.command(program("nsenter", "util-linux")?);
        ask.args([
            "-t",
            &namespace,
            "-m",
            "setpriv",
            "--reuid",
            &id,
            "--regid",
            &id,
            "--init-groups",
        ]);
        ask.arg(swarm_tests::world::swarm_program("swarm-agent"));
        output(ask.args(words))
    };
    let pid = until("lp running", || {
        let rows: Vec<Value> =
            serde_json::from_slice(&ask(0, &["list", "--json"]).ok()?.stdout).ok()?;
        rows.first()?["pid"].as_u64()
    })?;
    let pid = u32::try_from(pid)?;
    for words in [
        &["kill", "lp"][..],
        &["list"],
        &["why", "lp"],
        &["logs", "lp"],
        &["history"],
    ] {
        let ended = ask(61_002, words)?;
        assert_eq!(ended.status.code(), Some(4), "{words:?} {ended:?}");
    }
    assert!(
        process::is_alive(pid),
        "somebody without the right ended it"
    );
    let ended = ask(61_001, &["kill", "lp", "--reason", "tea"])?;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(
        !process::is_alive(pid),
        "kill returned, and it is still there"
    );
    let journal = String::from_utf8(ask(61_001, &["history", "lp"])?.stdout)?;
    let told = journal.lines().find(|line| line.contains("tea"));
    assert!(
        told.is_some_and(|line| line.contains("ann") && line.contains("61001")),
        "{journal}"
    );
    agent.end();
    Ok(())
}

#[test]
fn a_refused_commit_and_a_refused_bundle_name_their_paths() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (here, before) = SwarmBox::ticking(&world, &deploy)?;
    // A bundle signed by a key that nobody knows, brought by a commit that is well signed.
    let folder = deploy.source(
        "odd",
        "1.0.0",
        "engine = \"sh\"\nentry = \"main.sh\"\n",
        &[("main.sh", LOOP)],
    )?;
    deploy.pack(&["publish", &folder])?;
    let stranger = world.key("stranger")?;
    let lock = deploy.path("bundles/odd/1.0.0/bundle.lock");
    let signature = lock.with_file_name("bundle.lock.sig");
    fs::remove_file(&signature)?;
    run(world
        .command("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", "swarm-bundle@v1", "-f"])
        .arg(&stranger)
        .arg(&lock))?;
    deploy.git(&["commit", "-q", "-S", "-am", "signed anew"])?;
    deploy.manifest("odd", &daemon("1.0.0"))?;
    deploy.push()?;
    let row = here.until_state("odd", State::Refused)?;
    let reason = row.reason.unwrap_or_default();
    assert!(
        reason.contains("bundles/odd/1.0.0/bundle.lock.sig"),
        "{reason}"
    );
    assert!(row.rule.is_some(), "{reason}");
    // A commit without a signature, and one by a key that nobody knows.
    let good = deploy.head()?;
    let by_stranger = format!("user.signingkey={}.pub", stranger.display());
    for (how, rule) in [
        (
            &["-c", "commit.gpgsign=false", "commit", "-q", "-m", "x"][..],
            "S-TRUNK-01",
        ),
        (
            &["-c", &by_stranger, "commit", "-q", "-S", "-m", "x"],
            "S-TRUNK-04",
        ),
    ] {
        deploy.write("manifests/ticker.toml", daemon("9.9.9"))?;
        deploy.git(&["add", "."])?;
        deploy.git(how)?;
        deploy.push()?;
        let told = until(&format!("{rule} in status"), || {
            here.agent(&["status"])
                .ok()
                .filter(|status| status.contains(rule))
        })?;
        assert!(told.contains("manifests/ticker.toml"), "{told}");
        deploy.git(&["reset", "-q", "--hard", &good])?;
        deploy.git(&["push", "-q", "--no-verify", "-f", "origin", "main"])?;
        here.agent(&["sync"]).ok();
    }
    assert_eq!(here.until_runs("ticker", "1.0.0")?.pid, before.pid);
    Ok(())
}

#[test]
fn a_plan_reads_manifests_that_the_filter_held_back() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = swarm_tests::GitOverHttp::start(&world)?;
    let url = server.url("deploy.git");
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &url, "poll = \"1h\"\n", "")?;
    here.run()?;
    here.agent(&["sync"])?;
    let word = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string();
    let words: Vec<_> = (0..12_000).map(word).collect();
    let filler = format!("# {}\n", words.join("\n# "));
    deploy.publish_sh("large", "1.0.0", LOOP)?;
    deploy.manifest("large", &(daemon("1.0.0") + &filler))?;
    deploy.push()?;
    let plan: Value = serde_json::from_str(&here.agent(&["plan", "--json"])?)?;
    let actions = plan["actions"].as_array().context("actions")?;
    let large = actions.iter().find(|action| action["workflow"] == "large");
    assert!(
        large.is_some_and(|action| action["action"] == "start"),
        "{plan:#}"
    );
    assert!(here.row("large")?.is_none(), "a plan started something");
    assert!(!Path::new(&here.path("state/workflows/large")).exists());
    Ok(())
}
