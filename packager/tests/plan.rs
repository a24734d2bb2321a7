//! What boxes would do, were this pushed: compared with what the remote has, what is not committed among it.

mod world;

use serde_json::Value;
use world::World;

/// A repository with two boxes, and ramp 1.2.0 published and on lab-1, pushed.
fn fleet() -> World {
    let world = World::with_repository();
    world.git(".", &["init", "-q", "--bare", "-b", "main", "hub.git"]);
    world.git("deploy", &["remote", "add", "origin", "../hub.git"]);
    for (name, site) in [("lab-1", "lab"), ("till-1", "shop")] {
        world.keygen(name, "ed25519");
        let (key, label) = (format!("../{name}.pub"), format!("site={site}"));
        world
            .pack(
                "deploy",
                &["box", "add", name, "--key", &key, "--label", &label],
            )
            .ok();
    }
    world.bundle("ramp", "ramp", "1.2.0");
    world.pack("deploy", &["publish", "../ramp"]).ok();
    world
        .pack("deploy", &["deploy", "ramp", "1.2.0", "--on", "lab-1"])
        .ok();
    world.git("deploy", &["push", "-qu", "origin", "main"]);
    world
}

/// box, action, workflow of each row.
fn rows(said: &Value) -> Vec<String> {
    let rows = said.as_array().expect("a list").iter();
    let word = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_string();
    rows.map(|row| {
        format!(
            "{} {} {}",
            word(row, "box"),
            word(row, "action"),
            word(row, "workflow")
        )
    })
    .collect()
}

#[test]
fn nothing_new_is_no_change() {
    let world = fleet();
    world
        .pack("deploy", &["plan"])
        .ok()
        .says("nothing would change");
    assert_eq!(
        world.pack("deploy", &["plan", "--json"]).ok().json(),
        serde_json::json!([])
    );
}

#[test]
fn what_is_committed_and_what_is_not_yet_is_in_the_plan_and_stays_as_it_was() {
    let world = fleet();
    world.write("ramp/main.sh", "echo more\n");
    world.write(
        "ramp/bundle.toml",
        world.read("ramp/bundle.toml").replace("1.2.0", "1.3.0"),
    );
    world.pack("deploy", &["publish", "../ramp"]).ok();
    let manifest = world.read("deploy/manifests/ramp.toml");
    world.write(
        "deploy/manifests/ramp.toml",
        manifest.replace("1.2.0", "1.3.0"),
    );
    world.write("deploy/manifests/more.toml", "bundle = \"ramp\"\nversion = \"1.2.0\"\n[on]\nwhere = 'site == \"shop\"'\n[run]\nmode = \"once\"\n");
    let (head, status) = (
        world.git("deploy", &["rev-parse", "HEAD"]),
        world.git("deploy", &["status", "--porcelain"]),
    );
    let said = world.pack("deploy", &["plan", "--json"]).ok().json();
    assert_eq!(
        rows(&said),
        ["lab-1 replace ramp", "till-1 start more"],
        "{said}"
    );
    assert_eq!(
        (&said[0]["from"], &said[0]["to"]),
        (&"1.2.0".into(), &"1.3.0".into())
    );
    assert_eq!(head, world.git("deploy", &["rev-parse", "HEAD"]));
    assert_eq!(status, world.git("deploy", &["status", "--porcelain"]));
}

#[test]
fn what_would_be_refused_is_exit_code_1_and_the_old_version_goes_on() {
    let world = fleet();
    let manifest = world.read("deploy/manifests/ramp.toml");
    world.write(
        "deploy/manifests/ramp.toml",
        manifest.replace("1.2.0", "9.9.9"),
    );
    let said = world.pack("deploy", &["plan", "--json"]).code(1).json();
    assert_eq!(rows(&said), ["lab-1 refuse ramp"], "{said}");
    assert_eq!(said[0]["rule"], "S-BUNDLE-01");
    world
        .pack("deploy", &["plan"])
        .code(1)
        .says("1 of these would be refused");
    std::fs::remove_file(world.path("deploy/manifests/ramp.toml")).expect("it is there");
    let said = world.pack("deploy", &["plan", "--json"]).ok().json();
    assert_eq!(rows(&said), ["lab-1 stop ramp"], "{said}");
}

#[test]
fn a_commit_that_boxes_refuse_is_exit_code_1_and_named() {
    let world = fleet();
    world.write("deploy/README.md", "ours\n");
    world.git("deploy", &["add", "README.md"]);
    world.git("deploy", &["commit", "-qm", "unsigned", "--no-gpg-sign"]);
    world.pack("deploy", &["plan"]).code(1).says("S-TRUNK-01");
    // Who changes what they may not learns it before the commit.
    world.git("deploy", &["reset", "-q", "--hard", "HEAD~1"]);
    world.keygen("eve", "ed25519");
    let manifest = world.read("deploy/manifests/ramp.toml");
    world.write(
        "deploy/manifests/ramp.toml",
        manifest.replace("lab-1", "till-1"),
    );
    world
        .pack("deploy", &["plan", "--key", "../eve"])
        .code(1)
        .says("S-TRUNK-04");
}

#[test]
fn a_revocation_stops_what_ran_and_brings_the_version_before_back() {
    let world = fleet();
    world.keygen("bob", "ed25519");
    let policy = |words: &[&str]| {
        let mut typed = vec!["policy"];
        typed.extend(words);
        typed.push("--commit");
        world.pack("deploy", &typed).ok();
    };
    policy(&["add-person", "bob", "--key", "../bob.pub"]);
    policy(&[
        "grant",
        "bob",
        "--may",
        "publish,deploy",
        "--workflows",
        "*",
    ]);
    let begin = world.git("deploy", &["rev-parse", "HEAD"]);
    world.bundle("evil", "evil", "1.0.0");
    let by_bob = |words: &[&str]| {
        let mut typed = words.to_vec();
        typed.extend(["--key", "../bob"]);
        world.pack("deploy", &typed).ok();
    };
    by_bob(&["publish", "../evil"]);
    by_bob(&["deploy", "evil", "1.0.0", "--on", "lab-1"]);
    by_bob(&["deploy", "ramp", "1.2.0", "--on", "all"]);
    world.git("deploy", &["push", "-q", "origin", "main"]);
    policy(&[
        "revoke",
        "bob",
        "--from",
        begin.trim(),
        "--reason",
        "stolen",
    ]);
    let said = world.pack("deploy", &["plan", "--json"]).ok().json();
    assert_eq!(
        rows(&said),
        ["lab-1 stop evil", "till-1 stop ramp"],
        "{said}"
    );
    assert_eq!(said[0]["rule"], "S-REVOKE-02");
    // A box refuses nothing of this, so neither does the check; it says what is void.
    world
        .pack("deploy", &["check"])
        .ok()
        .says("manifests/evil.toml")
        .says("S-REVOKE-02");
}

#[test]
fn a_removed_folder_of_what_runs_is_a_warning_and_of_what_is_wanted_anew_a_refusal() {
    let world = fleet();
    world.pack("deploy", &["hook", "install"]).ok();
    world.git("deploy", &["rm", "-rq", "bundles/ramp/1.2.0"]);
    world.git("deploy", &["commit", "-qm", "tidy"]);
    world
        .pack("deploy", &["check"])
        .ok()
        .says("a new box cannot get it");
    world
        .pack("deploy", &["plan"])
        .ok()
        .says("nothing would change");
    world.git("deploy", &["push", "-q", "origin", "main"]);
    // Another workflow that wants it now cannot have it.
    let manifest = world.read("deploy/manifests/ramp.toml");
    let other = format!("bundle = \"ramp\"\n{manifest}");
    world.write("deploy/manifests/other.toml", other);
    world.git("deploy", &["add", "-A"]);
    world.git("deploy", &["commit", "-qm", "other"]);
    let said = world.pack("deploy", &["plan", "--json"]).code(1).json();
    assert_eq!(rows(&said), ["lab-1 refuse other"], "{said}");
    let pushed = world.run("git", "deploy", &["push", "-q", "origin", "main"], b"");
    assert!(
        pushed.code != 0 && pushed.err.contains("S-BUNDLE-01"),
        "{pushed:?}"
    );
}

#[test]
fn to_go_back_to_a_version_whose_folder_is_gone_is_a_refusal_even_where_it_ran_when_it_went() {
    let world = fleet();
    world.pack("deploy", &["hook", "install"]).ok();
    let manifest = world.read("deploy/manifests/ramp.toml");
    world.bundle("ramp", "ramp", "1.3.0");
    world.pack("deploy", &["publish", "../ramp"]).ok();
    world.git("deploy", &["rm", "-rq", "bundles/ramp/1.2.0"]);
    world.git("deploy", &["commit", "-qm", "tidy"]);
    // More arguments are no other version.
    let more = manifest.replace("[on]", "args = [\"x\"]\n[on]");
    world.write("deploy/manifests/ramp.toml", more);
    world.git("deploy", &["commit", "-qam", "more"]);
    world.git("deploy", &["push", "-q", "origin", "main"]);
    world.pack("deploy", &["deploy", "ramp", "1.3.0"]).ok();
    world.git("deploy", &["push", "-q", "origin", "main"]);
    // Boxes may have dropped 1.2.0 from their stores by now.
    world.write("deploy/manifests/ramp.toml", manifest);
    world.git("deploy", &["commit", "-qam", "back"]);
    let said = world.pack("deploy", &["check", "--json"]).code(1).json();
    assert_eq!(said[0]["rule"], "S-BUNDLE-01", "{said}");
    let said = world.pack("deploy", &["plan", "--json"]).code(1).json();
    assert_eq!(rows(&said), ["lab-1 refuse ramp"], "{said}");
    let pushed = world.run("git", "deploy", &["push", "-q", "origin", "main"], b"");
    assert!(
        pushed.code != 0 && pushed.err.contains("S-BUNDLE-01"),
        "{pushed:?}"
    );
}
