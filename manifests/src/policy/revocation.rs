//! Revocation (SPEC §4 rule 8): what keys brought from some place of the trunk on counts as absent. Pure.
//!
//! `[[revoked]]` comes in with the positions of the commits that it names; for a key and a position the refusal goes out.

use super::{Moment, Policy};
use crate::{id::Oid, name::Name, problem::Refusal, rules::trunk::REVOKED};
use serde::{Deserialize, Serialize};
use ssh_key::HashAlg;
use std::collections::BTreeMap;

/// From which position on each revoked key counts for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    keys: BTreeMap<String, Revocation>,
}

/// Something that a workflow runs because of, besides its manifest and its bundle: it bears as long as enough of it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Ground {
    /// `the secret token`, `an approval of its manifest`
    pub what: String,
    pub by: Vec<Hand>,
    /// So many of `by` must count.
    pub needed: u32,
}

/// Whose hands something came through, and where it came to the trunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hand {
    /// Fingerprints: of the key that signed the commit, and of the one that made what it brought, where that is signed itself.
    pub keys: Vec<String>,
    /// Of the commit.
    pub position: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Revocation {
    from: u64,
    reason: Option<String>,
}

impl Revocations {
    /// Those of the policy. `position_of` finds a commit on the trunk; one that is not found there counts as its beginning, so that a
    /// box that was introduced later, to which everything is after it, comes to the same verdict.
    pub fn of<E>(
        policy: &Policy,
        mut position_of: impl FnMut(Oid) -> Result<Option<u64>, E>,
    ) -> Result<Self, E> {
        let mut keys = BTreeMap::<String, Revocation>::new();
        for revoked in &policy.revoked {
            let from = match revoked.from {
                Moment::Position(position) => position,
                Moment::Commit(id) => position_of(id)?.unwrap_or(0),
            };
            let known = keys.get(&revoked.key);
            if known.is_none_or(|known| from < known.from) {
                let reason = revoked.reason.clone();
                keys.insert(revoked.key.clone(), Revocation { from, reason });
            }
        }
        Ok(Self { keys })
    }

    /// Whether no key is revoked.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether what this key did at this position counts for nothing.
    pub fn strikes(&self, key: &str, position: u64) -> bool {
        self.keys
            .get(key)
            .is_some_and(|revocation| position >= revocation.from)
    }

    /// Why something does not bear any more: too few of those who brought it count.
    pub fn undermine(&self, ground: &Ground) -> Option<Refusal> {
        let struck = |hand: &&Hand| self.refuse_hand(&ground.what, hand).is_some();
        let left = ground.by.len() - ground.by.iter().filter(struck).count();
        if left >= usize::try_from(ground.needed).unwrap_or(usize::MAX) {
            return None;
        }
        let mut hands = ground.by.iter();
        hands.find_map(|hand| self.refuse_hand(&ground.what, hand))
    }

    /// The refusal of something that came through several hands, one of which is struck.
    pub fn refuse_hand(&self, what: &str, hand: &Hand) -> Option<Refusal> {
        let mut keys = hand.keys.iter();
        keys.find_map(|key| self.refuse(what, key, hand.position))
    }

    /// `the key SHA256:… is revoked from position 812 on (laptop stolen)`, where it is for this position.
    pub fn why(&self, key: &str, position: u64) -> Option<String> {
        let revocation = self.keys.get(key).filter(|known| position >= known.from)?;
        let reason = revocation.reason.as_deref();
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let from = revocation.from;
        Some(format!(
            "the key {key} is revoked from position {from} on{reason}"
        ))
    }

    /// The refusal of something (`its manifest`, `bundle ramp 1.2.0`) that this key brought at this position.
    pub fn refuse(&self, what: &str, key: &str, position: u64) -> Option<Refusal> {
        let why = self.why(key, position)?;
        Some(Refusal::new(
            &REVOKED,
            format!("{what} counts as absent: {why}, and it was brought at position {position}"),
        ))
    }
}

impl Policy {
    /// Whether the person has a key that counts at this position.
    pub fn can_sign(&self, person: &Name, revoked: &Revocations, position: u64) -> bool {
        let keys = self
            .people
            .get(person)
            .map_or(&[][..], |person| &person.keys);
        let mut prints = keys.iter().map(|key| key.fingerprint(HashAlg::Sha256));
        prints.any(|print| !revoked.strikes(&print.to_string(), position))
    }
}
