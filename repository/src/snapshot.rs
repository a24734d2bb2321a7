//! What the trunk says at the trusted head. In: what is trusted. Out: policy, manifests with their problems, roster, secrets.
//!
//! Touches the object store. What was parsed for an earlier snapshot is not parsed again.

use crate::{
    changes::{Change, DiffError, changes},
    judge::At,
    objects::{ObjectError, Objects},
    revoked::Void,
    secrets::Secrets,
    tree::{Mode, Tree},
    trusted::{Brought, Trusted},
    verifier::{ReadManifest, ReadRoster, Verifier, text},
};
use std::{collections::BTreeMap, sync::Arc};
use swarm_manifests::{
    approval::Tally,
    id::Oid,
    name::Name,
    policy::{Hand, Policy},
    problem::{Problem, Refusal},
    roster,
    rules::{file::TOO_LARGE, trunk::TREE},
};

/// Verified bytes of the trunk at one head.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Snapshot {
    pub head: Oid,
    pub position: u64,
    pub policy: Arc<Policy>,
    /// In order of their paths.
    pub workflows: Vec<Arc<Found>>,
    pub roster: Arc<BTreeMap<Name, roster::Entry>>,
    /// `secrets/<workflow>/<name>.age`, by workflow and name.
    pub secrets: Secrets,
    /// What counts as absent, by revocation.
    pub void: Void,
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
    /// Who stands behind it.
    pub backing: Backing,
    /// Where a newer version counts as absent by revocation: why. Then `manifest` and `brought` are those of the last version that
    /// is not void; where there is none, `brought` is that of the void one and `manifest` says what is wrong with it.
    pub instead_of: Option<Refusal>,
}

/// Who stands behind a manifest, and which files of `approvals/` do not count, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Backing {
    pub tally: Tally,
    pub odd: Vec<(String, String)>,
    /// The approvals that count, in the order of their files.
    pub approvals: Vec<Hand>,
    /// Why it is not enough any more: what revoked keys brought counted before.
    pub struck: Option<Refusal>,
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
        let head = (trusted.head, trusted.position);
        let blob = (at.policy_blob, &*at.policy);
        let revoked = self.revocations(objects, trusted.root(), blob, head)?;
        let void = Void::of(revoked, trusted);
        let mut scene = Scene {
            objects,
            trusted,
            at: &at,
            void: &void,
            problems: &mut problems,
        };
        let workflows = self.workflows(&mut scene)?;
        let secrets = self.secrets(&mut scene)?;
        let (roster, of_roster) = self.roster(objects, &tree)?;
        problems.extend(of_roster);
        Ok(Snapshot {
            head: trusted.head,
            position: trusted.position,
            policy: at.policy,
            workflows,
            roster,
            secrets,
            void,
            problems,
        })
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

/// What the reading of one snapshot is about.
pub(crate) struct Scene<'a> {
    pub objects: &'a Objects,
    pub trusted: &'a Trusted,
    /// The trusted head.
    pub at: &'a At,
    pub void: &'a Void,
    pub problems: &'a mut Vec<Problem>,
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
