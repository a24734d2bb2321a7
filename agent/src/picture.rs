//! What the walk knows, for whoever plans, answers and reports: whole values, replaced as a whole. Pure.

use crate::{
    facts::Here,
    resolve::{BundleKey, Offer, Resolved, Wanted},
    secrets::Secrets,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};
use swarm_manifests::{
    id::{Digest, Oid},
    problem::Refusal,
    report::Trouble,
};
use swarm_repository::snapshot::Snapshot;

/// The box's view of the trunk.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Picture {
    pub here: Rc<Here>,
    /// None: nothing is trusted yet. Then nothing is removed either.
    pub snapshot: Option<Rc<Snapshot>>,
    pub introduction: Option<Oid>,
    pub offers: Rc<BTreeMap<BundleKey, Offer>>,
    /// Decrypted: what the supervisor is handed before it starts what needs them.
    pub secrets: Rc<Secrets>,
    pub resolved: Rc<Resolved>,
    /// `Allow-mass-removal: N` of recent trunk commits, by position.
    pub allowances: Rc<Vec<(u64, u32)>>,
    /// Why the trunk does not move.
    pub trouble: Option<Trouble>,
    /// What a person should know of configuration and surroundings.
    pub warnings: Vec<String>,
}

impl Picture {
    /// The trusted commit and its position.
    pub fn trusted(&self) -> Option<(Oid, u64)> {
        self.snapshot
            .as_ref()
            .map(|snapshot| (snapshot.head, snapshot.position))
    }

    /// How many workflows may be removed at once after this position: the largest number that a trunk commit since then allows.
    pub fn allowed_after(&self, followed: u64) -> u32 {
        let later = self.allowances.iter().filter(|(at, _)| *at > followed);
        later.map(|(_, number)| *number).max().unwrap_or(0)
    }

    /// What of the store is to stay, where somebody needs `needed`, who may have seen an older picture than this one: that and
    /// what is to run. None while something is held back.
    pub fn stays(&self, mut needed: BTreeSet<Digest>) -> Option<BTreeSet<Digest>> {
        needed.extend(self.bundles()?);
        Some(needed)
    }

    /// The bundles that are to run. None while something is held back: what it waits for may be stored already.
    pub fn bundles(&self) -> Option<BTreeSet<Digest>> {
        let wanted = self.resolved.wanted.values();
        wanted
            .map(|wanted| match wanted {
                Wanted::Run(spec) => Some(spec.digest),
                Wanted::Held(_) => None,
            })
            .collect()
    }
}

/// How it stands with the remote; changes at each look, and wakes nobody.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Contact {
    /// So many nudges are answered by what the picture shows.
    pub served: u64,
    pub url: Option<String>,
    /// Where the branch was, when it was seen last.
    pub head: Option<Oid>,
    /// When that was.
    pub at: Option<jiff::Timestamp>,
    /// Why the last look, or what it led to, failed.
    pub failure: Option<Refusal>,
    /// How often in a row.
    pub failures: u32,
    /// Whether bundles are still on their way.
    pub is_busy: bool,
}

/// A refusal as the trouble of the box.
pub fn trouble(refusal: &Refusal, commit: Option<Oid>) -> Trouble {
    Trouble {
        rule: refusal.rule.id.into(),
        reason: refusal.reason.clone(),
        hint: Some(
            refusal
                .hint
                .clone()
                .unwrap_or_else(|| refusal.rule.remedy.into()),
        ),
        commit: commit.map(|commit| commit.to_string()),
    }
}
