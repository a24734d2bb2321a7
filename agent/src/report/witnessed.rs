//! What the map bears witness of, held against what this box trusts: its remote lags behind, or the trunk was forked.
//!
//! Taken only where `[map] key` signed it for this repository; the highest position is kept, for a box that loses its trust.
//! It makes the box look, and say what it found; nothing is stopped or started for it. Touches one file and reads the mirror.

use crate::{
    picture::{Contact, Picture, trouble},
    settings::Config,
    trust,
};
use std::{path::PathBuf, rc::Rc};
use swarm_manifests::{
    id::Oid,
    problem::Refusal,
    report::Trouble,
    rules::remote::{FORKED, STALE, WITNESS},
    witness::{Witness, WitnessError},
};
use swarm_repository::{history, objects::Objects};
use tokio::sync::watch;

/// The largest file of a kept witness, in bytes.
const MAX_FILE: usize = 64 << 10;
/// The remote lags behind where it answered so often since the map said that there is more: the first answer may have been
/// under way.
const LOOKS: u32 = 2;
/// So far back a commit at a position is looked for.
const MAX_BACK: u64 = 100_000;

/// For a box that trusts nothing yet.
#[derive(Debug, Clone, Default)]
pub enum Heard {
    /// The map was not asked yet.
    #[default]
    Waiting,
    /// The highest position that it bore witness of, ever; or there is none, or it cannot be asked.
    Known(Option<Rc<Witness>>),
}

/// What the map said, and what it means.
pub(super) struct Witnessed {
    config: Rc<Config>,
    file: PathBuf,
    /// The highest.
    kept: Option<Rc<Witness>>,
    /// What the map says now, and how often the remote answered since.
    last: Option<(Witness, u32)>,
    refused: Option<Refusal>,
    looked: Option<jiff::Timestamp>,
    standing: Option<Trouble>,
    out: watch::Sender<Heard>,
}

impl Witnessed {
    /// Reads what was kept. Nothing is waited for where no key is pinned.
    pub(super) fn open(config: Rc<Config>, out: watch::Sender<Heard>) -> Self {
        let mut witnessed = Self {
            file: config.own().join("witness.json"),
            config,
            kept: None,
            last: None,
            refused: None,
            looked: None,
            standing: None,
            out,
        };
        if let Some(key) = witnessed.key() {
            let text = std::fs::read(&witnessed.file).unwrap_or_default();
            let kept: Option<Witness> = serde_json::from_slice(&text[..text.len().min(MAX_FILE)])
                .ok()
                .filter(|kept: &Witness| kept.check(key).is_ok());
            witnessed.kept = kept.map(Rc::new);
        } else {
            witnessed.settle();
        }
        witnessed
    }

    /// Another configuration: what was said under another key counts no more.
    pub(super) fn reload(&mut self, config: Rc<Config>) {
        *self = Self::open(config, self.out.clone());
    }

    fn key(&self) -> Option<&ssh_key::PublicKey> {
        self.config.settings.map.as_ref()?.key.as_ref()
    }

    /// Whether there is a key to take anything by.
    pub(super) fn listens(&self) -> bool {
        self.key().is_some()
    }

    /// Nobody need wait for the map any longer.
    pub(super) fn settle(&self) {
        self.out.send_replace(Heard::Known(self.kept.clone()));
    }

    /// What stands in status and report.
    pub(super) fn standing(&self) -> Option<Trouble> {
        self.standing.clone()
    }

    /// Takes what the map says. True: it saw more than this box trusts, which is a reason to look.
    pub(super) fn hear(&mut self, told: Option<Witness>, picture: &Picture) -> bool {
        let (Some(key), Some(witness)) = (self.key(), told) else {
            self.settle();
            return false;
        };
        let id = picture.snapshot.as_ref().map(|now| &now.policy.repository);
        let verdict = witness
            .check(key)
            .and_then(|()| id.map_or(Ok(()), |id| witness.check_repository(id)));
        self.refused = verdict.err().map(|error| not_taken(&error));
        if self.refused.is_some() {
            self.settle();
            return false;
        }
        let said = |other: &Witness| (other.position, other.commit);
        let is_new = self
            .last
            .as_ref()
            .is_none_or(|(last, _)| said(last) != said(&witness));
        if is_new {
            self.keep(&witness);
            let trusted = picture.trusted().map_or(0, |(_, position)| position);
            let is_ahead = witness.position > trusted;
            self.last = Some((witness, 0));
            self.settle();
            return is_ahead;
        }
        self.settle();
        false
    }

    fn keep(&mut self, witness: &Witness) {
        let is_higher = self
            .kept
            .as_ref()
            .is_none_or(|kept| kept.position < witness.position);
        if !is_higher {
            return;
        }
        let saved = serde_json::to_vec(witness)
            .map_err(Into::into)
            .and_then(|text| trust::replace(&self.file, &text));
        if let Err(error) = saved {
            tracing::warn!(%error, "the map's witness could not be kept");
        }
        self.kept = Some(Rc::new(witness.clone()));
    }

    /// Holds it against the box anew. True: something else stands than before.
    pub(super) fn weigh(&mut self, picture: &Picture, contact: &Contact) -> bool {
        if contact.at != self.looked && contact.failure.is_none() {
            self.looked = contact.at;
            if let Some((_, looks)) = &mut self.last {
                *looks = looks.saturating_add(1);
            }
        }
        let found = self.refused.clone().or_else(|| {
            let (witness, looks) = self.last.as_ref()?;
            let trusted = picture.trusted()?;
            verdict(witness, trusted, *looks, |position| {
                self.commit_at(trusted, position)
            })
        });
        let commit = self.last.as_ref().map(|(witness, _)| witness.commit);
        let standing = found.map(|refusal| trouble(&refusal, commit));
        let is_new = standing != self.standing;
        if let (true, Some(trouble)) = (is_new, &standing) {
            tracing::warn!(
                rule = trouble.rule,
                reason = trouble.reason,
                "the map's witness"
            );
        }
        self.standing = standing;
        is_new
    }

    /// What this box trusts at an earlier position.
    fn commit_at(&self, (head, top): (Oid, u64), position: u64) -> Option<Oid> {
        let steps = top
            .checked_sub(position)
            .filter(|steps| *steps <= MAX_BACK)?;
        let Some(steps) = usize::try_from(steps).ok().filter(|steps| *steps > 0) else {
            return Some(head);
        };
        let objects = Objects::open(&self.config.own().join("mirror"), false).ok()?;
        let behind = history::behind(&objects, head, steps).ok()?;
        behind.get(steps - 1).copied()
    }
}

fn not_taken(error: &WitnessError) -> Refusal {
    Refusal::new(
        &WITNESS,
        format!("what the map says of the trunk is not taken: {error}"),
    )
}

/// What a witness means for a box that trusts this commit at this position. Pure.
fn verdict(
    witness: &Witness,
    (head, position): (Oid, u64),
    looks: u32,
    commit_at: impl FnOnce(u64) -> Option<Oid>,
) -> Option<Refusal> {
    if witness.position > position {
        let reason = format!(
            "stale: the map saw {} at position {} ({}), this box's remote has {} at position {position}",
            witness.commit.short(),
            witness.position,
            witness.time,
            head.short()
        );
        return (looks >= LOOKS).then(|| Refusal::new(&STALE, reason));
    }
    let ours = commit_at(witness.position)?;
    (ours != witness.commit).then(|| {
        let reason = format!(
            "forked: at position {} of the trunk this box trusts {}, and the map {}",
            witness.position,
            ours.short(),
            witness.commit.short()
        );
        Refusal::new(&FORKED, reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness(position: u64, commit: u8) -> Witness {
        Witness {
            repository: "id".into(),
            position,
            commit: Oid([commit; 20]),
            time: "2026-01-01T00:00:00Z".into(),
            signature: String::new(),
        }
    }

    fn rule(witness: &Witness, position: u64, looks: u32) -> Option<&'static str> {
        // Ours: at each position the commit of that number.
        let ours = |at: u64| Oid([u8::try_from(at).expect("small"); 20]);
        let refusal = verdict(witness, (ours(position), position), looks, |at| {
            Some(ours(at))
        });
        refusal.map(|refusal| refusal.rule.id)
    }

    #[test]
    fn later_is_stale_once_the_remote_had_its_say_other_is_forked_the_same_is_well() {
        assert_eq!(rule(&witness(5, 5), 5, 9), None);
        assert_eq!(rule(&witness(3, 3), 5, 9), None);
        assert_eq!(rule(&witness(7, 7), 5, 0), None);
        assert_eq!(rule(&witness(7, 7), 5, LOOKS), Some("S-MAP-04"));
        assert_eq!(rule(&witness(5, 6), 5, 0), Some("S-MAP-05"));
        assert_eq!(rule(&witness(3, 6), 5, 0), Some("S-MAP-05"));
    }
}
