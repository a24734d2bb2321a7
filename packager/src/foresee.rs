//! What boxes would do: two pictures of the trunk and the roster come in, a row for each box and workflow that changes goes
//! out. Pure.
//!
//! The roster knows names and labels. Where a selector asks for what only the box can tell (memory, engines), the row says
//! on what it depends.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use swarm_manifests::{
    facts::Facts, id::Digest, manifest::Manifest, name::Name, problem::Refusal, roster::Entry,
};

/// A workflow on the trunk: what runs, or why nothing may.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// The manifest, where it parses.
    pub manifest: Option<Arc<Manifest>>,
    /// The revision that would run; else why not.
    pub runs: Result<Digest, Refusal>,
    /// It waits for people, in words.
    pub waits: Option<Refusal>,
    /// A revocation took away what it ran by: it stops, and why.
    pub void: Option<Refusal>,
    /// It is an older version in place of one that is void: why that is.
    pub instead_of: Option<Refusal>,
}

/// The trunk at one commit.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// By name.
    pub workflows: BTreeMap<Name, Workflow>,
    /// By name.
    pub roster: BTreeMap<Name, Entry>,
}

/// What a box would do with a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Action {
    Refuse,
    Wait,
    Stop,
    Replace,
    Start,
}

impl Action {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Wait => "wait",
            Self::Stop => "stop",
            Self::Replace => "replace",
            Self::Start => "start",
        }
    }
}

/// One change on one box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Row {
    pub r#box: String,
    pub workflow: Name,
    pub action: Action,
    /// The version that runs now, as far as the trunk tells.
    pub from: Option<String>,
    /// The version that would run.
    pub to: Option<String>,
    pub reason: String,
    pub rule: Option<&'static str>,
}

/// Whether a box is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Chosen {
    No,
    Yes,
    /// Only the box can tell: by this selector.
    Maybe(String),
}

/// The rows, by box and workflow. `removable` is the largest `Allow-mass-removal: N` of the commits between.
pub fn foresee(now: &Picture, then: &Picture, removable: u32) -> Vec<Row> {
    let boxes: BTreeMap<&Name, &Entry> = now.roster.iter().chain(&then.roster).collect();
    let mut rows = Vec::new();
    for entry in boxes.values() {
        rows.extend(on_box(entry, now, then, removable));
    }
    rows
}

fn on_box(entry: &Entry, now: &Picture, then: &Picture, removable: u32) -> Vec<Row> {
    let names: BTreeSet<&Name> = now.workflows.keys().chain(then.workflows.keys()).collect();
    let mut rows: Vec<Row> = names
        .into_iter()
        .filter_map(|workflow| row(entry, workflow, now, then))
        .collect();
    hold(&mut rows, entry, now, then, removable);
    rows
}

/// More than half of what runs, and at least two, go only when the trunk says how many (SPEC §3.3).
fn hold(rows: &mut [Row], entry: &Entry, now: &Picture, then: &Picture, removable: u32) {
    let running = now.workflows.iter().filter(|(_, workflow)| {
        workflow.runs.is_ok() && chosen(workflow, entry, now) == Chosen::Yes
    });
    let (mut live, mut going) = (0u32, 0u32);
    for (name, _) in running {
        live += 1;
        going += u32::from(!then.workflows.contains_key(name));
    }
    if going < 2 || going * 2 <= live || removable >= going {
        return;
    }
    for row in rows
        .iter_mut()
        .filter(|row| !then.workflows.contains_key(&row.workflow))
    {
        row.action = Action::Wait;
        row.rule = Some(swarm_manifests::rules::trunk::MASS_REMOVAL.id);
        row.reason = format!(
            "{going} of {live} workflows would go at once: held until a commit says Allow-mass-removal: {going}"
        );
    }
}

fn row(entry: &Entry, name: &Name, now: &Picture, then: &Picture) -> Option<Row> {
    let old = now.workflows.get(name);
    let new = then.workflows.get(name);
    let was = old.map_or(Chosen::No, |old| chosen(old, entry, now));
    let is = new.map_or(Chosen::No, |new| chosen(new, entry, then));
    let from = old
        .filter(|old| was != Chosen::No && old.runs.is_ok())
        .and_then(version);
    let make = |action, reason: String, rule| {
        let to = if action == Action::Stop {
            None
        } else {
            new.and_then(version)
        };
        Some(Row {
            r#box: entry.name.to_string(),
            workflow: name.clone(),
            action,
            from: from.clone(),
            to,
            reason,
            rule,
        })
    };
    let Some(new) = new else {
        return if was == Chosen::No {
            None
        } else {
            make(Action::Stop, "its manifest is gone".into(), None)
        };
    };
    let depends = match &is {
        Chosen::Maybe(selector) => format!(" (where {selector}: only the box can tell)"),
        _ => String::new(),
    };
    if is == Chosen::No {
        return (was != Chosen::No)
            .then(|| make(Action::Stop, "[on] no longer chooses this box".into(), None))
            .flatten();
    }
    if let Some(void) = &new.void {
        if from.is_some() {
            return make(Action::Stop, void.reason.clone(), Some(void.rule.id));
        }
        // It ran nowhere before either, or nobody can say for which boxes it was: nothing changes.
        if was == is || new.manifest.is_none() {
            return None;
        }
    }
    if let Err(refusal) = &new.runs {
        let stays = from
            .as_ref()
            .map_or(String::new(), |from| format!("; {from} goes on"));
        return make(
            Action::Refuse,
            format!("{}{stays}{depends}", refusal.reason),
            Some(refusal.rule.id),
        );
    }
    let is_same =
        was == is && old.is_some_and(|old| old.runs == new.runs && old.waits == new.waits);
    match (&new.waits, is_same) {
        (_, true) => None,
        (Some(waits), false) => make(
            Action::Wait,
            format!("{}{depends}", waits.reason),
            Some(waits.rule.id),
        ),
        (None, false) if from.is_some() => make(
            Action::Replace,
            format!("{}{depends}", what(old, new)),
            None,
        ),
        (None, false) => make(Action::Start, format!("{}{depends}", mode(new)), None),
    }
}

fn chosen(workflow: &Workflow, entry: &Entry, picture: &Picture) -> Chosen {
    let Some(manifest) = &workflow.manifest else {
        // Nobody can say for which boxes a manifest is that does not parse: it is said for each.
        return Chosen::Yes;
    };
    let known: Facts = entry.known();
    if !picture.roster.contains_key(&entry.name) && manifest.on.count.is_some() {
        return Chosen::No;
    }
    match manifest.on.foresee(&known) {
        Some(false) => Chosen::No,
        Some(true) if manifest.on.count.is_some() => {
            let all = picture
                .roster
                .values()
                .filter(|other| manifest.on.foresee(&other.known()) == Some(true));
            let names = manifest
                .on
                .narrow(&manifest.workflow, all.map(|other| other.name.as_str()));
            if names.contains(&entry.name.as_str()) {
                Chosen::Yes
            } else {
                Chosen::No
            }
        }
        Some(true) => Chosen::Yes,
        None => {
            let selector = manifest.on.selector.as_ref();
            Chosen::Maybe(selector.map_or(String::new(), |selector| selector.text().to_string()))
        }
    }
}

fn version(workflow: &Workflow) -> Option<String> {
    let manifest = workflow.manifest.as_ref()?;
    Some(manifest.version.to_string())
}

fn mode(workflow: &Workflow) -> String {
    workflow
        .manifest
        .as_ref()
        .map_or(String::new(), |manifest| {
            format!("as {}", manifest.run.mode.as_str())
        })
}

/// What is different in what runs, and why it is an older version.
fn what(old: Option<&Workflow>, new: &Workflow) -> String {
    let said = difference(old, new);
    match &new.instead_of {
        Some(why) => format!("{said}; {}", why.reason),
        None => said,
    }
}

fn difference(old: Option<&Workflow>, new: &Workflow) -> String {
    let (Some(old), Some(new)) = (
        old.and_then(|old| old.manifest.as_ref()),
        new.manifest.as_ref(),
    ) else {
        return "it is another one".into();
    };
    let said = crate::words::manifest_change(Some(old), Some(new));
    if said.is_empty() {
        "the bytes of its bundle or secrets are others".into()
    } else {
        said.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_manifests::{
        manifest, roster,
        rules::{bundle::MISSING, trunk::REVOKED},
    };

    fn entry(name: &str, labels: &str) -> (Name, Entry) {
        let text = format!(
            "key = \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti\"\nlabels = {{ {labels} }}\n"
        );
        let (entry, problems) = roster::read(&format!("boxes/{name}.toml"), text.as_bytes());
        let entry = entry.unwrap_or_else(|| panic!("{problems:?}"));
        (entry.name.clone(), entry)
    }

    fn workflow(name: &str, version: &str, on: &str) -> (Name, Workflow) {
        let text = format!("version = \"{version}\"\n[on]\n{on}\n[run]\nmode = \"daemon\"\n");
        let (manifest, problems) =
            manifest::read(&format!("manifests/{name}.toml"), text.as_bytes());
        let manifest = manifest.unwrap_or_else(|| panic!("{problems:?}"));
        let runs = Ok(Digest::of(version.as_bytes()));
        (
            manifest.workflow.clone(),
            Workflow {
                manifest: Some(Arc::new(manifest)),
                runs,
                waits: None,
                void: None,
                instead_of: None,
            },
        )
    }

    fn picture(workflows: Vec<(Name, Workflow)>) -> Picture {
        Picture {
            workflows: workflows.into_iter().collect(),
            roster: [
                entry("lab-1", "site = \"lab\""),
                entry("till-1", "site = \"shop\""),
            ]
            .into(),
        }
    }

    fn said(now: &Picture, then: &Picture, removable: u32) -> Vec<String> {
        let rows = foresee(now, then, removable);
        rows.iter()
            .map(|row| format!("{} {} {}", row.r#box, row.action.as_str(), row.workflow))
            .collect()
    }

    #[test]
    fn each_box_is_told_what_changes_for_it_and_nothing_else() {
        let now = picture(vec![
            workflow("ramp", "1.0.0", "all = true"),
            workflow("same", "1.0.0", "all = true"),
            workflow("gone", "1.0.0", "boxes = [\"lab-*\"]"),
            workflow("moved", "1.0.0", "where = 'site == \"lab\"'"),
        ]);
        let then = picture(vec![
            workflow("ramp", "1.1.0", "all = true"),
            workflow("same", "1.0.0", "boxes = [\"*\"]"),
            workflow("moved", "1.0.0", "where = 'site == \"shop\"'"),
            workflow(
                "big",
                "1.0.0",
                "where = 'site == \"lab\" && memory >= \"1G\"'",
            ),
        ]);
        assert_eq!(
            said(&now, &then, 0),
            [
                "lab-1 start big",
                "lab-1 stop gone",
                "lab-1 stop moved",
                "lab-1 replace ramp",
                "till-1 start moved",
                "till-1 replace ramp",
            ]
        );
        assert!(
            foresee(&now, &then, 0)[0]
                .reason
                .contains("only the box can tell")
        );
        assert!(foresee(&now, &now, 0).is_empty());
    }

    #[test]
    fn what_would_be_refused_keeps_the_old_one_and_names_the_rule() {
        let now = picture(vec![workflow("ramp", "1.0.0", "boxes = [\"lab-1\"]")]);
        let mut then = picture(vec![workflow("ramp", "2.0.0", "boxes = [\"lab-1\"]")]);
        for workflow in then.workflows.values_mut() {
            workflow.runs = Err(Refusal::new(&MISSING, "no such bundle"));
        }
        let rows = foresee(&now, &then, 0);
        assert_eq!(
            (rows.len(), rows[0].action, rows[0].rule),
            (1, Action::Refuse, Some("S-BUNDLE-01"))
        );
        assert!(rows[0].reason.contains("1.0.0 goes on"), "{rows:?}");
    }

    #[test]
    fn what_a_revocation_voids_stops_where_it_ran_and_is_no_refusal() {
        let now = picture(vec![workflow("ramp", "1.0.0", "boxes = [\"lab-1\"]")]);
        let mut then = now.clone();
        let why = Refusal::new(&REVOKED, "its manifest counts as absent");
        for workflow in then.workflows.values_mut() {
            workflow.manifest = None;
            workflow.runs = Err(why.clone());
            workflow.void = Some(why.clone());
        }
        let rows = foresee(&now, &then, 0);
        assert_eq!(rows.len(), 1, "{rows:?}");
        let found = (rows[0].action, rows[0].rule, &*rows[0].r#box);
        assert_eq!(found, (Action::Stop, Some("S-REVOKE-02"), "lab-1"));
        assert_eq!(rows[0].to, None);
        assert!(foresee(&then, &then, 0).is_empty());
    }

    #[test]
    fn a_mass_removal_is_held_until_a_commit_says_how_many() {
        let now = picture(vec![
            workflow("a", "1.0.0", "all = true"),
            workflow("b", "1.0.0", "all = true"),
        ]);
        let then = picture(vec![]);
        assert_eq!(said(&now, &then, 1)[0], "lab-1 wait a");
        assert_eq!(said(&now, &then, 2)[0], "lab-1 stop a");
    }

    #[test]
    fn count_falls_on_as_many_boxes_as_it_says() {
        let then = picture(vec![workflow("one", "1.0.0", "all = true\ncount = 1")]);
        assert_eq!(said(&picture(vec![]), &then, 0).len(), 1);
    }
}
