//! From a picture to what the supervisor is told: plan, tell, say what is held back, sweep the store.
//!
//! Touches nothing but the supervisor's socket and the keeper's small files.

use super::{Gone, Keeper, Order, deleted::Deleted, kept};
use crate::{
    link::Said,
    picture::Picture,
    plan::{self, Action},
    secrets::Open,
};
use std::{collections::BTreeSet, time::Instant};
use swarm_manifests::{
    id::{Digest, Oid},
    name::Name,
    rules,
    status::{Next, State},
};
use swarm_supervisor::protocol::{FromAgent, Origin, RunSpec, Standing};

impl Keeper {
    /// Tells the supervisor what the picture asks for. Without a trusted trunk nothing is asked for, and nothing removed.
    pub(super) async fn follow(&mut self, picture: &Picture) -> Result<(), Gone> {
        let Some(snapshot) = &picture.snapshot else {
            for event in self.told.trouble(picture) {
                self.tell(FromAgent::Journal(event)).await?;
            }
            self.mark_changed();
            return Ok(());
        };
        let have = self.have();
        let allowed = picture.allowed_after(self.followed);
        self.hand_over(picture).await?;
        let begun = Instant::now();
        let plan = plan::plan(&picture.resolved, &have, allowed);
        let took = begun.elapsed();
        self.out
            .timings
            .send_modify(|timings| timings.plan.add(took));
        self.held = plan.held;
        let mut remembered = false;
        for action in plan.actions {
            match action {
                Action::Remove { workflow, reason } => {
                    self.put.remove(&workflow);
                    let origin = Origin {
                        commit: Some(snapshot.head.to_string()),
                        position: Some(snapshot.position),
                        ..Origin::default()
                    };
                    self.tell(FromAgent::Remove {
                        workflow,
                        origin,
                        reason,
                    })
                    .await?;
                }
                Action::Put(spec) => {
                    remembered |= self.remember(&spec);
                    self.hand_over_for(&spec, picture).await?;
                    // The supervisor journals the deployment.
                    self.put.insert(spec.workflow.clone(), (*spec).clone());
                    self.tell(FromAgent::Put(spec)).await?;
                }
            }
        }
        // The messages go out before anything is written that a start need not wait for.
        tokio::task::yield_now().await;
        if remembered {
            kept::keep_previous(&self.own, &self.previous);
        }
        if self.held.is_none() && self.followed != snapshot.position {
            self.followed = snapshot.position;
            kept::keep_followed(&self.own, self.followed);
            let _ = self.out.orders.try_send(Order::Followed(self.followed));
        }
        self.stand(picture).await?;
        self.sweep(picture);
        self.mark_changed();
        Ok(())
    }

    /// Hands the supervisor the secrets of what is there already, once; it keeps them for as long as that is so.
    async fn hand_over(&mut self, picture: &Picture) -> Result<(), Gone> {
        let there = self.actual.iter().flat_map(|(workflow, actual)| {
            let digests = actual.footings.iter().flat_map(|footing| &footing.secrets);
            digests.map(|digest| (workflow.clone(), *digest))
        });
        let put = self.put.values().flat_map(|spec| {
            let digests = spec.secrets.values();
            digests.map(|digest| (spec.workflow.clone(), *digest))
        });
        let named: BTreeSet<(Name, Digest)> = there.chain(put).collect();
        for (workflow, open) in picture.secrets.open() {
            let key = (workflow.clone(), open.digest);
            if named.contains(&key) && self.handed.insert(key) {
                self.tell(secret(workflow, open)).await?;
            }
        }
        self.handed.retain(|key| named.contains(key));
        Ok(())
    }

    /// The same before something is put: the supervisor may have forgotten what nothing ran with for a while.
    async fn hand_over_for(&mut self, spec: &RunSpec, picture: &Picture) -> Result<(), Gone> {
        for (workflow, open) in picture.secrets.open() {
            if *workflow == spec.workflow && spec.secrets.values().any(|it| *it == open.digest) {
                self.handed.insert((workflow.clone(), open.digest));
                self.tell(secret(workflow, open)).await?;
            }
        }
        Ok(())
    }

    /// Says what is held back, once each time it changes; and has each new refusal journalled.
    async fn stand(&mut self, picture: &Picture) -> Result<(), Gone> {
        let mut standing: Vec<Standing> = picture
            .resolved
            .held()
            .map(|held| held.standing.clone())
            .collect();
        if let (Some(held), Some(snapshot)) = (&self.held, &picture.snapshot) {
            let head = (snapshot.head, snapshot.position);
            let mirror = self.own.join("mirror");
            self.deleted
                .look(&mirror, head, self.followed, &held.workflows);
            let removals = held
                .workflows
                .iter()
                .map(|workflow| removal(workflow, &held.reason, self.deleted.by(workflow)));
            standing.extend(removals);
        } else {
            self.deleted = Deleted::default();
        }
        let mut news = self.told.trouble(picture);
        news.extend(self.told.standing(&standing));
        if self.standing.as_ref() != Some(&standing) {
            self.standing = Some(standing.clone());
            self.tell(FromAgent::Standing(standing)).await?;
        }
        for event in news {
            self.tell(FromAgent::Journal(event)).await?;
        }
        self.mark_changed();
        Ok(())
    }

    /// Notes what a successor takes the place of. True: that is to be kept.
    fn remember(&mut self, spec: &RunSpec) -> bool {
        let rows = self.actual.get(&spec.workflow).map(|actual| &actual.rows);
        let running = rows.and_then(|rows| rows.first()?.digest.as_ref()?.parse().ok());
        let replaced = running.filter(|running| *running != spec.digest);
        if let Some(replaced) = replaced {
            self.previous.insert(spec.workflow.clone(), replaced);
        }
        replaced.is_some()
    }

    /// Has bundles removed that neither run nor are wanted, once nothing is on its way.
    fn sweep(&self, picture: &Picture) {
        let Some(wanted) = picture.bundles() else {
            return;
        };
        let rows = self
            .actual
            .values()
            .flat_map(|actual| &actual.rows)
            .filter_map(|row| row.digest.as_ref()?.parse().ok());
        let put = self.put.values();
        let put = put.flat_map(|spec| spec.secrets.values().copied().chain([spec.digest]));
        let known = self.actual.values().flat_map(|actual| &actual.footings);
        let needed = rows
            .chain(wanted)
            .chain(put)
            .chain(
                known.flat_map(|footing| footing.secrets.iter().copied().chain([footing.digest])),
            )
            .chain(self.previous.values().copied());
        let _ = self.out.orders.try_send(Order::Collect(needed.collect()));
    }
}

fn secret(workflow: &Name, open: &Open) -> Said {
    let message = FromAgent::Secret {
        workflow: workflow.clone(),
        digest: open.digest,
    };
    Said::with(message, open.memory.clone())
}

fn removal(workflow: &Name, reason: &str, commit: Option<Oid>) -> Standing {
    let rule = Some(rules::trunk::MASS_REMOVAL.id.to_string());
    let next = Next {
        version: None,
        commit: commit.map(|commit| commit.to_string()),
        state: State::Waiting,
        reason: reason.into(),
        rule,
    };
    Standing {
        workflow: workflow.clone(),
        bundle: None,
        mode: None,
        by: None,
        next,
    }
}
