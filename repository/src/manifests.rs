//! The manifests on the trunk: each with who brought it and who stands behind it; two of one name refused; and where a revoked key
//! brought one, or its bundle, the last version before (SPEC §4 rules 7 and 8).
//!
//! Touches the object store.

use crate::{
    backing::Asked,
    carried::Carried,
    earlier::{Earlier, Wanted, state},
    objects::ObjectError,
    snapshot::{Backing, Found, Scene},
    tree::Mode,
    trusted::Brought,
    verifier::{ReadManifest, Verifier},
};
use std::{collections::HashMap, sync::Arc};
use swarm_manifests::{
    id::Oid,
    manifest::{Manifest, workflow_of},
    name::Name,
    problem::{Problem, Refusal},
    rules::{
        file::{BAD_NAME, DUPLICATE},
        trunk::{REVOKED, TREE},
    },
};

/// A manifest as it stands in the tree.
pub(crate) struct Standing {
    pub workflow: Name,
    brought: Arc<Brought>,
    blob: Oid,
    manifest: ReadManifest,
    /// Why it counts as absent.
    pub void: Option<Refusal>,
}

impl Verifier {
    /// Every manifest, in order of their paths.
    pub(crate) fn workflows(
        &mut self,
        scene: &mut Scene<'_>,
    ) -> Result<Vec<Arc<Found>>, ObjectError> {
        if let Some(carried) = self.carry(scene)? {
            return Ok(carried);
        }
        let problems = scene.problems.len();
        let standing = self.standing(scene)?;
        let mut paths: HashMap<&Name, Vec<&Arc<Brought>>> = HashMap::new();
        for one in standing.iter().filter(|one| one.void.is_none()) {
            paths.entry(&one.workflow).or_default().push(&one.brought);
        }
        let mut found: Vec<Arc<Found>> = Vec::new();
        for one in &standing {
            let others = paths.get(&one.workflow).map_or(&[][..], Vec::as_slice);
            let is_known = found
                .last()
                .is_some_and(|last| last.workflow == one.workflow);
            match &one.void {
                // Beside one that counts, or another void one, a void one is nothing.
                Some(why) if !others.is_empty() || is_known => {
                    let path = &one.brought.path;
                    let problem = Problem::whole(path, &REVOKED, why.reason.clone());
                    scene.problems.push(problem);
                }
                Some(why) => found.push(Arc::new(self.instead_of_void(scene, one, why)?)),
                None => found.push(Arc::new(self.instead_of_waiting(scene, one, others)?)),
            }
        }
        let is_plain = scene.problems.len() == problems
            && scene.void.is_empty()
            && paths.values().all(|paths| paths.len() == 1);
        self.carried = is_plain.then(|| Carried::of(scene, &found));
        Ok(found)
    }

    fn standing(&mut self, scene: &mut Scene<'_>) -> Result<Vec<Standing>, ObjectError> {
        let mut standing = Vec::new();
        let wanted = Wanted {
            folder: "manifests",
            is_it: &|path| workflow_of(path).is_some(),
        };
        for (path, mode, blob) in state(scene.objects, scene.at.tree, &wanted)? {
            match self.stands(scene, &path, mode, blob)? {
                Ok(one) => standing.push(one),
                Err(problem) => scene.problems.push(problem),
            }
        }
        Ok(standing)
    }

    /// One manifest as it stands in the tree, or why it is none.
    pub(crate) fn stands(
        &mut self,
        scene: &Scene<'_>,
        path: &str,
        mode: Mode,
        blob: Oid,
    ) -> Result<Result<Standing, Problem>, ObjectError> {
        let stem = workflow_of(path).unwrap_or_default();
        let workflow = match Name::new(stem) {
            Ok(workflow) => workflow,
            Err(error) => return Ok(Err(Problem::whole(path, &BAD_NAME, error.to_string()))),
        };
        let Some(brought) = scene.trusted.manifests.get(path).cloned() else {
            let what = "nobody is known to have brought this file";
            return Ok(Err(Problem::whole(path, &TREE, what)));
        };
        let manifest = self.manifest(scene.objects, path, mode, blob)?;
        let void = void(scene, &brought, &manifest);
        Ok(Ok(Standing {
            workflow,
            brought,
            blob,
            manifest,
            void,
        }))
    }

    pub(crate) fn found(
        &mut self,
        scene: &Scene<'_>,
        one: &Standing,
        named: &[&Arc<Brought>],
    ) -> Result<Found, ObjectError> {
        let mut manifest = one.manifest.clone();
        let mut backing = Backing::default();
        let mut brought = &one.brought;
        if let Some(twin) = named.iter().find(|twin| twin.path != one.brought.path) {
            // It was well until somebody brought the later one.
            let later = |brought: &Arc<Brought>| (brought.position, brought.path.clone());
            brought = named
                .iter()
                .copied()
                .max_by_key(|it| later(it))
                .unwrap_or(brought);
            let other = if twin.path == brought.path {
                &one.brought.path
            } else {
                &twin.path
            };
            manifest = Err(vec![twins(&brought.path, other, &one.workflow)]);
        } else if let Ok(manifest) = &manifest {
            let asked = Asked {
                manifest,
                blob: one.blob,
                brought: &one.brought,
                before: None,
            };
            backing = self.backing(scene, &asked)?;
        }
        Ok(Found {
            workflow: one.workflow.clone(),
            brought: brought.clone(),
            manifest,
            backing,
            instead_of: None,
        })
    }

    /// A manifest that is not void; where revoked keys took the approvals away that it ran by, what counts meanwhile.
    fn instead_of_waiting(
        &mut self,
        scene: &Scene<'_>,
        one: &Standing,
        named: &[&Arc<Brought>],
    ) -> Result<Found, ObjectError> {
        let found = self.found(scene, one, named)?;
        let Some(why) = &found.backing.struck else {
            return Ok(found);
        };
        Ok(self.returned(scene, one, why)?.unwrap_or(found))
    }

    /// What counts in the place of a void manifest.
    fn instead_of_void(
        &mut self,
        scene: &Scene<'_>,
        void: &Standing,
        why: &Refusal,
    ) -> Result<Found, ObjectError> {
        if let Some(found) = self.returned(scene, void, why)? {
            return Ok(found);
        }
        let nothing = Problem::whole(&void.brought.path, &REVOKED, why.reason.clone())
            .hint("no version before it is there: have somebody with the right deploy one");
        Ok(Found {
            workflow: void.workflow.clone(),
            brought: void.brought.clone(),
            manifest: Err(vec![nothing]),
            backing: Backing::default(),
            instead_of: Some(why.clone()),
        })
    }

    /// The last version before this one that counts, by revocations and by who stands behind it.
    fn returned(
        &mut self,
        scene: &Scene<'_>,
        void: &Standing,
        why: &Refusal,
    ) -> Result<Option<Found>, ObjectError> {
        let workflow = &void.workflow;
        let is_it = |path: &str| workflow_of(path) == Some(workflow.as_str());
        let wanted = Wanted {
            folder: "manifests",
            is_it: &is_it,
        };
        let from = (void.brought.commit, void.brought.position);
        let root = scene.trusted.root();
        let mut struck_last = from;
        let earlier = self.last_good(scene.objects, root, from, &wanted, |verifier, earlier| {
            let is_void = verifier.is_void(scene, earlier, struck_last)?;
            if is_void {
                struck_last = (earlier.brought.commit, earlier.brought.position);
            }
            Ok(is_void)
        })?;
        let Some(earlier) = earlier else {
            return Ok(None);
        };
        let [(path, mode, blob)] = &earlier.state[..] else {
            return Ok(None);
        };
        let manifest = self.manifest(scene.objects, path, *mode, *blob)?;
        let mut backing = Backing::default();
        if let Ok(manifest) = &manifest {
            let asked = Asked {
                manifest,
                blob: *blob,
                brought: &earlier.brought,
                before: Some(struck_last),
            };
            backing = self.backing(scene, &asked)?;
        }
        Ok(Some(Found {
            workflow: workflow.clone(),
            brought: Arc::new(earlier.brought),
            manifest,
            backing,
            instead_of: Some(why.clone()),
        }))
    }

    /// Whether a version of a manifest that stood until the commit `before` is void, or no single one, or too few stood behind it
    /// for it to run.
    fn is_void(
        &mut self,
        scene: &Scene<'_>,
        earlier: &Earlier,
        before: (Oid, u64),
    ) -> Result<bool, ObjectError> {
        let (path, mode, blob) = match &earlier.state[..] {
            [] => return Ok(scene.void.refuse("it", &earlier.brought).is_some()),
            [one] => one,
            _ => return Ok(true),
        };
        let manifest = self.manifest(scene.objects, path, *mode, *blob)?;
        if void(scene, &earlier.brought, &manifest).is_some() {
            return Ok(true);
        }
        let Ok(manifest) = &manifest else {
            return Ok(false);
        };
        let asked = Asked {
            manifest,
            blob: *blob,
            brought: &earlier.brought,
            before: Some(before),
        };
        Ok(self.backing(scene, &asked)?.tally.missing() > 0)
    }
}

/// Why a manifest counts as absent: by who brought it, or by its bundle.
fn void(scene: &Scene<'_>, brought: &Brought, manifest: &ReadManifest) -> Option<Refusal> {
    let bundle = |manifest: &Arc<Manifest>| {
        let key = format!("{}/{}", manifest.bundle, manifest.version);
        let known = scene.trusted.bundles.get(key.as_str())?;
        crate::revoked::strikes(scene.void.revoked(), &key, known)
    };
    let by_its_bundle = || manifest.as_ref().ok().and_then(bundle);
    scene
        .void
        .refuse("its manifest", brought)
        .or_else(by_its_bundle)
}

/// Two manifests of one name are both refused: nobody can say which one is meant.
fn twins(path: &str, twin: &str, workflow: &Name) -> Problem {
    let what = format!("{twin} is a manifest of the workflow {workflow} as well");
    Problem::whole(path, &DUPLICATE, what).hint("rename or remove one of them")
}
