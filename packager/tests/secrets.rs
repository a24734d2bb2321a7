//! Secrets for boxes: encrypted to the signed roster only, and what is to be done when a box leaves. With the real keys of boxes.

mod world;

use std::io::Read;
use world::World;

/// Two boxes in the roster, and ramp on lab-1.
fn fleet() -> World {
    let world = World::with_repository();
    for name in ["lab-1", "till-1"] {
        world.keygen(name, "ed25519");
        let key = format!("../{name}.pub");
        world
            .pack("deploy", &["box", "add", name, "--key", &key])
            .ok();
    }
    world.bundle("ramp", "ramp", "1.2.0");
    world.pack("deploy", &["publish", "../ramp"]).ok();
    world
        .pack("deploy", &["deploy", "ramp", "1.2.0", "--on", "lab-*"])
        .ok();
    world
}

/// What the box with this key reads of a file.
fn decrypted(world: &World, key: &str, file: &str) -> Option<String> {
    let identity =
        age::ssh::Identity::from_buffer(world.read(key).as_bytes(), None).expect("a key");
    let bytes = std::fs::read(world.path(file)).expect("a file");
    let decryptor = age::Decryptor::new(&bytes[..]).expect("an age file");
    let mut text = String::new();
    let identities = std::iter::once(&identity as &dyn age::Identity);
    decryptor
        .decrypt(identities)
        .ok()?
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

const FILE: &str = "deploy/secrets/ramp/db.age";

fn encrypt(world: &World, secret: &str, more: &[&str]) -> world::Said {
    let words = [&["encrypt", "ramp", "db"], more].concat();
    world.run(
        env!("CARGO_BIN_EXE_swarm-pack"),
        "deploy",
        &words,
        secret.as_bytes(),
    )
}

#[test]
fn a_secret_is_read_by_the_workflows_boxes_and_by_nobody_else() {
    let world = fleet();
    let said = encrypt(&world, "hunter2", &["--json"]).ok();
    assert_eq!(said.json()["boxes"], serde_json::json!(["lab-1"]));
    assert!(
        !said.out.contains("hunter2") && !said.err.contains("hunter2"),
        "{said:?}"
    );
    assert_eq!(decrypted(&world, "lab-1", FILE).as_deref(), Some("hunter2"));
    assert_eq!(decrypted(&world, "till-1", FILE), None);
    assert_eq!(decrypted(&world, "home/.ssh/id_ed25519", FILE), None);
    assert_eq!(
        world.git("deploy", &["status", "--porcelain"]),
        "A  secrets/ramp/db.age\n"
    );
    encrypt(&world, "hunter3", &["--commit"])
        .ok()
        .says("committed as");
    world.pack("deploy", &["check"]).ok();
}

#[test]
fn a_roster_entry_that_nobody_signed_gets_no_secret() {
    let world = fleet();
    world.keygen("eve", "ed25519");
    let key = world.read("eve.pub");
    world.write(
        "deploy/boxes/lab-2.toml",
        format!("key = \"{}\"\n", key.trim()),
    );
    let said = encrypt(&world, "hunter2", &["--json"]).ok();
    assert_eq!(said.json()["boxes"], serde_json::json!(["lab-1"]));
    assert_eq!(decrypted(&world, "eve", FILE), None);
}

#[test]
fn what_a_leaving_box_could_read_is_listed() {
    let world = fleet();
    encrypt(&world, "hunter2", &["--commit"]).ok();
    let reads = world
        .pack("deploy", &["who", "reads", "lab-1", "--json"])
        .ok()
        .json();
    assert_eq!(reads[0]["file"], "secrets/ramp/db.age", "{reads}");
    assert_eq!(
        world
            .pack("deploy", &["who", "reads", "till-1", "--json"])
            .ok()
            .out
            .trim(),
        "[]"
    );
    let left = world
        .pack("deploy", &["box", "remove", "lab-1", "--json"])
        .ok();
    assert_eq!(
        left.json()["rotate"],
        serde_json::json!(["secrets/ramp/db.age"])
    );
    left.says("encrypt it again");
}

#[test]
fn a_box_that_came_later_or_went_away_is_named_by_check() {
    let world = fleet();
    encrypt(&world, "hunter2", &["--commit"]).ok();
    world
        .pack("deploy", &["deploy", "ramp", "1.2.0", "--on", "till-*"])
        .ok();
    let said = world.pack("deploy", &["check"]).ok();
    said.says("till-1 cannot read it")
        .says("lab-1 is not among its boxes and can read it");
}

#[test]
fn wrong_input_writes_nothing() {
    let world = fleet();
    encrypt(&world, "", &[]).code(2).says("empty");
    encrypt(&world, &"x".repeat(600 << 10), &[])
        .code(1)
        .says("larger than");
    world.pack("deploy", &["encrypt", "nothing", "db"]).code(3);
    world
        .pack("deploy", &["encrypt", "ramp", "Not A Name"])
        .code(2);
    world
        .pack("deploy", &["deploy", "ramp", "1.2.0", "--on", "nowhere"])
        .ok();
    encrypt(&world, "hunter2", &[])
        .code(1)
        .says("no box of the roster");
    assert!(!world.path("deploy/secrets").exists());
}

#[test]
fn a_literal_in_env_that_looks_like_a_secret_is_found() {
    let world = fleet();
    let manifest = world.read("deploy/manifests/ramp.toml");
    world.write(
        "deploy/manifests/ramp.toml",
        manifest + "\n[env]\nDB_PASSWORD = \"hunter2\"\n",
    );
    let found = world.pack("deploy", &["check", "--json"]).code(1).json();
    assert_eq!(
        (&found[0]["rule"], &found[0]["file"]),
        (&"S-FILE-13".into(), &"manifests/ramp.toml".into()),
        "{found}"
    );
    assert!(
        found[0]["hint"]
            .as_str()
            .expect("a hint")
            .contains("swarm-pack encrypt")
    );
    world
        .pack("deploy", &["check", "manifests/ramp.toml"])
        .code(1)
        .says("S-FILE-13");
}

#[test]
fn a_plan_replaces_what_gets_another_secret_and_refuses_what_names_one_that_is_not_there() {
    let world = fleet();
    let manifest = world.read("deploy/manifests/ramp.toml");
    world.write(
        "deploy/manifests/ramp.toml",
        manifest + "\n[secrets]\nDB = \"db\"\n",
    );
    let plan = |world: &World, code: i32| {
        let planned = world.pack("deploy", &["plan", "--json"]).code(code).json();
        let row = planned.as_array().and_then(|rows| {
            rows.iter()
                .find(|row| row["box"] == "lab-1" && row["workflow"] == "ramp")
                .cloned()
        });
        row.unwrap_or_else(|| panic!("no row: {planned}"))
    };
    let found = world.pack("deploy", &["check", "--json"]).code(1).json();
    assert_eq!(found[0]["rule"], "S-RUN-12", "{found}");
    let refused = plan(&world, 1);
    assert_eq!(
        (&refused["action"], &refused["rule"]),
        (&"refuse".into(), &"S-RUN-12".into()),
        "{refused}"
    );
    encrypt(&world, "hunter2", &[]).ok();
    world.pack("deploy", &["check"]).ok();
    assert_ne!(plan(&world, 0)["action"], "refuse");
}
