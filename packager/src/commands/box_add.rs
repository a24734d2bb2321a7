//! `box add NAME`: a roster entry.

use super::here;
use crate::{
    cli::KeyOption,
    commit::Change,
    failure::{Failure, Finding, Outcome},
    key::Key,
    place, talk,
};
use anyhow::Context;
use swarm_manifests::{name::Name, roster};
use toml_edit::{DocumentMut, InlineTable, Value, value};

/// Writes boxes/NAME.toml and commits it.
pub fn run(name: &Name, box_key: &str, labels: &[String], key: &KeyOption, json: bool) -> Outcome {
    let repository = here()?;
    let file = format!("boxes/{name}.toml");
    if repository.top().join(&file).exists() {
        return Err(Failure::new(format!("{file} is there already"))
            .hint("edit it, and commit; removing it takes the box out of the roster"));
    }
    let line = if std::path::Path::new(box_key).is_file() {
        std::fs::read_to_string(box_key).with_context(|| format!("{box_key} could not be read"))?
    } else {
        box_key.into()
    };
    let mut document = DocumentMut::new();
    document.insert("key", value(line.trim()));
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
    let key = Key::find(key.key.as_deref(), &repository.git)?;
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

fn label_value(text: &str) -> Value {
    match (text.parse::<bool>(), text.parse::<i64>()) {
        (Ok(truth), _) => truth.into(),
        (_, Ok(number)) => number.into(),
        _ => text.into(),
    }
}
