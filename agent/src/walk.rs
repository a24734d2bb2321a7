//! The walk, from a nudge to a picture of what should run: look, fetch, verify, resolve, store. One at a time, in this order.
//!
//! Touches everything through its rooms; owns the trust, the mirror, the store. Hands on whole pictures, and never waits for who
//! plans. Whatever fails leaves the picture before standing.

mod floor;
mod gaps;
mod show;
mod tidying;
mod trial;
mod trusting;

use gaps::Halt;
use show::{Weighed, draw, send};
pub use trial::Trial;

use crate::{
    allowance,
    bundles::{self, Shelf},
    facts::{self, Here, Probed},
    fetch::Fetch,
    lookout::{Errand, Rhythm, Seen},
    metrics::Timings,
    picture::{Contact, Picture, trouble},
    report::Heard,
    resolve::{BundleKey, Offer},
    secrets::Opener,
    settings::Config,
    store::Store,
    trigger::Nudges,
    trust,
};
use anyhow::Context;
use std::{collections::BTreeMap, rc::Rc};
use swarm_manifests::{
    id::{Digest, Oid},
    problem::Refusal,
    report::Event,
    rules::remote,
    witness::Witness,
};
use swarm_repository::{
    objects::{ObjectError, Objects},
    snapshot::Snapshot,
    trusted::Trusted,
    verifier::Verifier,
};
use swarm_wire::pace::Outcome;
use tokio::sync::{mpsc, watch};

/// Where the walk hands on what it knows.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Outlets {
    pub picture: watch::Sender<Rc<Picture>>,
    pub contact: watch::Sender<Contact>,
    /// For the journal: moves of the trust.
    pub events: mpsc::Sender<Event>,
    pub timings: watch::Sender<Timings>,
}

/// The walker, with everything that only it may touch.
pub struct Walk {
    config: Rc<Config>,
    here: Rc<Here>,
    probed: Probed,
    fetch: Option<Fetch>,
    objects: Objects,
    verifier: Verifier,
    trusted: Option<Trusted>,
    /// What was found to mean this box.
    chosen: Option<Weighed>,
    store: Store,
    opener: Opener,
    /// The head that was judged last: it is not judged again at each poll.
    judged: Option<Oid>,
    /// Trailers of commits up to this position were followed by an earlier agent.
    followed: u64,
    /// What was needed and could not be had.
    pending: Option<Refusal>,
    /// What the map bore witness of, for a box that trusts nothing yet.
    heard: watch::Receiver<Heard>,
    floor: Option<Rc<Witness>>,
    out: Outlets,
}

impl Walk {
    /// Opens mirror, store and trust. Nothing is asked of the network yet.
    pub async fn begin(
        config: Rc<Config>,
        followed: u64,
        heard: watch::Receiver<Heard>,
        out: Outlets,
    ) -> anyhow::Result<Self> {
        let own = config.own();
        trust::own_folder(&own).with_context(|| format!("cannot make {}", own.display()))?;
        let store = Store::open(&config.store())?;
        let objects =
            Objects::open(&own.join("mirror"), true).context("the mirror cannot be opened")?;
        let mut probed = Probed::load(&own.join("engines.json"));
        let here = Rc::new(facts::look(&config, &mut probed).await);
        let mut walk = Self {
            here,
            probed,
            fetch: Fetch::new(&config)?,
            objects,
            verifier: Verifier::new(),
            trusted: None,
            chosen: None,
            store,
            opener: Opener::new(&own),
            judged: None,
            followed,
            pending: None,
            heard,
            floor: None,
            out,
            config,
        };
        walk.keep_probes();
        walk.recall();
        Ok(walk)
    }

    fn keep_probes(&self) {
        if let Err(error) = self.probed.save(&self.config.own().join("engines.json")) {
            tracing::warn!(%error, "cannot keep what the engines' probes said");
        }
    }

    /// Reads a new configuration: what can change without a restart counts from here on.
    pub async fn reload(&mut self, config: Rc<Config>) -> anyhow::Result<()> {
        let other_remote = config.settings.repository != self.config.settings.repository;
        let other_trust = config.settings.trust != self.config.settings.trust;
        self.here = Rc::new(facts::look(&config, &mut self.probed).await);
        self.keep_probes();
        if other_remote {
            // What is still on its way to the disk would go with the quarantine.
            if let Some(fetch) = &mut self.fetch
                && let Err(refusal) = fetch.settle().await
            {
                tracing::warn!(%refusal, "before a reload");
            }
            self.fetch = Fetch::new(&config)?;
        }
        self.config = config;
        self.judged = None;
        if other_trust {
            self.recall();
        } else if let Err(refusal) = self.see_and_survey() {
            tracing::warn!(%refusal, "after a reload");
        }
        Ok(())
    }

    /// One walk, which begins with a look unless that was `seen` a moment ago.
    pub async fn walk(&mut self, nudges: &Nudges, seen: Option<Seen>) -> Outcome {
        let outcome = match self.look_and_follow(nudges, seen).await {
            Ok(moved) => {
                if moved {
                    Outcome::Moved
                } else {
                    Outcome::Same
                }
            }
            Err(refusal) => {
                tracing::warn!(
                    rule = refusal.rule.id,
                    reason = refusal.reason,
                    "the walk stopped"
                );
                self.failed(&refusal);
                Outcome::Failed
            }
        };
        if let Some(fetch) = &mut self.fetch {
            fetch.rest();
        }
        self.out.contact.send_modify(|contact| {
            contact.served = nudges.all;
            contact.is_busy = false;
            contact.failures = if outcome == Outcome::Failed {
                contact.failures.saturating_add(1)
            } else {
                0
            };
        });
        outcome
    }

    async fn look_and_follow(
        &mut self,
        nudges: &Nudges,
        seen: Option<Seen>,
    ) -> Result<bool, Refusal> {
        // A poll mostly finds nothing; who nudges knows of something.
        let is_nudged = nudges.all != self.out.contact.borrow().served;
        let pushed = self.pushed(nudges).filter(|_| is_nudged);
        let have = self.have();
        let Some(fetch) = &mut self.fetch else {
            return Ok(false);
        };
        let head = match (seen.filter(|_| !is_nudged), pushed) {
            (Some(seen), _) => seen?,
            (None, Some(pushed)) => fetch.look_ahead(pushed, &have).await?,
            (None, None) => fetch.look(is_nudged).await?,
        };
        self.out.contact.send_modify(|contact| {
            contact.head = Some(head);
            contact.at = Some(jiff::Timestamp::now());
            contact.failure = None;
            if contact.url.as_deref() != Some(fetch.shown_url()) {
                contact.url = Some(fetch.shown_url().into());
            }
        });
        if self.judged == Some(head) && self.pending.is_none() {
            self.recovered();
            return Ok(false);
        }
        self.out
            .contact
            .send_modify(|contact| contact.is_busy = true);
        let moved = self.judged != Some(head);
        let stopped = self.follow(head).await?;
        self.judged = Some(head);
        self.gather(stopped).await?;
        Ok(moved)
    }

    /// The remote for a lookout, with what it should know of; none: there is no remote.
    pub fn lend(&mut self, rhythm: &Rhythm) -> Option<Errand> {
        let is_settled = self.pending.is_none() && self.out.contact.borrow().failure.is_none();
        Some(Errand {
            fetch: self.fetch.take()?,
            known: self.judged.filter(|_| is_settled),
            rhythm: rhythm.clone(),
            contact: self.out.contact.clone(),
        })
    }

    /// The remote is back.
    pub fn take_back(&mut self, fetch: Fetch) {
        self.fetch = Some(fetch);
    }

    /// What is said to be new of our branch, and is worth fetching ahead.
    fn pushed(&self, nudges: &Nudges) -> Option<Oid> {
        let repository = self.config.settings.repository.as_ref()?;
        let pushed = nudges.pushed.as_ref()?;
        let is_ours = *pushed.branch == *repository.branch && self.trusted.is_some();
        (is_ours && !self.objects.has(pushed.head)).then_some(pushed.head)
    }

    /// The heads that the mirror has.
    fn have(&self) -> Vec<Oid> {
        let trusted = self.trusted.iter().map(|trusted| trusted.head);
        let known = trusted.chain(self.judged);
        known.filter(|id| self.objects.has(*id)).collect()
    }

    async fn fetch_history(&mut self, head: Oid) -> Result<(), Refusal> {
        if self.objects.has(head) {
            return Ok(());
        }
        let have = self.have();
        let Some(fetch) = &mut self.fetch else {
            return Ok(());
        };
        fetch.history(head, &have).await?;
        if self.objects.has(head) {
            return Ok(());
        }
        Err(Refusal::new(
            &remote::PACK,
            format!("the remote did not send commit {}", head.short()),
        ))
    }

    /// Looks at the bundles, fetches what is missing, shows each step.
    async fn gather(&mut self, stopped: Option<(Refusal, Oid)>) -> Result<(), Refusal> {
        let stopped = stopped.map(|(refusal, commit)| trouble(&refusal, Some(commit)));
        let Some(trusted) = self.trusted.clone() else {
            self.show(stopped);
            return Ok(());
        };
        let snapshot = self.whole_snapshot(&trusted).await?;
        let chosen = self.chosen(&snapshot);
        let secrets = self.secrets(&snapshot, &chosen);
        let Some(fetch) = &mut self.fetch else {
            return Ok(());
        };
        let trusted = &trusted;
        let needed = chosen.bundles();
        let allowances = allowances(&self.objects, &snapshot, self.followed);
        let mut stock = Shelf {
            objects: &self.objects,
            verifier: &mut self.verifier,
            trusted,
            policy: &snapshot.policy,
            void: &snapshot.void,
            store: &self.store,
        };
        let (here, out) = (&self.here, &self.out);
        let show = |offers: &BTreeMap<BundleKey, Offer>| {
            send(
                out,
                Picture {
                    trouble: stopped.clone(),
                    ..draw(
                        here,
                        (&snapshot, &chosen),
                        trusted,
                        (offers.clone(), &secrets),
                        &allowances,
                    )
                },
            );
        };
        let (offers, failure) = bundles::gather(&mut stock, &needed, fetch, show).await;
        let blocked = offers.values().find_map(|offer| match offer {
            Offer::Blocked(refusal) => Some(refusal.clone()),
            _ => None,
        });
        self.pending = failure.clone().or(blocked);
        failure.map_or(Ok(()), Err)
    }

    /// The snapshot and the bundles as far as they are here, without the network.
    fn see_and_survey(&mut self) -> Result<(), Refusal> {
        let Some(trusted) = self.trusted.clone() else {
            self.show(None);
            return Ok(());
        };
        let snapshot = self.snapshot(&trusted)?;
        let chosen = self.chosen(&snapshot);
        let secrets = self.secrets(&snapshot, &chosen);
        let trusted = &trusted;
        let mut stock = Shelf {
            objects: &self.objects,
            verifier: &mut self.verifier,
            trusted,
            policy: &snapshot.policy,
            void: &snapshot.void,
            store: &self.store,
        };
        let (offers, _) = bundles::survey(&mut stock, &chosen.bundles());
        let before = self.out.picture.borrow().trouble.clone();
        send(
            &self.out,
            Picture {
                trouble: before,
                ..draw(
                    &self.here,
                    (&snapshot, &chosen),
                    trusted,
                    (offers, &secrets),
                    &allowances(&self.objects, &snapshot, self.followed),
                )
            },
        );
        Ok(())
    }

    fn snapshot(&mut self, at: &Trusted) -> Result<Rc<Snapshot>, Halt> {
        Ok(Rc::new(self.verifier.snapshot(&self.objects, at)?))
    }

    /// A stored bundle was found changed: away with it, so that the next walk stores it anew.
    pub fn distrust(&mut self, digest: Digest) {
        tracing::warn!(%digest, "a stored bundle was changed: it is stored anew");
        self.store.discard(digest);
        self.judged = None;
    }

    /// The keeper has followed the trunk up to here: earlier trailers do not count any more.
    pub fn followed(&mut self, position: u64) {
        self.followed = position;
    }
}

fn unreadable(error: &ObjectError) -> Refusal {
    Refusal::new(&remote::PACK, format!("the mirror cannot be read: {error}"))
        .hint("it is fetched again by itself; what runs goes on")
}

fn allowances(objects: &Objects, snapshot: &Snapshot, followed: u64) -> Rc<Vec<(u64, u32)>> {
    Rc::new(allowance::read(
        objects,
        snapshot.head,
        snapshot.position,
        followed,
    ))
}
