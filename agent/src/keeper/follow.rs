//! From a picture to what the supervisor is told: plan, tell, say what is held back, sweep the store.
//!
//! Touches nothing but the supervisor's socket and the keeper's small files.

use super::{Gone, Keeper, Order, deleted::Deleted, kept};
use crate::{
    link::Said,
    picture::Picture,
    plan::{self, Action},
    resolve::Wanted,
};
use std::time::Instant;
use swarm_manifests::{
    id::Oid,
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

    /// Hands the supervisor every secret that something is to run with, once: what is wanted, and what is there already and goes on
    /// while its successor is held back.
    async fn hand_over(&mut self, picture: &Picture) -> Result<(), Gone> {
        for ((workflow, _), open) in picture.secrets.iter() {
            let Ok(open) = open else {
                continue;
            };
            let is_named = match picture.resolved.wanted.get(workflow) {
                Some(Wanted::Run(spec)) => spec.secrets.values().any(|it| *it == open.digest),
                _ => false,
            };
            let key = (workflow.clone(), open.digest);
            if (is_named || self.actual.contains_key(workflow)) && self.handed.insert(key) {
                let message = FromAgent::Secret {
                    workflow: workflow.clone(),
                    digest: open.digest,
                };
                self.tell(Said::with(message, open.memory.clone())).await?;
            }
        }
        // What is not needed any more may come back, and the supervisor need not have kept it.
        self.handed.retain(|(workflow, digest)| {
            let secrets = picture.secrets.iter();
            let mut of_it = secrets.filter(|((name, _), _)| name == workflow);
            of_it.any(|(_, open)| open.as_ref().is_ok_and(|open| open.digest == *digest))
        });
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
        let put = self.put.values().map(|spec| spec.digest);
        let known = self.actual.values().flat_map(|actual| &actual.footings);
        let needed = rows
            .chain(wanted)
            .chain(put)
            .chain(known.map(|footing| footing.digest))
            .chain(self.previous.values().copied());
        let _ = self.out.orders.try_send(Order::Collect(needed.collect()));
    }
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
