//! `up` and the map: it ends when the boxes have it, or with the refusal. The map here answers what a test tells it to.

mod world;

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
};
use world::World;

/// A map that knows one box, whose row for the workflow this is; ends with the test's process.
fn map(row: impl Fn(usize) -> Option<Value> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let mut asked = 0;
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = serve(stream, &row, &mut asked);
        }
    });
    url
}

fn serve(
    stream: TcpStream,
    row: &impl Fn(usize) -> Option<Value>,
    asked: &mut usize,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let (status, body) = if head.starts_with("GET /v1/boxes?") {
            (
                "200 OK",
                json!({"items": [{"box": "lab-1", "state": "online", "labels": {}, "facts": {}, "commit": null, "trouble": null}], "next": null}),
            )
        } else {
            *asked += 1;
            match row(*asked) {
                Some(row) => ("200 OK", json!({"workflow": "ramp", "boxes": [row]})),
                None => (
                    "404 Not Found",
                    json!({"title": "no box has a workflow of this name"}),
                ),
            }
        };
        let body = body.to_string();
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
}

fn row(version: &str, state: &str, commit: &str) -> Value {
    json!({
        "box": "lab-1", "workflow": "ramp", "bundle": "ramp", "version": version, "digest": null, "mode": "daemon", "state": state,
        "reason": "node is not installed", "rule": "S-RUN-02", "since": null, "pid": null, "instance": 0, "restarts": 0, "up_s": null,
        "time_left_s": null, "last_exit": null, "memory_bytes": null, "cpu_s": null, "commit": commit, "by": null, "next": null
    })
}

/// A repository where ramp was published already, so that the commit is known before `up` asks the map.
fn ready() -> (World, String) {
    let world = World::with_repository();
    world.bundle("ramp", "ramp", "1.2.0");
    world.pack("deploy", &["up", "../ramp", "--on", "all"]).ok();
    let head = world
        .git("deploy", &["rev-parse", "HEAD"])
        .trim()
        .to_string();
    (world, head)
}

#[test]
fn up_ends_when_the_box_has_it() {
    let (world, head) = ready();
    let url = map(move |asked| match asked {
        1 => None,
        2 => Some(row("1.2.0", "starting", &head)),
        _ => Some(row("1.2.0", "running", &head)),
    });
    let said = world
        .pack("deploy", &["up", "../ramp", "--map", &url, "--json"])
        .ok();
    assert_eq!(
        said.json()["boxes"]["lab-1"]["state"],
        "done",
        "{}",
        said.out
    );
    said.says("starting …").says("1.2.0 running");
}

#[test]
fn up_ends_with_the_refusal_and_its_rule() {
    let (world, head) = ready();
    let url = map(move |_| Some(row("1.2.0", "refused", &head)));
    world
        .pack("deploy", &["up", "../ramp", "--map", &url])
        .code(1)
        .says("node is not installed [S-RUN-02]")
        .says("1 of 1 boxes");
}

#[test]
fn a_box_that_only_has_the_old_version_is_not_taken_for_done() {
    let (world, head) = ready();
    let url = map(move |_| Some(row("1.1.0", "running", &head)));
    world
        .pack(
            "deploy",
            &["up", "../ramp", "--map", &url, "--timeout", "1s"],
        )
        .code(1)
        .says("do not have ramp yet");
}

#[test]
fn a_map_that_does_not_answer_is_exit_code_5_and_the_push_stands() {
    let (world, _) = ready();
    world.write("ramp/main.sh", "echo more\n");
    world.git("deploy", &["config", "swarm.map", "http://127.0.0.1:1"]);
    world
        .pack("deploy", &["up", "../ramp"])
        .code(5)
        .says("it is pushed");
    assert!(
        world
            .git("deploy", &["log", "-1", "--format=%s"])
            .contains("1.2.1")
    );
}

#[test]
fn a_remote_that_does_not_answer_is_exit_code_5_and_the_commit_stands() {
    let (world, head) = ready();
    world.git("deploy", &["remote", "add", "origin", "/nowhere/hub.git"]);
    world.write("ramp/main.sh", "echo more\n");
    world
        .pack("deploy", &["up", "../ramp"])
        .code(5)
        .says("git push");
    assert_eq!(world.git("deploy", &["rev-parse", "HEAD~1"]).trim(), head);
}

#[test]
fn every_starter_packs_and_up_publishes_it_in_one_commit() {
    let world = World::with_repository();
    for engine in ["exec", "sh", "node", "python", "accessor", "java", "beam"] {
        let name = format!("my-{engine}");
        world
            .pack("deploy", &["new", &name, "--engine", engine])
            .ok();
        world.pack("deploy", &["check"]).ok();
        let before = world
            .git("deploy", &["rev-list", "--count", "HEAD"])
            .trim()
            .parse::<u32>()
            .expect("a number");
        world
            .pack("deploy", &["up", &format!("sources/{name}")])
            .ok();
        let after = world
            .git("deploy", &["rev-list", "--count", "HEAD"])
            .trim()
            .parse::<u32>()
            .expect("a number");
        assert_eq!(after, before + 1, "{engine}");
        assert!(
            world
                .git("deploy", &["show", &format!("HEAD:manifests/{name}.toml")])
                .contains("0.1.0")
        );
    }
    world.pack("deploy", &["check"]).ok();
}

#[test]
fn up_raises_the_version_only_where_bytes_changed() {
    let world = World::with_repository();
    world.bundle("ramp", "ramp", "1.2.0");
    world
        .pack("deploy", &["up", "../ramp"])
        .code(2)
        .says("--on all");
    assert_eq!(world.git("deploy", &["status", "--porcelain"]), "");
    world.pack("deploy", &["up", "../ramp", "--on", "all"]).ok();
    let head = world.git("deploy", &["rev-parse", "HEAD"]);
    world
        .pack("deploy", &["up", "../ramp"])
        .ok()
        .says("nothing to commit");
    assert_eq!(world.git("deploy", &["rev-parse", "HEAD"]), head);
    world.write("ramp/main.sh", "echo more\n");
    let said = world
        .pack("deploy", &["up", "../ramp", "--json"])
        .ok()
        .json();
    assert_eq!(said["version"], "1.2.1");
    assert!(
        world
            .read("ramp/bundle.toml")
            .contains("version = \"1.2.1\" # raised by up")
    );
    assert!(world.read("deploy/manifests/ramp.toml").contains("1.2.1"));
    assert_eq!(world.git("deploy", &["rev-parse", "HEAD~1"]), head);
}

#[test]
fn a_lost_race_is_run_again_upon_what_the_others_pushed() {
    let world = World::with_repository();
    world.git(".", &["init", "-q", "--bare", "-b", "main", "hub.git"]);
    world.git("deploy", &["remote", "add", "origin", "../hub.git"]);
    world.git("deploy", &["push", "-qu", "origin", "main"]);
    world.git(".", &["clone", "-q", "hub.git", "theirs"]);
    world.pack("theirs", &["setup"]).ok();
    world.bundle("ramp", "ramp", "1.2.0");
    world.bundle("other", "ramp", "1.2.0");
    world.write("other/main.sh", "echo theirs\n");
    // They take the very same version first, and a manifest of their own.
    world
        .pack("theirs", &["up", "../other", "--on", "lab-*"])
        .ok();
    // Ours was written and never committed.
    world
        .pack("deploy", &["new", "mine", "--engine", "sh"])
        .ok();
    world.write("deploy/dirty.txt", "x\n");
    world
        .pack("deploy", &["up", "sources/mine"])
        .ok()
        .says("others pushed");
    assert!(world.read("deploy/manifests/mine.toml").contains("0.1.0"));
    world.pack("deploy", &["up", "../ramp"]).ok();
    assert!(world.read("ramp/bundle.toml").contains("1.2.1"));
    assert!(world.read("deploy/manifests/ramp.toml").contains("lab-*"));
    assert_eq!(
        world.git("hub.git", &["rev-parse", "main"]),
        world.git("deploy", &["rev-parse", "HEAD"])
    );
    assert_eq!(world.read("deploy/dirty.txt"), "x\n");
    world.pack("deploy", &["check"]).ok();
}

/// Two clones of a hub; the trunk names a bundle that nobody published, which boxes refuse alone.
fn with_a_standing_problem() -> World {
    let world = World::with_repository();
    world.git(".", &["init", "-q", "--bare", "-b", "main", "hub.git"]);
    world.git("deploy", &["remote", "add", "origin", "../hub.git"]);
    let gone = "version = \"9.9.9\"\n[on]\nall = true\n[run]\nmode = \"once\"\n";
    world.write("deploy/manifests/gone.toml", gone);
    world.git("deploy", &["add", "manifests"]);
    world.git("deploy", &["commit", "-qm", "gone"]);
    world.git("deploy", &["push", "-qu", "--no-verify", "origin", "main"]);
    world.git(".", &["clone", "-q", "hub.git", "theirs"]);
    world.pack("theirs", &["setup"]).ok();
    world.pack("deploy", &["hook", "install"]).ok();
    world.pack("theirs", &["hook", "install"]).ok();
    world.bundle("ramp", "ramp", "1.2.0");
    world.bundle("other", "other", "1.0.0");
    world
}

#[test]
fn a_lost_race_is_run_again_whatever_else_is_wrong_on_the_branch() {
    let world = with_a_standing_problem();
    world
        .pack("theirs", &["up", "../other", "--on", "all"])
        .ok();
    world
        .pack("deploy", &["up", "../ramp", "--on", "all"])
        .ok()
        .says("others pushed");
    assert_eq!(
        world.git("hub.git", &["rev-parse", "main"]),
        world.git("deploy", &["rev-parse", "HEAD"])
    );
}

#[test]
fn the_pre_push_hook_tells_of_others_commits_and_not_of_their_problems() {
    let world = with_a_standing_problem();
    world
        .pack("theirs", &["up", "../other", "--on", "all"])
        .ok();
    world.write("deploy/notes.txt", "mine\n");
    world.git("deploy", &["add", "notes.txt"]);
    world.git("deploy", &["commit", "-qm", "notes"]);
    let refused = |words: &[&str], why: &str| {
        let said = world.run("git", "deploy", words, b"").code(1).says(why);
        assert!(!said.err.contains("gone.toml"), "{}", said.err);
    };
    refused(&["push"], "git pull --rebase");
    // Who forces it would set the branch back.
    refused(&["push", "-f"], "S-TRUNK-07");
    world.git("deploy", &["fetch", "-q"]);
    world.git("deploy", &["rebase", "-q", "origin/main"]);
    world.git("deploy", &["push", "-q"]);
}

#[test]
fn an_up_that_fails_leaves_the_version_as_it_was() {
    let world = World::with_repository();
    world.bundle("ramp", "ramp", "1.0.0");
    world.pack("deploy", &["up", "../ramp", "--on", "all"]).ok();
    world.write("ramp/main.sh", "echo more\n");
    let (toml, lock) = (
        world.read("ramp/bundle.toml"),
        world.read("ramp/bundle.lock"),
    );
    world
        .pack("deploy", &["up", "../ramp", "--on", "where:x =="])
        .code(1);
    assert_eq!(world.read("ramp/bundle.toml"), toml);
    assert_eq!(world.read("ramp/bundle.lock"), lock);
}
