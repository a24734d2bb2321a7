//! The pages that people begin with, typed command by command: the tutorial, the webhook by hand, the policy's how-to.

use anyhow::{Context, Result};
use serde_json::Value;
use std::{fs, path::Path};
use swarm_tests::{
    Deploy, Running, SwarmBox, World, documented,
    process::{free_port, run},
    until, until_ok,
};

/// The tutorial's world: its paths are below the test's own folder.
struct Tutorial<'a> {
    world: &'a World,
    page: String,
}

impl Tutorial<'_> {
    /// A block, with the tutorial's places in our folder.
    fn block(&self, mark: &str, language: &str) -> Result<String> {
        let block = documented::marked(&self.page, mark, language)?;
        let remote = self.world.path("git/deploy.git").display().to_string();
        Ok(block.replace("/srv/deploy.git", &remote))
    }

    fn typed(&self, folder: &Path, mark: &str) -> Result<String> {
        documented::typed(self.world, folder, &self.block(mark, "sh")?)
    }
}

#[test]
fn the_tutorial_leads_to_a_running_program_and_a_kill() -> Result<()> {
    let world = World::new()?;
    fs::create_dir(world.path("home/.ssh"))?;
    run(world
        .command("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(world.path("home/.ssh/id_ed25519")))?;
    let tutorial = Tutorial {
        world: &world,
        page: documented::page("docs/tutorial/first-box.md")?,
    };
    let introduced = tutorial.typed(&world.path(""), "init")?;
    let clone = world.path("deploy");
    tutorial.typed(&clone, "remote")?;

    // agent.toml as it stands there, with the lines that init printed and places of our own.
    let printed = |key: &str| introduced.lines().find(|line| line.starts_with(key));
    let toml: Vec<String> = tutorial
        .block("box", "toml")?
        .lines()
        .map(|line| match line.split(' ').next() {
            Some("introduction") => printed("introduction").unwrap_or(line).to_string(),
            Some("policy-sha256") => printed("policy-sha256").unwrap_or(line).to_string(),
            Some("url") => format!(
                "url = \"{}\"\npoll = \"1s\"",
                world.path("git/deploy.git").display()
            ),
            Some("box") => format!(
                "{line}\nstate = \"{0}/state\"\ncontrol = \"{0}/control.sock\"",
                world.path("boxes").display()
            ),
            _ => line.to_string(),
        })
        .collect();
    let file = world.path("agent.toml");
    fs::write(&file, toml.join("\n") + "\n")?;

    // The two commands that run the box: one says what holds, the other stays in the foreground.
    let block = tutorial.block("run", "sh")?;
    let (check, agent) = block.split_once('\n').context("two commands")?;
    let typed = |text: &str| -> Result<_> {
        let mut shell = documented::shell(&world, &clone, text)?;
        shell.env("SWARM_CONFIG", &file);
        Ok(shell)
    };
    let holds: Value = serde_json::from_str(&run(&mut typed(check)?)?)?;
    assert_eq!(holds["box"], "till-1");
    let agent = format!("exec {agent}");
    let _agent = Running::start("agent", &mut typed(&agent)?, &world.path("logs/agent"))?;
    until("the agent answering", || {
        run(&mut typed("swarm-agent list").ok()?).ok()
    })?;

    tutorial.typed(&clone, "program")?;
    let look = tutorial.block("look", "sh")?.replace("logs -f", "logs");
    let seen = until_ok("hello running", || {
        let seen = run(&mut typed(&look)?)?;
        anyhow::ensure!(seen.contains("hello: running"), "{seen}");
        Ok(seen)
    })?;
    assert!(seen.contains("by alice"), "who put it there: {seen}");
    let history = run(&mut typed(&tutorial.block("kill", "sh")?)?)?;
    assert!(
        history.contains("kill hello") && history.contains("too chatty"),
        "{history}"
    );
    let listed = run(&mut typed("swarm-agent list")?)?;
    assert!(listed.contains("killed"), "{listed}");
    Ok(())
}

#[test]
fn a_webhook_by_hand_makes_the_box_look() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let page = documented::page("docs/how-to/webhooks.md")?;
    let (port, secret) = (free_port()?, world.path("keys/webhook.secret"));
    fs::write(&secret, "a secret of ours\n")?;
    let ours = |block: &str| {
        let block = block.replace("/etc/swarm/webhook.secret", &secret.display().to_string());
        let block = block.replace("0.0.0.0:7701", &format!("127.0.0.1:{port}"));
        block.replace("box:7701", &format!("127.0.0.1:{port}"))
    };
    let settings = ours(&documented::marked(&page, "settings", "toml agent")?);
    let remote = format!("file://{}", deploy.remote().display());
    let mut here = SwarmBox::new(
        &world,
        "till-1",
        &deploy,
        &remote,
        "poll = \"1h\"\n",
        &settings,
    )?;
    here.run()?;
    deploy.daemon("lp", "1.0.0", "while :; do sleep 1; done\n")?;
    deploy.push()?;
    let by_hand = ours(&documented::marked(&page, "by hand", "sh")?);
    until_ok("a delivery that is taken", || {
        documented::typed(&world, &world.path(""), &by_hand)
    })?;
    here.until_runs("lp", "1.0.0").map(drop)
}

#[test]
fn the_policy_is_edited_and_asked_as_its_page_says() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("ramp", "1.2.0", "while :; do sleep 1; done\n")?;
    let page = documented::page("docs/how-to/policy.md")?;
    let key = |name: &str| -> Result<String> {
        Ok(fs::read_to_string(world.key(name)?.with_extension("pub"))?
            .trim()
            .to_string())
    };
    deploy.write("bob.pub", key("bob")? + "\n")?;
    let stolen = run(world
        .command("ssh-keygen")
        .arg("-lf")
        .arg(world.key("bob")?.with_extension("pub")))?;
    let stolen = stolen
        .split(' ')
        .nth(1)
        .context("a fingerprint")?
        .to_string();
    let edits = documented::marked(&page, "edits", "sh")?
        .replace("ssh-ed25519 AAAA… bob@desk", &key("desk")?)
        .replace("SHA256:…", &stolen);
    let shown = documented::typed(&world, &deploy.path(""), &edits)?;
    assert!(shown.contains("alice"), "{shown}");
    let policy = fs::read_to_string(deploy.path("policy.toml"))?;
    assert!(
        policy.contains(&stolen) && !policy.contains("[people.bob]"),
        "{policy}"
    );
    deploy.git(&["checkout", "-q", "policy.toml"])?;
    deploy.pack(&["box", "add", "lab-3", "--key", "bob.pub"])?;
    let asked = documented::typed(
        &world,
        &deploy.path(""),
        &documented::marked(&page, "ask", "sh")?,
    )?;
    assert!(asked.contains("alice"), "{asked}");
    Ok(())
}
