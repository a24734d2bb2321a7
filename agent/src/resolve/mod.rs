//! What the trunk wants of this box: verified manifests and bundles come in, what runs and what may not go out. Pure.
//!
//! One bad workflow is held back alone. Held back is not absent: what runs under its name goes on.

pub mod ceiling;
mod choose;
pub mod chosen;
mod conditions;
pub mod placeholder;
mod spec;

use crate::{facts::Here, secrets::Secrets};
pub use chosen::BundleKey;
use chosen::Chosen;
use conditions::{approvals, requirements};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};
use swarm_manifests::{
    bundle::Bundle,
    id::{Digest, Oid},
    manifest::Manifest,
    name::Name,
    policy::{Ground, Hand},
    problem::Refusal,
    rules,
    status::{Next, State},
};
use swarm_repository::{
    bundle::VerifiedBundle,
    revoked::Void,
    snapshot::{Found, Snapshot},
    trusted::Brought,
};
use swarm_supervisor::protocol::{Origin, RunSpec, Standing};

/// A bundle that may run here: verified and stored, or with `local` taken from a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Cleared {
    pub(crate) bundle: Bundle,
    pub(crate) digest: Digest,
    /// Who signed it, and with which key; none with `local`.
    pub(crate) signed: Option<(Name, String)>,
}

impl Cleared {
    /// A bundle whose lock, signature and publisher were verified, and whose files were hashed into the store.
    pub fn verified(bundle: &VerifiedBundle) -> Self {
        Self {
            bundle: bundle.bundle().clone(),
            digest: bundle.lock().digest(),
            signed: Some((bundle.by().clone(), bundle.key().to_string())),
        }
    }

    /// bundle.toml
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Who signed it, and with which key.
    pub fn signed(&self) -> Option<&(Name, String)> {
        self.signed.as_ref()
    }
}

/// What became of a bundle version that this box needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Offer {
    /// It may run, and lies in the store.
    Cleared(Box<Cleared>),
    /// Its files are on their way.
    Fetching,
    /// It may not run.
    Refused(Refusal),
    /// It cannot be had now; it is tried again by itself.
    Blocked(Refusal),
}

/// What becomes of one workflow.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// Run this.
    Run(Box<RunSpec>),
    /// Not now, or not at all: what runs under the name goes on.
    Held(Box<Held>),
}

/// A workflow that is held back, and why.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Held {
    pub standing: Standing,
    pub hint: Option<String>,
    /// Who brought the manifest.
    pub origin: Origin,
}

/// Everything that the trunk wants of this box.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resolved {
    /// Workflow by workflow; one that is in neither map is not on the trunk.
    pub wanted: BTreeMap<Name, Wanted>,
    /// Workflows for other boxes, and why they are not for this one.
    pub elsewhere: Rc<BTreeMap<Name, String>>,
    /// What counts as absent by revocation, and so must not go on running.
    pub void: Void,
}

impl Resolved {
    /// The workflows that are held back.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        self.wanted.values().filter_map(|wanted| match wanted {
            Wanted::Held(held) => Some(&**held),
            Wanted::Run(_) => None,
        })
    }
}

/// Resolves every workflow of the snapshot for this box, by what of it was chosen.
pub fn resolve(
    snapshot: &Snapshot,
    here: &Here,
    chosen: &Chosen,
    offers: &BTreeMap<BundleKey, Offer>,
    secrets: &Secrets,
) -> Resolved {
    let mut resolved = Resolved {
        void: snapshot.void.clone(),
        elsewhere: chosen.elsewhere.clone(),
        ..Resolved::default()
    };
    for found in &chosen.meant {
        let wanted = match one(found, snapshot, here, (offers, secrets)) {
            Ok(spec) => Wanted::Run(Box::new(spec)),
            Err(Not { state, refusal }) => Wanted::Held(Box::new(hold(found, state, *refusal))),
        };
        resolved.wanted.insert(found.workflow.clone(), wanted);
    }
    resolved
}

/// Why a workflow does not run now.
struct Not {
    state: State,
    refusal: Box<Refusal>,
}

fn not(state: State, refusal: Refusal) -> Not {
    Not {
        state,
        refusal: Box::new(refusal),
    }
}

fn one(
    found: &Found,
    snapshot: &Snapshot,
    here: &Here,
    (offers, secrets): (&BTreeMap<BundleKey, Offer>, &Secrets),
) -> Result<RunSpec, Not> {
    let manifest = found
        .manifest
        .as_ref()
        .map_err(|problems| not(State::Refused, broken(problems)))?;
    approvals(found).map_err(|refusal| not(State::Waiting, refusal))?;
    let cleared = match offers.get(&(manifest.bundle.clone(), manifest.version.to_string())) {
        Some(Offer::Cleared(cleared)) => cleared,
        Some(Offer::Refused(refusal)) => return Err(not(State::Refused, refusal.clone())),
        Some(Offer::Blocked(refusal)) => return Err(not(State::Blocked, refusal.clone())),
        Some(Offer::Fetching) | None => {
            let reason = format!(
                "bundle {} {} is being fetched",
                manifest.bundle, manifest.version
            );
            return Err(not(
                State::Fetching,
                Refusal::new(&rules::bundle::MISSING, reason),
            ));
        }
    };
    requirements(cleared.bundle(), here).map_err(|refusal| not(State::Blocked, refusal))?;
    ceiling::check(
        &cleared.bundle().sandbox,
        &snapshot.policy.ceiling,
        &here.ceiling,
    )
    .map_err(|refusal| not(State::Refused, refusal))?;
    let secrets = digests(manifest, secrets).map_err(|refusal| not(State::Refused, refusal))?;
    spec::spec(
        manifest,
        (cleared, secrets),
        (origin(&found.brought), grounds(manifest, found, snapshot)),
        &snapshot.policy.ceiling,
        here,
    )
    .map_err(|refusal| not(State::Refused, refusal))
}

/// What it runs because of, besides its manifest and its bundle: each secret, and those who stand behind it with whoever brought it.
fn grounds(manifest: &Manifest, found: &Found, snapshot: &Snapshot) -> Vec<Ground> {
    let names: BTreeSet<&Name> = manifest.secrets.values().collect();
    let secrets = names.into_iter().filter_map(|name| {
        let secret = snapshot
            .secrets
            .get(&(manifest.workflow.clone(), name.clone()))?;
        Some(Ground {
            what: format!("the secret {name}"),
            by: vec![Hand {
                keys: vec![secret.brought.key.clone()],
                position: secret.brought.position,
            }],
            needed: 1,
        })
    });
    let backing = &found.backing;
    let approvals = (!backing.approvals.is_empty()).then(|| Ground {
        what: "an approval of its manifest".into(),
        by: backing.approvals.clone(),
        needed: backing.tally.needed.saturating_sub(1),
    });
    secrets.chain(approvals).collect()
}

/// Its secrets, as far as this box can read every one of them.
fn digests(manifest: &Manifest, secrets: &Secrets) -> Result<BTreeMap<String, Digest>, Refusal> {
    let named = manifest.secrets.iter().map(|(variable, name)| {
        let key = (manifest.workflow.clone(), name.clone());
        let opened = secrets.wanted.get(&key).cloned().unwrap_or_else(|| {
            let reason = format!("[secrets] {variable}: {name} cannot be read here");
            Err(Refusal::new(&rules::run::SECRET, reason))
        });
        Ok((variable.clone(), opened?.digest))
    });
    named.collect()
}

fn broken(problems: &[swarm_manifests::problem::Problem]) -> Refusal {
    let Some(first) = problems.first() else {
        return Refusal::new(&rules::file::SYNTAX, "the manifest could not be read");
    };
    let place = if first.line > 0 {
        format!("{}:{}:{}", first.file, first.line, first.column)
    } else {
        first.file.clone()
    };
    let more = if problems.len() > 1 {
        format!(" (and {} more)", problems.len() - 1)
    } else {
        String::new()
    };
    let mut refusal = Refusal::new(first.rule, format!("{place}: {}{more}", first.message));
    refusal.hint.clone_from(&first.hint);
    refusal
}

fn hold(found: &Found, state: State, refusal: Refusal) -> Held {
    let manifest = found.manifest.as_ref().ok();
    let brought = &found.brought;
    // A fetch under way breaks no rule.
    let rule = (state != State::Fetching).then(|| refusal.rule.id.to_string());
    let origin = origin(brought);
    let reason = match &origin.commit {
        Some(_) => format!(
            "{} (commit {} by {}, {})",
            refusal.reason,
            brought.commit.short(),
            brought.by,
            brought.path
        ),
        None => format!("{} ({})", refusal.reason, brought.path),
    };
    Held {
        standing: Standing {
            workflow: found.workflow.clone(),
            bundle: manifest.map(|manifest| manifest.bundle.to_string()),
            mode: manifest.map(|manifest| manifest.run.mode),
            by: origin.by.clone(),
            next: Next {
                version: manifest.map(|manifest| manifest.version.to_string()),
                commit: origin.commit.clone(),
                state,
                reason,
                rule,
            },
        },
        hint: refusal
            .hint
            .or_else(|| (state != State::Fetching).then(|| refusal.rule.remedy.to_string())),
        origin,
    }
}

/// The commit of what no commit brought: a plain folder, with `local`.
pub const NOWHERE: Oid = Oid([0; 20]);

fn origin(brought: &Brought) -> Origin {
    if brought.commit == NOWHERE {
        return Origin::default();
    }
    Origin {
        commit: Some(brought.commit.to_string()),
        position: Some(brought.position),
        by: Some(brought.by.to_string()),
        key: Some(brought.key.clone()),
        time: Some(brought.time.clone()),
    }
}

#[cfg(test)]
mod tests;
