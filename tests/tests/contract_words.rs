//! What the programs print without a box: help, rules, completions, colours.

use anyhow::{Context, Result};
use std::{fs, process::Command};
use swarm_tests::{
    World,
    process::{output, program, run},
};

/// The lines of `Commands:` in a help text.
fn commands(help: &str) -> Vec<String> {
    let below = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = below.lines().take_while(|line| !line.is_empty());
    let named = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = named.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_string)
        .collect()
}

/// This program's help, and that of each of its commands, on a page of 60 columns.
fn read_help(program: &dyn Fn() -> Command, words: &[String], pages: &mut usize) -> Result<()> {
    let help = run(program().env("COLUMNS", "60").args(words).arg("--help"))?;
    *pages += 1;
    assert!(help.contains("Usage:"), "{words:?}: {help}");
    for line in help.lines().filter(|line| !line.contains("Usage:")) {
        let wide = line.chars().count() > 60;
        assert!(!wide, "{words:?} is wider than 60 columns: {line}");
    }
    for name in commands(&help) {
        read_help(program, &[words, &[name]].concat(), pages)?;
    }
    Ok(())
}

#[test]
fn the_help_of_every_command_fits_on_sixty_columns() -> Result<()> {
    let world = World::new()?;
    let mut pages = 0;
    read_help(&|| world.agent(), &[], &mut pages)?;
    read_help(&|| world.pack(), &[], &mut pages)?;
    read_help(&|| world.map(), &[], &mut pages)?;
    assert!(pages > 50, "only {pages} pages were found");
    Ok(())
}

#[test]
fn every_rule_is_explained_by_agent_and_packager() -> Result<()> {
    let world = World::new()?;
    for rule in swarm_manifests::rules::all() {
        for mut program in [world.agent(), world.pack()] {
            let page = run(program.args(["explain", rule.id]))?;
            for part in [rule.id, rule.title, rule.meaning, rule.remedy] {
                assert!(page.contains(part), "{} lacks {part:?}: {page}", rule.id);
            }
        }
    }
    Ok(())
}

#[test]
fn completions_know_every_command_and_bash_completes_with_them() -> Result<()> {
    let world = World::new()?;
    let names = commands(&run(world.agent().arg("--help"))?);
    assert!(names.len() > 20, "{names:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = run(world.agent().args(["completions", shell]))?;
        for name in &names {
            assert!(script.contains(name.as_str()), "{shell} knows no {name}");
        }
        fs::write(world.path(shell), script)?;
    }
    let asked = r#"source ./bash; f=$(complete -p swarm-agent | grep -o "_swarm[^ ]*" | head -1)
        COMP_WORDS=(swarm-agent ki); COMP_CWORD=1; "$f" swarm-agent ki swarm-agent; echo "${COMPREPLY[@]}""#;
    assert_eq!(
        run(world.command("bash").args(["-c", asked]))?.trim(),
        "kill"
    );
    Ok(())
}

/// What a command prints on a terminal of 40 columns.
fn on_a_terminal(world: &World, environment: &[(&str, &str)], words: &str) -> Result<String> {
    let mut script = world.command(program("script", "bsdutils")?);
    script
        .envs(environment.iter().copied())
        .env("TERM", "xterm");
    script.args([
        "-qec",
        &format!("stty rows 24 cols 40; {words}"),
        "/dev/null",
    ]);
    let ended = output(&mut script)?;
    String::from_utf8(ended.stdout).context("text")
}

#[test]
fn colours_are_for_terminals_and_no_color_counts() -> Result<()> {
    let world = World::new()?;
    fs::write(world.path("agent.toml"), "box = \"b\"\nstat = \"x\"\n")?;
    let check = format!(
        "{} check-config --config agent.toml",
        swarm_tests::world::swarm_program("swarm-agent").display()
    );
    let coloured = on_a_terminal(&world, &[], &check)?;
    assert!(
        coloured.contains('\x1b'),
        "no colour on a terminal: {coloured:?}"
    );
    let plain = on_a_terminal(&world, &[("NO_COLOR", "1")], &check)?;
    assert!(
        plain.contains("S-FILE-02") && !plain.contains('\x1b'),
        "{plain:?}"
    );
    let piped = output(
        world
            .agent()
            .args(["check-config", "--config", "agent.toml"]),
    )?;
    let piped = String::from_utf8([piped.stdout, piped.stderr].concat())?;
    assert!(
        piped.contains("S-FILE-02") && !piped.contains('\x1b'),
        "{piped:?}"
    );
    Ok(())
}

#[test]
fn a_table_ends_where_the_terminal_ends() -> Result<()> {
    let world = World::new()?;
    let deploy = swarm_tests::Deploy::new(&world)?;
    let (here, _) = swarm_tests::SwarmBox::ticking(&world, &deploy)?;
    let list = format!(
        "{} list --config {}",
        swarm_tests::world::swarm_program("swarm-agent").display(),
        here.path("agent.toml").display()
    );
    let widest = |text: &str| {
        text.lines()
            .map(|line| line.trim_end().chars().count())
            .max()
    };
    let narrow = on_a_terminal(&world, &[], &list)?;
    assert!(
        narrow.contains("ticker") && widest(&narrow) <= Some(40),
        "{narrow}"
    );
    let told = on_a_terminal(&world, &[("COLUMNS", "30")], &list)?;
    assert!(
        told.contains("ticker") && widest(&told) <= Some(30),
        "{told}"
    );
    let piped = here.agent(&["list"])?;
    assert!(piped.contains("alice"), "a pipe has no edge: {piped}");
    Ok(())
}
