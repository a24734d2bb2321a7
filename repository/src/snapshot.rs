//! What the trunk says at the trusted head. In: what is trusted. Out: policy, manifests with their problems, roster.
//!
//! Touches the object store. What was parsed for an earlier snapshot is not parsed again.

use crate::{
    changes::{Change, DiffError, changes},
    objects::{ObjectError, Objects},
    tree::{Mode, Tree},
    trusted::{Brought, Trusted},
    verifier::{ReadManifest, ReadRoster, Verifier, text},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use swarm_manifests::{
    id::Oid,
    manifest::workflow_of,
    name::Name,
    policy::Policy,
    problem::Problem,
    roster,
    rules::{
        file::{BAD_NAME, DUPLICATE, TOO_LARGE},
        trunk::TREE,
    },
};

/// Verified bytes of the trunk at one head.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Snapshot {
    pub head: Oid,
    pub position: u64,
    pub policy: Arc<Policy>,
    /// In order of their paths.
    pub workflows: Vec<Found>,
    pub roster: Arc<BTreeMap<Name, roster::Entry>>,
    /// Problems of single files (roster entries, names) that concern no workflow.
    pub problems: Vec<Problem>,
}

/// One manifest on the trunk.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Found {
    pub workflow: Name,
    pub brought: Arc<Brought>,
    /// The manifest, or what is wrong with it.
    pub manifest: ReadManifest,
}

/// [`Verifier::snapshot`] by a verifier that is used once.
pub fn snapshot(objects: &Objects, trusted: &Trusted) -> Result<Snapshot, ObjectError> {
    Verifier::new().snapshot(objects, trusted)
}

impl Verifier {
    /// Reads what the trunk says at the trusted head.
    pub fn snapshot(
        &mut self,
        objects: &Objects,
        trusted: &Trusted,
    ) -> Result<Snapshot, ObjectError> {
        let at = self.at(objects, trusted.head)?;
        let at = at.map_err(|refusal| ObjectError::Malformed {
            id: trusted.head,
            what: refusal.reason,
        })?;
        let tree = objects.tree(at.tree)?;
        let mut problems = Vec::new();
        let mut workflows = self.workflows(objects, trusted, &tree, &mut problems)?;
        refuse_twins(&mut workflows);
        let (roster, of_roster) = self.roster(objects, &tree)?;
        problems.extend(of_roster);
        Ok(Snapshot {
            head: trusted.head,
            position: trusted.position,
            policy: at.policy,
            workflows,
            roster,
            problems,
        })
    }

    fn workflows(
        &mut self,
        objects: &Objects,
        trusted: &Trusted,
        tree: &Tree,
        problems: &mut Vec<Problem>,
    ) -> Result<Vec<Found>, ObjectError> {
        let mut found = Vec::new();
        each_file(objects, tree, "manifests", |change, mode, id| {
            let Some(stem) = workflow_of(change.path) else {
                return Ok(());
            };
            let workflow = match Name::new(stem) {
                Ok(workflow) => workflow,
                Err(error) => {
                    problems.push(Problem::whole(change.path, &BAD_NAME, error.to_string()));
                    return Ok(());
                }
            };
            let Some(brought) = trusted.manifests.get(change.path).cloned() else {
                problems.push(Problem::whole(
                    change.path,
                    &TREE,
                    "nobody is known to have brought this file",
                ));
                return Ok(());
            };
            let manifest = self.manifest(objects, change.path, mode, id)?;
            found.push(Found {
                workflow,
                brought,
                manifest,
            });
            Ok(())
        })?;
        Ok(found)
    }

    fn roster(&mut self, objects: &Objects, tree: &Tree) -> Result<ReadRoster, ObjectError> {
        let folder = tree.get(b"boxes").map(|entry| entry.id);
        if let (Some((id, known)), Some(folder)) = (&self.roster, folder)
            && *id == folder
        {
            return Ok(known.clone());
        }
        let (mut boxes, mut problems) = (BTreeMap::new(), Vec::new());
        each_file(objects, tree, "boxes", |change, mode, id| {
            let is_entry = change
                .path
                .strip_prefix("boxes/")
                .is_some_and(|file| !file.contains('/') && file.strip_suffix(".toml").is_some());
            if !is_entry {
                return Ok(());
            }
            if !matches!(mode, Mode::File | Mode::Executable) {
                problems.push(Problem::whole(
                    change.path,
                    &TREE,
                    "a roster entry must be a plain file",
                ));
                return Ok(());
            }
            match text(objects, id)? {
                Err(why) => problems.push(Problem::whole(change.path, &TOO_LARGE, why)),
                Ok(text) => {
                    let (entry, wrong) = roster::read(change.path, &text);
                    boxes.extend(entry.map(|entry| (entry.name.clone(), entry)));
                    problems.extend(wrong);
                }
            }
            Ok(())
        })?;
        let read = (Arc::new(boxes), problems);
        self.roster = folder.map(|id| (id, read.clone()));
        Ok(read)
    }
}

/// Calls `visit` for each file below a folder of the root.
fn each_file(
    objects: &Objects,
    root: &Tree,
    folder: &str,
    mut visit: impl FnMut(Change<'_>, Mode, Oid) -> Result<(), ObjectError>,
) -> Result<(), ObjectError> {
    let Some(entry) = root
        .get(folder.as_bytes())
        .filter(|entry| entry.mode == Mode::Folder)
    else {
        return Ok(());
    };
    let listed = changes(
        objects,
        folder,
        None,
        Some(entry.id),
        &mut |change| match change.new {
            Some((mode, id)) => visit(change, mode, id),
            None => Ok(()),
        },
    );
    listed.map_err(|error| match error {
        DiffError::Visitor(error) | DiffError::Object(error) => error,
        DiffError::TooMany => ObjectError::Malformed {
            id: entry.id,
            what: format!("{folder}/ has too many entries"),
        },
    })
}

/// Two manifests of one name are both refused: nobody can say which one is meant.
fn refuse_twins(workflows: &mut [Found]) {
    let mut paths: HashMap<Name, Vec<Arc<Brought>>> = HashMap::new();
    for found in workflows.iter() {
        paths
            .entry(found.workflow.clone())
            .or_default()
            .push(found.brought.clone());
    }
    for found in workflows {
        let twin = paths[&found.workflow]
            .iter()
            .find(|other| other.path != found.brought.path);
        if let Some(twin) = twin {
            let what = format!(
                "{} is a manifest of the workflow {} as well",
                twin.path, found.workflow
            );
            found.manifest = Err(vec![
                Problem::whole(&found.brought.path, &DUPLICATE, what)
                    .hint("rename or remove one of them"),
            ]);
        }
    }
}
