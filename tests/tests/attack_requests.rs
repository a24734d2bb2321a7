//! Requests through the map, end to end: who may act from afar, what is written down of it, and what no map can make a box do.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    io::Read as _,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Command, Output},
    time::{SystemTime, UNIX_EPOCH},
};
use swarm_manifests::status::{Row, State};
use swarm_tests::{
    Deploy, Mirroring, SwarmBox, TICKER, World,
    process::{feed, output, run},
    until,
};

/// A map with people, and `lab-1` on which `ticker` runs. bob may operate it on till boxes only; mallory is nobody.
struct Fleet<'a> {
    world: &'a World,
    repository: String,
    map: Mirroring<'a>,
    here: SwarmBox<'a>,
}

impl<'a> Fleet<'a> {
    fn new(world: &'a World, deploy: &Deploy<'_>) -> Result<Self> {
        deploy.daemon("ticker", "1.0.0", TICKER)?;
        let bob = fs::read_to_string(world.key("bob")?.with_extension("pub"))?;
        let policy = fs::read_to_string(deploy.path("policy.toml"))?;
        let repository = policy.split('"').nth(1).context("an id")?.to_owned();
        let policy = policy.replacen("version = 1", "version = 2", 1)
            + &format!(
                "\n[people.bob]\nkeys = [{:?}]\n[[grant]]\npeople = [\"bob\"]\nmay = [\"operate\"]\nworkflows = [\"*\"]\nboxes = [\"till-*\"]\n",
                bob.trim()
            );
        deploy.write("policy.toml", policy)?;
        deploy.git(&["add", "-A"])?;
        deploy.git(&["commit", "-q", "-S", "-m", "bob"])?;
        deploy.push()?;
        let map = Mirroring::start(world, deploy)?;
        let remote = deploy.remote().display().to_string();
        let tail = map.settings_for("lab-1")?;
        let mut here = SwarmBox::new(world, "lab-1", deploy, &remote, "poll = \"1s\"\n", &tail)?;
        here.run()?;
        here.until_runs("ticker", "1.0.0")?;
        let fleet = Self {
            world,
            repository,
            map,
            here,
        };
        until("the map knowing the ticker and the people", || {
            let rows = fleet.map.get("/v1/workflows/ticker").ok()?;
            let trunk = fleet.map.trunk().ok()?;
            let is_there =
                rows.contains("running") && trunk["repository_id"] == fleet.repository.as_str();
            is_there.then_some(())
        })?;
        Ok(fleet)
    }

    /// `swarm-agent …` of a person, who has a home of their own.
    fn ask(&self, person: &str, words: &[&str]) -> Result<Output> {
        let home = self.world.path(format!("home-{person}"));
        fs::create_dir_all(&home)?;
        let mut command = self.world.agent();
        command.env("HOME", &home).args(words);
        output(
            command
                .arg(format!("--map={}", self.map.url))
                .arg("--key")
                .arg(self.key(person)?),
        )
    }

    fn log_in(&self, person: &str) -> Result<()> {
        let done = until("the login", || {
            let done = self.ask(person, &["login"]).ok()?;
            done.status.success().then_some(())
        });
        done.with_context(|| format!("{:?}", self.ask(person, &["login"])))
    }

    fn key(&self, person: &str) -> Result<PathBuf> {
        self.world.key(person)
    }

    /// Signs a statement as any program could.
    fn sign(&self, person: &str, namespace: &str, statement: &str) -> Result<String> {
        let mut keygen = self.world.command("ssh-keygen");
        keygen.args(["-q", "-Y", "sign", "-n", namespace, "-f"]);
        feed(keygen.arg(self.key(person)?), statement.as_bytes())
    }

    /// Writes into the map's database what the map itself would never take: as a map that somebody else runs.
    fn plant(&self, id: &str, statement: &str, signature: &str) -> Result<()> {
        let script = "import json, sqlite3, sys\n\
            db = sqlite3.connect(sys.argv[1], timeout=60)\n\
            id, statement, signature, far = json.load(sys.stdin)\n\
            db.execute('INSERT INTO request VALUES (?, ?, ?, ?, ?, ?)', (id, statement, signature, 'alice', 0, far))\n\
            db.execute('INSERT INTO request_box (request, box) VALUES (?, ?)', (id, 'lab-1'))\n\
            db.commit()\n";
        let what = json!([id, statement, signature, 1_i64 << 45]).to_string();
        let mut python = self.world.command("python3");
        python.args(["-c", script]).arg(self.world.path("map.db"));
        feed(&mut python, what.as_bytes()).map(drop)
    }

    /// What the box answered to a request, as the map's database has it.
    fn answer(&self, id: &str) -> Result<Value> {
        let script = "import sqlite3, sys\n\
            db = sqlite3.connect(sys.argv[1], timeout=60)\n\
            print(db.execute('SELECT outcome FROM request_box WHERE request = ?', (sys.argv[2],)).fetchone()[0] or 'null')\n";
        until("the box answering", || {
            let mut python = self.world.command("python3");
            python.args(["-c", script]).arg(self.world.path("map.db"));
            let said = run(python.arg(id)).ok()?;
            serde_json::from_str(&said)
                .ok()
                .filter(|answer: &Value| !answer.is_null())
        })
    }
}

/// A moment so many seconds from now, as statements have it.
fn moment(seconds: i64) -> Result<String> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let mut date = Command::new("date");
    let text = run(date.args([
        "-u",
        "-d",
        &format!("@{}", now + seconds),
        "+%Y-%m-%dT%H:%M:%SZ",
    ]))?;
    Ok(text.trim().to_owned())
}

/// A statement to the byte as the contract says, written by hand.
fn statement(
    repository: &str,
    id: &str,
    action: &str,
    on: &str,
    times: (i64, i64),
) -> Result<String> {
    Ok(format!(
        "swarm-request-v1\nrepository {repository}\nid {id}\naction {action}\nworkflow ticker\nboxes {on}\nissued {}\nexpires {}\nreason \"by hand\"\n",
        moment(times.0)?,
        moment(times.1)?
    ))
}

fn text(said: &Output) -> String {
    String::from_utf8_lossy(&[said.stdout.clone(), said.stderr.clone()].concat()).into_owned()
}

fn same(row: &Row, before: &Row) -> bool {
    row.pid == before.pid && row.state.is_alive()
}

#[test]
fn a_person_acts_from_afar_and_box_and_map_write_down_who_it_was() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let fleet = Fleet::new(&world, &deploy)?;
    let unknown = fleet.ask("alice", &["kill", "ticker"])?;
    assert_eq!(
        unknown.status.code(),
        Some(4),
        "without a login: {unknown:?}"
    );
    fleet.log_in("alice")?;
    let killed = fleet.ask(
        "alice",
        &["kill", "ticker", "--reason", "it hangs", "--json"],
    )?;
    assert_eq!(killed.status.code(), Some(0), "{}", text(&killed));
    let answers: Value = serde_json::from_slice(&killed.stdout)?;
    assert_eq!(answers["lab-1"]["exit"], 0, "{answers}");
    let row = fleet.here.until_state("ticker", State::Killed)?;
    assert_eq!(row.pid, None);
    let print = run(world
        .command("ssh-keygen")
        .arg("-lf")
        .arg(fleet.key("alice")?))?;
    let print = print.split(' ').nth(1).context("a fingerprint")?.to_owned();
    let is_it = |event: &Value| {
        event["action"] == "kill"
            && event["by"] == "alice"
            && event["key"] == print
            && event["reason"] == "it hangs"
    };
    let history: Value = serde_json::from_str(&fleet.here.agent(&["history", "--json"])?)?;
    let records = history.as_array().context("records")?;
    ensure!(
        records.iter().any(is_it),
        "the box does not know who it was: {history}"
    );
    until("the map's audit having request and kill", || {
        let audit = fleet.map.get("/v1/audit?workflow=ticker").ok()?;
        let audit: Value = serde_json::from_str(&audit).ok()?;
        let rows = audit["items"].as_array()?;
        let asked =
            |row: &Value| row["action"] == "request" && row["by"] == "alice" && row["key"] == print;
        (rows.iter().any(is_it) && rows.iter().any(asked)).then_some(())
    })?;

    // A kill lasts until somebody lifts it; then the log is read from afar.
    let started = fleet.ask("alice", &["start", "ticker", "--box", "lab-1"])?;
    assert_eq!(started.status.code(), Some(0), "{}", text(&started));
    let first = fleet.here.until_runs("ticker", "1.0.0")?;
    let again = fleet.ask("alice", &["restart", "ticker"])?;
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    fleet.here.until_row("ticker", "another process", |row| {
        row.pid.is_some() && row.pid != first.pid
    })?;
    fleet.here.until_printed("ticker", "tick")?;
    let logs = fleet.ask("alice", &["logs", "ticker", "-n", "50"])?;
    ensure!(
        text(&logs).contains("lab-1") && text(&logs).contains("tick"),
        "{}",
        text(&logs)
    );
    let nothing = fleet.ask("alice", &["kill", "nothing", "--box", "lab-1"])?;
    assert_eq!(nothing.status.code(), Some(3), "{}", text(&nothing));
    fleet.here.assert_no_panic();
    Ok(())
}

/// Whoever sits on the box and says nothing keeps nobody's request out; and a kill that holds is one from afar, too.
#[test]
fn a_kill_that_holds_comes_through_from_afar_however_many_sit_on_the_box() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let fleet = Fleet::new(&world, &deploy)?;
    fleet.log_in("alice")?;
    let mut seats = Vec::new();
    until("every seat being taken", || {
        let mut seat = UnixStream::connect(fleet.here.path("control.sock")).ok()?;
        seat.set_nonblocking(true).ok()?;
        let turned_away = |seat: &mut UnixStream| matches!(seat.read(&mut [0]), Ok(0));
        if !turned_away(&mut seat) {
            seats.push(seat);
        }
        seats.iter_mut().any(turned_away).then_some(())
    })?;
    let killed = fleet.ask("alice", &["kill", "ticker", "--hold", "--box", "lab-1"])?;
    assert_eq!(killed.status.code(), Some(0), "{}", text(&killed));
    drop(seats);
    let row = fleet.here.until_state("ticker", State::Killed)?;
    assert_eq!(row.pid, None);
    deploy.daemon("ticker", "1.1.0", TICKER)?;
    deploy.push()?;
    fleet.here.agent(&["sync"])?;
    let held = fleet.here.row("ticker")?.context("a row")?;
    assert_eq!(
        (held.state, held.pid),
        (State::Killed, None),
        "a new version lifted it"
    );
    let started = fleet.ask("alice", &["start", "ticker", "--box", "lab-1"])?;
    assert_eq!(started.status.code(), Some(0), "{}", text(&started));
    fleet.here.until_runs("ticker", "1.1.0")?;
    fleet.here.assert_no_panic();
    Ok(())
}

#[test]
fn nobody_kills_or_reads_what_only_another_may() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let fleet = Fleet::new(&world, &deploy)?;
    let before = fleet.here.until_runs("ticker", "1.0.0")?;
    fleet.log_in("bob")?;
    for words in [
        &["kill", "ticker"][..],
        &["logs", "ticker"],
        &["restart", "ticker", "--box", "lab-1"],
    ] {
        let said = fleet.ask("bob", words)?;
        assert_eq!(said.status.code(), Some(4), "{words:?}: {}", text(&said));
        ensure!(
            text(&said).contains("bob may not operate ticker on lab-1"),
            "{}",
            text(&said)
        );
    }
    // What alice asked, and what she was answered, is hers.
    fleet.log_in("alice")?;
    let id = "ab".repeat(16);
    let good = statement(&fleet.repository, &id, "logs 10", "lab-1", (0, 600))?;
    let signature = fleet.sign("alice", "swarm-request@v1", &good)?;
    let body = json!({"statement": good, "signature": signature}).to_string();
    let session = |person: &str| -> Result<String> {
        let kept = world.path(format!("home-{person}/.local/state/swarm/sessions"));
        let kept = fs::read_to_string(kept)?;
        Ok(kept
            .trim()
            .rsplit(' ')
            .next()
            .context("a session")?
            .to_owned())
    };
    let status = |person: &str, more: &[&str], path: &str| -> Result<String> {
        let mut curl = world.command("curl");
        curl.args([
            "-sS",
            "--max-time",
            "30",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
        ]);
        curl.args(["-H", &format!("Authorization: Bearer {}", session(person)?)]);
        run(curl.args(more).arg(format!("{}{path}", fleet.map.url)))
    };
    // bob hands in what alice signed: it is not his. Then she does, and once is enough.
    assert_eq!(status("bob", &["--data", &body], "/v1/requests")?, "403");
    assert_eq!(status("alice", &["--data", &body], "/v1/requests")?, "202");
    assert_eq!(status("alice", &["--data", &body], "/v1/requests")?, "409");
    let path = format!("/v1/requests/{id}");
    assert_eq!(status("alice", &[], &path)?, "200");
    assert_eq!(status("bob", &[], &path)?, "404");
    let after = fleet.here.until_runs("ticker", "1.0.0")?;
    ensure!(same(&after, &before), "{after:?}");
    fleet.here.assert_no_panic();
    Ok(())
}

/// What is wrong with it, the rule that says so, who signed in which namespace, another repository, the box, from when until when (s).
#[rustfmt::skip]
const REFUSED: [[&str; 8]; 9] = [
    ["made up by nobody", "S-REQUEST-01", "mallory", "swarm-request@v1", "", "lab-1", "0", "3600"],
    ["by somebody without the right", "S-REQUEST-02", "bob", "swarm-request@v1", "", "lab-1", "0", "3600"],
    ["signed for something else", "S-REQUEST-01", "alice", "swarm-session@v1", "", "lab-1", "0", "3600"],
    ["altered", "S-REQUEST-01", "alice", "swarm-request@v1", "", "lab-1", "0", "3600"],
    ["for another box", "S-REQUEST-01", "alice", "swarm-request@v1", "", "lab-2", "0", "3600"],
    ["for another repository", "S-REQUEST-01", "alice", "swarm-request@v1", "ffffffff", "lab-1", "0", "3600"],
    ["kept back until it expired", "S-REQUEST-03", "alice", "swarm-request@v1", "", "lab-1", "-7200", "-60"],
    ["from the future", "S-REQUEST-03", "alice", "swarm-request@v1", "", "lab-1", "3600", "7200"],
    ["good for ever", "S-REQUEST-03", "alice", "swarm-request@v1", "", "lab-1", "0", "90000"],
];

#[test]
fn a_map_that_makes_up_keeps_back_or_alters_a_request_moves_no_box() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let fleet = Fleet::new(&world, &deploy)?;
    let before = fleet.here.until_runs("ticker", "1.0.0")?;
    let repository = fleet.repository.as_str();
    for (number, line) in (1..).zip(REFUSED) {
        let [what, rule, person, namespace, other, name, from, to] = line;
        let id = format!("{number:032x}");
        let signed = if what == "altered" { "restart" } else { "kill" };
        let window = (from.parse()?, to.parse()?);
        let repository = if other.is_empty() { repository } else { other };
        let text = statement(repository, &id, signed, name, window)?;
        let signature = fleet.sign(person, namespace, &text)?;
        fleet.plant(&id, &text.replace(signed, "kill"), &signature)?;
        let answer = fleet.answer(&id).with_context(|| what.to_owned())?;
        assert_eq!(
            (&answer["exit"], &answer["rule"]),
            (&json!(4), &json!(rule)),
            "{what}: {answer}"
        );
        let row = fleet.here.until_runs("ticker", "1.0.0")?;
        ensure!(same(&row, &before), "{what}: {row:?}");
    }
    let history = fleet.here.agent(&["history"])?;
    ensure!(
        history.contains("S-REQUEST-02") && history.contains("bob"),
        "{history}"
    );

    fleet.here.assert_no_panic();
    Ok(())
}

#[test]
fn a_request_is_followed_once_however_often_a_map_replays_it() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let mut fleet = Fleet::new(&world, &deploy)?;
    let before = fleet.here.until_runs("ticker", "1.0.0")?;
    let id = "cd".repeat(16);
    let good = statement(&fleet.repository, &id, "restart", "lab-1", (0, 3600))?;
    let signature = fleet.sign("alice", "swarm-request@v1", &good)?;
    fleet.plant(&id, &good, &signature)?;
    assert_eq!(fleet.answer(&id)?["exit"], 0);
    let once = fleet.here.until_row("ticker", "restarted once", |row| {
        row.state.is_alive() && row.pid.is_some() && row.pid != before.pid
    })?;
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1], timeout=60)\n\
        db.execute('UPDATE request_box SET outcome = NULL WHERE request = ?', (sys.argv[2],))\n\
        db.commit()\n";
    let forget = || {
        let mut python = world.command("python3");
        let words = python.args(["-c", script]).arg(world.path("map.db"));
        run(words.arg(&id))
    };
    for _ in 0..2 {
        forget()?;
        assert_eq!(
            fleet.answer(&id)?["exit"],
            0,
            "it is told again what became of it"
        );
        let row = fleet.here.until_runs("ticker", "1.0.0")?;
        ensure!(same(&row, &once), "it was followed twice: {row:?}");
    }
    // An agent that knows nothing of it hands it over once more: the supervisor has it in its journal.
    fleet.here.supervisor().end();
    fs::remove_file(fleet.here.path("state/agent/requests.json"))?;
    forget()?;
    fleet.here.run()?;
    let answer = fleet.answer(&id)?;
    let told = answer["message"].as_str().unwrap_or_default();
    ensure!(told.contains("begun before"), "{answer}");
    let row = fleet.here.until_runs("ticker", "1.0.0")?;
    ensure!(same(&row, &once), "it was followed twice: {row:?}");
    fleet.here.assert_no_panic();
    Ok(())
}
