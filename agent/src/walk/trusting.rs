//! The walk's trust: taken up where an earlier agent left it, moved as far as the trunk verifies, saved before anything follows.
//!
//! Touches mirror and trust file.

use super::{Walk, gaps::Halt};
use crate::picture::trouble;
use swarm_manifests::{id::Oid, problem::Refusal, report::Event};
use swarm_repository::{
    trunk::Advance,
    trust_file::{self, Loaded},
    trusted::Trusted,
};

/// How far a head verifies.
pub(super) struct Judged {
    /// As far as it is good; none: not even the introduction is.
    pub to: Option<Trusted>,
    /// What stopped it, and the commit.
    pub stopped: Option<(Refusal, Oid)>,
}

impl Judged {
    fn refused(why: Refusal, commit: Oid) -> Self {
        Self {
            to: None,
            stopped: Some((why, commit)),
        }
    }
}

impl Walk {
    /// Fetches what is new up to `head` and moves the trust as far as it verifies, saved before anything follows from it. Gives
    /// what stopped it.
    pub(super) async fn follow(&mut self, head: Oid) -> Result<Option<(Refusal, Oid)>, Refusal> {
        let Some(judged) = self.judged(head).await? else {
            return Ok(None);
        };
        if let Some(to) = judged.to {
            let before = self.trusted.as_ref();
            if before.is_none_or(|before| {
                before.head != to.head || before.introduction != to.introduction
            }) {
                if let Some(fetch) = &mut self.fetch {
                    fetch.settle().await?;
                }
                self.save(&to)?;
            }
            self.trusted = Some(to);
        }
        Ok(judged.stopped)
    }

    /// How far this head verifies, by what is here. None: nobody told this box what to trust.
    pub(super) fn judge(&mut self, head: Oid) -> Result<Option<Judged>, Halt> {
        let Some(trust) = self.config.settings.trust.clone() else {
            return Ok(None);
        };
        let from = match self.trusted.clone() {
            Some(trusted) => trusted,
            None => match self.verifier.introduce(&self.objects, &trust)? {
                Ok(trusted) => match self.below_floor(&trusted, head)? {
                    Some(refusal) => return Ok(Some(Judged::refused(refusal, head))),
                    None => trusted,
                },
                Err(refusal) => {
                    return Ok(Some(Judged::refused(refusal, trust.introduction)));
                }
            },
        };
        let (to, stopped) = match self.verifier.advance(&self.objects, &from, head)? {
            Advance::Moved(to) => (to, None),
            Advance::Same => (from, None),
            Advance::Stopped {
                at,
                commit,
                refusal,
            } => (at, Some((refusal, commit))),
            Advance::Astray(refusal) => (from, Some((refusal, head))),
        };
        Ok(Some(Judged {
            to: Some(to),
            stopped,
        }))
    }

    pub(super) fn save(&mut self, to: &Trusted) -> Result<(), Refusal> {
        let own = self.config.own();
        trust_file::note(&own, self.trusted.as_ref(), to).map_err(|error| {
            Refusal::new(
                &swarm_manifests::rules::run::DISK,
                format!(
                    "cannot save the trust in {}: {error}; nothing changes until it can be saved",
                    own.display()
                ),
            )
        })?;
        let before = self.trusted.as_ref().map_or_else(
            || "[trust]".to_string(),
            |before| format!("{} (position {})", before.head.short(), before.position),
        );
        tracing::info!(head = %to.head.short(), position = to.position, "the trust moved");
        self.tell(Event {
            commit: Some(to.head.to_string()),
            reason: Some(format!(
                "the trusted trunk moved from {before} to {} (position {})",
                to.head.short(),
                to.position
            )),
            ..Event::new("trust")
        });
        Ok(())
    }

    /// Takes up the trust where an earlier agent left it, and shows what follows from it, without the network.
    pub(super) fn recall(&mut self) {
        let Some(trust) = self.config.settings.trust.clone() else {
            return self.show(None);
        };
        self.trusted = None;
        match trust_file::load(&self.config.own(), &trust) {
            Loaded::Kept(trusted) => self.trusted = Some(*trusted),
            Loaded::New => {}
            Loaded::Reintroduced(old) => {
                let reason = format!(
                    "[trust] was changed: introduction {} instead of {}; what runs goes on until the new trunk verifies",
                    trust.introduction.short(),
                    old.introduction.short()
                );
                self.tell(Event {
                    reason: Some(reason),
                    commit: Some(trust.introduction.to_string()),
                    ..Event::new("trust")
                });
            }
            Loaded::Lost(refusal) => self.tell(Event {
                reason: Some(refusal.reason),
                rule: Some(refusal.rule.id.into()),
                ..Event::new("trust")
            }),
        }
        if let Err(refusal) = self.see_and_survey() {
            self.show(Some(trouble(&refusal, None)));
        }
    }
}
