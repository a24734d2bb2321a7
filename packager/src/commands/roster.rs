//! `box add NAME`, `box remove NAME`: the roster's entries, and what a leaving box could read.

use super::{here, policy::public_key};
use crate::{
    cli::BoxCommand,
    commit::Change,
    failure::{Exit, Failure, Finding, Outcome},
    key::Key,
    place, secrets, talk,
};
use anyhow::Context;
use std::path::Path;
use swarm_manifests::{name::Name, roster};
use toml_edit::{DocumentMut, InlineTable, Value, value};

/// Does what is wanted of the roster.
pub fn run(command: &BoxCommand, json: bool) -> Outcome {
    match command {
        BoxCommand::Add {
            name,
            box_key,
            labels,
            sign_key,
        } => add(name, box_key, labels, sign_key.as_deref(), json),
        BoxCommand::Remove { name, sign_key } => remove(name, sign_key.as_deref(), json),
    }
}

/// Writes boxes/NAME.toml and commits it.
fn add(
    name: &Name,
    box_key: &str,
    labels: &[String],
    sign_key: Option<&Path>,
    json: bool,
) -> Outcome {
    let repository = here()?;
    let file = format!("boxes/{name}.toml");
    if repository.top().join(&file).exists() {
        return Err(
            Failure::new(format!("{file} is there already")).hint(format!(
                "edit it, and commit; swarm-pack box remove {name}  takes the box out of the roster"
            )),
        );
    }
    let line = public_key(box_key)?;
    let mut document = DocumentMut::new();
    document.insert("key", value(line));
    let mut table = InlineTable::new();
    for label in labels {
        let (name, text) = label
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--label takes NAME=VALUE, not {label:?}")))?;
        table.insert(name, label_value(text));
    }
    if !table.is_empty() {
        document.insert("labels", value(table));
    }
    let text = document.to_string();
    if let (None, problems) = roster::read(&file, text.as_bytes()) {
        return Err(Failure::findings(Finding::of(problems, text.as_bytes())));
    }
    let key = Key::find(sign_key, &repository.git)?;
    let mut change = Change::default();
    place::write_file(&repository, &file, &text, &mut change)?;
    let commit = change.commit(
        &repository,
        &key,
        &format!("box {name}: added to the roster"),
    )?;
    talk::say(format!("{file} is in the roster; next: git push"));
    if json {
        talk::json(&serde_json::json!({"box": name, "file": file, "commit": commit}));
    }
    Ok(())
}

/// Removes boxes/NAME.toml, commits that, and lists what the box could read.
fn remove(name: &Name, sign_key: Option<&Path>, json: bool) -> Outcome {
    let repository = here()?;
    let file = format!("boxes/{name}.toml");
    if !repository.top().join(&file).exists() {
        return Err(Failure::new(format!("{name} is not in the roster"))
            .exit(Exit::Unknown)
            .hint("boxes/ has a file for each box that is"));
    }
    let rotate: Vec<String> = secrets::readers(&repository)?
        .into_iter()
        .filter(|secret| secret.boxes.contains(name))
        .map(|secret| secret.file())
        .collect();
    let key = Key::find(sign_key, &repository.git)?;
    let mut change = Change::default();
    change.remove(&file);
    let commit = change.commit(
        &repository,
        &key,
        &format!("box {name}: removed from the roster"),
    )?;
    let path = repository.top().join(&file);
    std::fs::remove_file(&path).with_context(|| format!("{file} could not be removed"))?;
    talk::say(format!("{name} is no longer in the roster; next: git push"));
    if !rotate.is_empty() {
        talk::warn(format!(
            "{name} could read these: make each anew at its source, and swarm-pack encrypt it again\n  {}",
            rotate.join("\n  ")
        ));
    }
    if json {
        talk::json(
            &serde_json::json!({"box": name, "file": file, "commit": commit, "rotate": rotate}),
        );
    }
    Ok(())
}

fn label_value(text: &str) -> Value {
    match (text.parse::<bool>(), text.parse::<i64>()) {
        (Ok(truth), _) => truth.into(),
        (_, Ok(number)) => number.into(),
        _ => text.into(),
    }
}
