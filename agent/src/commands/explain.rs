//! `explain ID`: what a rule means; `completions SHELL`.

use super::{Context, Failure, Outcome, out};
use crate::cli::Cli;
use clap::CommandFactory;
use swarm_manifests::rules;

/// Prints a rule's page.
pub fn explain(context: &Context, id: &str) -> Outcome {
    let Some(rule) = rules::find(id) else {
        let near = rules::all()
            .map(|rule| rule.id)
            .filter(|known| known.get(..4) == id.to_ascii_uppercase().get(..4))
            .collect::<Vec<_>>();
        let hint = if near.is_empty() {
            "a rule's id looks like S-TRUNK-03".to_string()
        } else {
            format!("there are {}", near.join(", "))
        };
        return Err(Failure::with(2, format!("no rule has the id {id:?}")).hint(hint));
    };
    if context.json {
        out::line(
            serde_json::json!({"rule": rule.id, "title": rule.title, "meaning": rule.meaning, "remedy": rule.remedy}),
        )?;
    } else {
        out::line(format_args!(
            "{}: {}\n\n{}\n\nWhat to do: {}",
            rule.id, rule.title, rule.meaning, rule.remedy
        ))?;
    }
    Ok(0)
}

/// Prints completions.
pub fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "swarm-agent", &mut script);
    out::raw(String::from_utf8_lossy(&script))?;
    Ok(0)
}
