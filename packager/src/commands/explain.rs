//! `explain ID`: what a rule means.

use crate::{
    failure::{Failure, Outcome},
    talk,
};
use swarm_manifests::rules;

/// Prints a rule's page.
pub fn run(id: &str, json: bool) -> Outcome {
    let Some(rule) = rules::find(id) else {
        let family = |id: &str| {
            id.to_ascii_uppercase()
                .rsplit_once('-')
                .map(|(family, _)| family.to_string())
        };
        let near: Vec<_> = rules::all()
            .map(|rule| rule.id)
            .filter(|known| family(known) == family(id))
            .collect();
        let hint = if near.is_empty() {
            "a rule's id looks like S-TRUNK-03".into()
        } else {
            format!("there are {}", near.join(", "))
        };
        return Err(Failure::usage(format!("no rule has the id {id:?}")).hint(hint));
    };
    if json {
        talk::json(
            &serde_json::json!({"rule": rule.id, "title": rule.title, "meaning": rule.meaning, "remedy": rule.remedy}),
        );
    } else {
        talk::data(format!(
            "{}: {}\n\n{}\n\nWhat to do: {}",
            rule.id, rule.title, rule.meaning, rule.remedy
        ));
    }
    Ok(())
}
