//! The repository's secrets beside its manifests and boxes: who needs one that is not there, who can read one too many.
//! In: manifests, roster, readers. Out: findings and warnings. Reads the working tree.

use super::repository::{Report, chooses};
use crate::{
    deploy_repository::DeployRepository,
    failure::{Finding, Outcome},
    secrets,
};
use swarm_manifests::{
    manifest::Manifest, name::Name, problem::Problem, roster, rules::run::SECRET,
};

/// Secrets that a manifest names and nobody encrypted, that a box of their workflow cannot read, or that another one still can.
pub fn unread(
    repository: &DeployRepository,
    manifests: &[(String, Vec<u8>, Manifest)],
    boxes: &[roster::Entry],
    report: &mut Report,
) -> Outcome {
    let readers = secrets::readers(repository)?;
    for (path, text, manifest) in manifests {
        let is_there = |name: &Name| {
            let mut all = readers.iter();
            all.any(|secret| secret.workflow == manifest.workflow && secret.name == *name)
        };
        for name in manifest.secrets.values().filter(|name| !is_there(name)) {
            let workflow = &manifest.workflow;
            let what = format!("secrets/{workflow}/{name}.age is not there");
            let hint = format!("swarm-pack encrypt {workflow} {name}");
            let whole = String::from_utf8_lossy(text);
            let problem = match secret_named(&whole, name) {
                Some(span) => Problem::at(path, &whole, span, &SECRET, what),
                None => Problem::whole(path, &SECRET, what),
            };
            report
                .findings
                .extend(Finding::of(vec![problem.hint(hint)], text));
        }
    }
    for secret in readers {
        let manifest = manifests
            .iter()
            .find(|(_, _, manifest)| manifest.workflow == secret.workflow);
        let (file, again) = (secret.file(), "swarm-pack encrypt it again");
        for entry in boxes {
            let reads = secret.boxes.contains(&entry.name);
            let is_meant = manifest.is_some_and(|(_, _, manifest)| chooses(manifest, entry));
            if is_meant && !reads {
                report
                    .warnings
                    .push(format!("{file}: {} cannot read it; {again}", entry.name));
            }
            if !is_meant && reads {
                report.warnings.push(format!(
                    "{file}: {} is not among its boxes and can read it; make it anew, and {again}",
                    entry.name
                ));
            }
        }
    }
    Ok(())
}

/// Where `[secrets]` names this one.
fn secret_named(text: &str, name: &Name) -> Option<std::ops::Range<usize>> {
    let table = text.find("[secrets]")?;
    let quoted = ['"', '\''].map(|quote| format!("{quote}{name}{quote}"));
    let found = quoted.iter().filter_map(|name| text[table..].find(name));
    let start = table + found.min()?;
    Some(start..start + name.as_str().len() + 2)
}
