//! How each command behaves to somebody who has never seen it: JSON, exit codes, narrow terminals, pipes that close.

mod world;

use std::{
    io::Read,
    process::{Command, Stdio},
};
use world::World;

/// A repository with something of everything.
fn full() -> World {
    let world = World::with_repository();
    world.keygen("lab-1", "ed25519");
    world
        .pack("deploy", &["box", "add", "lab-1", "--key", "../lab-1.pub"])
        .ok();
    world.bundle("ramp", "ramp", "1.2.0");
    world.pack("deploy", &["up", "../ramp", "--on", "all"]).ok();
    world
}

/// Each command that asks, and how it is asked.
const QUESTIONS: [&[&str]; 17] = [
    &["show"],
    &["check"],
    &["plan"],
    &["setup"],
    &["signers"],
    &["verify", "bundles/ramp/1.2.0"],
    &["explain", "S-TRUNK-03"],
    &["schema", "policy"],
    &["policy", "show"],
    &["who", "can", "deploy", "ramp", "to", "lab-1"],
    &["who", "signed", "ramp"],
    &["who", "reads", "lab-1"],
    &["vouch"],
    &["approve", "ramp", "--print"],
    &["hook", "install"],
    &["build", "../ramp"],
    &["completions", "bash"],
];

fn command(world: &World, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarm-pack"));
    command
        .args(words)
        .current_dir(world.path("deploy"))
        .env("HOME", world.path("home"))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null());
    command
}

#[test]
fn every_question_answers_in_json_and_nothing_else_is_on_stdout() {
    let world = full();
    // What is printed for another program to read is that program's format, with or without --json.
    let own = |words: &[&str]| words.contains(&"--print") || words[0] == "completions";
    for words in QUESTIONS.iter().filter(|words| !own(words)) {
        let said = world
            .pack("deploy", &[words, &["--json"][..]].concat())
            .ok();
        assert!(
            serde_json::from_str::<serde_json::Value>(&said.out).is_ok(),
            "{words:?}: {}",
            said.out
        );
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let world = full();
    for words in QUESTIONS
        .iter()
        .chain(&[&["--help"][..], &["who", "signed", "nothing"]])
    {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let errors = writer.try_clone().expect("a pipe");
        drop(reader.read(&mut []));
        drop(reader);
        let status = command(&world, words)
            .stdout(writer)
            .stderr(errors)
            .status()
            .expect("it starts");
        assert!(matches!(status.code(), Some(0..=5)), "{words:?}: {status}");
    }
}

#[test]
fn without_a_terminal_there_is_no_colour_and_no_drawing() {
    let world = full();
    world.write("deploy/manifests/bad.toml", "versoin = \"1\"\n");
    for columns in ["60", "20", "200", "x"] {
        let output = command(&world, &["check"])
            .env("COLUMNS", columns)
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !said.contains('\x1b') && said.contains("manifests/bad.toml:1:1"),
            "{columns}: {said}"
        );
        assert!(
            said.contains("  1 | versoin = \"1\"\n    | ^^^^^^^\n"),
            "the line and the mark under it: {said}"
        );
    }
}

#[test]
fn a_place_that_is_not_there_is_wrong_usage() {
    let world = full();
    for command in ["check", "build", "sign", "verify", "publish", "up"] {
        let said = world.pack("deploy", &[command, "/nowhere"]).code(2);
        assert!(said.err.contains("/nowhere"), "{command}: {said:?}");
    }
    world.pack("deploy", &["-C", "/nowhere", "check"]).code(2);
}

#[test]
fn check_finds_a_placeholder_that_no_box_could_fill_and_a_secret_in_a_bundle() {
    let world = full();
    let manifest = world.path("deploy/manifests/ramp.toml");
    let text = std::fs::read_to_string(manifest).expect("a manifest");
    let text = format!("args = [\"{{box}}\", \"{{home}}\"]\n{text}");
    world.write("deploy/manifests/ramp.toml", &text);
    let said = world
        .pack("deploy", &["check", "manifests/ramp.toml"])
        .code(1);
    assert!(
        said.err.contains("{home}")
            && said.err.contains("S-BUNDLE-14")
            && !said.err.contains("{box} is"),
        "{said:?}"
    );
    let bundle = std::fs::read_to_string(world.path("ramp/bundle.toml")).expect("a bundle");
    let bundle = bundle + "\n[env]\nAPI_TOKEN = \"0123456789abcdef\"\nX = \"{nope}\"\n";
    world.write("ramp/bundle.toml", &bundle);
    let said = world.pack("deploy", &["check", "../ramp"]).code(1);
    assert!(
        said.err.contains("S-FILE-13") && said.err.contains("{nope}"),
        "{said:?}"
    );
}

#[test]
fn wrong_words_are_exit_code_2_and_say_how_it_is_typed() {
    let world = full();
    for words in [
        &["who"][..],
        &["who", "can", "fly", "ramp"],
        &["who", "can", "deploy", "ramp", "under", "lab-1"],
        &["policy"],
        &["policy", "threshold", "many"],
        &["approve"],
        &["approve", "ramp", "--print", "--commit"],
        &["encrypt", "ramp"],
        &["box", "add", "lab-2"],
        &["box", "add", "lab-2", "--key", "nonsense"],
        &["hook", "install", "--introduction", "HEAD"],
        &["plan", "now"],
    ] {
        let said = world.pack("deploy", words).code(2);
        assert!(
            (said.err.contains("error:") || said.err.contains("Usage:")) && said.out.is_empty(),
            "{words:?}: {said:?}"
        );
    }
    for words in [
        &["who", "can", "deploy", "x"][..],
        &["plan"],
        &["policy", "show"],
        &["vouch"],
    ] {
        world.pack(".", words).code(1).says("swarm-pack init");
    }
}

#[test]
fn data_that_cannot_be_written_is_exit_code_1() {
    let world = full();
    let program = env!("CARGO_BIN_EXE_swarm-pack");
    for words in [
        &["show", "--json"][..],
        &["schema", "policy"],
        &["signers"],
        &["explain", "S-TRUNK-03"],
        &["completions", "bash"],
        &["policy", "show"],
        &["check", "--json"],
    ] {
        let script = format!("exec {program} {} > /dev/full", words.join(" "));
        world
            .run("sh", "deploy", &["-c", &script], b"")
            .code(1)
            .says("stdout could not be written");
        let script = format!("{program} {} | true", words.join(" "));
        let said = world.run("sh", "deploy", &["-c", &script], b"").code(0);
        assert_eq!(said.err, "", "{words:?}");
    }
}

#[test]
fn a_line_end_in_a_files_name_begins_no_line() {
    let world = World::with_repository();
    world.bundle("odd", "odd", "1.0.0");
    world.write("odd/a\nb", "x");
    let said = world.pack("deploy", &["build", "../odd"]).code(1);
    assert!(
        said.err.contains("a\\nb: ") && !said.err.contains("a\nb: "),
        "{}",
        said.err
    );
}
