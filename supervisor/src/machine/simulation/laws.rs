//! What holds after each step.

use super::World;
use crate::machine::{
    Effect, Ended, Event, Phase, Preparation, State, Sync, Version, instance_deadline,
};
use crate::protocol::RunSpec;
use std::collections::BTreeSet;
use swarm_manifests::{id::Digest, manifest::Mode};

impl World {
    pub(super) fn check(
        &mut self,
        before: &State,
        event: &Event,
        after: &State,
        effects: &[Effect],
    ) {
        self.count_runs(before, event, after);
        self.a_kill_stays(event, after);
        self.a_kill_is_lifted_by_orders_only(before, event, after);
        self.what_was_over_comes_back_so(before, event, after, effects);
        self.records_come_first(effects);
        self.the_end_is_left_by_orders_only(before, event, after);
        self.everything_leads_somewhere(event, after);
        self.good_versions_stay(before, after);
        self.what_gave_way_is_held(before, event, after, effects);
        self.a_schedule_is_kept(before, event, after, effects);
    }

    fn count_runs(&mut self, before: &State, event: &Event, after: &State) {
        let lifted = matches!(event, Event::Start(_) | Event::Restart(_) | Event::Due);
        let took_over = before.instances.is_empty()
            || revision(before.current.as_ref()) != revision(after.current.as_ref())
            || (before.successor.is_some() && after.successor.is_none());
        // What is put again while it leaves begins anew.
        let leaves = before.instances.iter().any(|one| one.phase.is_leaving());
        let again = |spec: &RunSpec| {
            before.leaving || (leaves && Some(spec.revision) == revision(before.current.as_ref()))
        };
        let comes_again =
            matches!(event, Event::Put(spec) | Event::Forbidden(spec, _) if again(spec));
        if lifted || took_over || comes_again || after.instances.is_empty() {
            self.ran.clear();
        }
    }

    fn a_kill_stays(&self, event: &Event, after: &State) {
        let started = after.instances.iter().any(|i| {
            matches!(
                i.phase,
                Phase::Alive(_) | Phase::Starting | Phase::Born(_) | Phase::Backoff { .. }
            )
        });
        assert!(
            !(after.killed && started),
            "seed {}: killed, and {:?} after {event:?}",
            self.seed,
            after.instances
        );
    }

    /// Of people, or by a new revision; one that holds by people only. A removal in between changes nothing about that.
    fn a_kill_is_lifted_by_orders_only(&mut self, before: &State, event: &Event, after: &State) {
        let by_hand = matches!(event, Event::Start(_) | Event::Restart(_));
        let is_new = matches!(event, Event::Put(spec) if Some(spec.revision) != self.last);
        assert!(
            after.killed || !before.killed || by_hand || (is_new && !before.held),
            "seed {}: a kill was lifted by {event:?}",
            self.seed
        );
        assert!(
            after.held || !before.held || by_hand,
            "seed {}: a hold was lifted by {event:?}",
            self.seed
        );
        self.last = revision(after.current.as_ref()).or(self.last);
    }

    /// A removal re-runs nothing: until somebody says so, another revision comes, or its schedule does.
    fn what_was_over_comes_back_so(
        &mut self,
        before: &State,
        event: &Event,
        after: &State,
        effects: &[Effect],
    ) {
        match event {
            Event::Start(_) | Event::Restart(_) | Event::Due => self.over = None,
            Event::Put(spec) | Event::Forbidden(spec, _) => {
                self.over.take_if(|over| over.0 != spec.revision);
            }
            _ => {}
        }
        for effect in effects {
            match (effect, &self.over) {
                (Effect::Spawn { instance, .. }, Some((revision, over))) => assert!(
                    Some(*revision) != self.last || !over.contains(instance),
                    "seed {}: instance {instance} was over and runs again after {event:?}",
                    self.seed
                ),
                (Effect::Forget, _) => {
                    let ended = before.instances.iter().filter(|one| match one.phase {
                        Phase::Ended(ended) => !matches!(ended, Ended::Refused | Ended::Killed),
                        _ => false,
                    });
                    let ended: BTreeSet<u16> = ended.map(|one| one.number).collect();
                    self.removals += u64::from(!ended.is_empty() && !after.killed);
                    self.over = self.last.map(|revision| (revision, ended));
                }
                _ => {}
            }
        }
    }

    fn records_come_first(&self, effects: &[Effect]) {
        let seed = self.seed;
        let mut journalled = false;
        for effect in effects {
            match effect {
                Effect::Journal(record, sync) => {
                    journalled = true;
                    assert!(
                        record.action != "kill" || *sync == Sync::Now,
                        "seed {seed}: a kill that a power cut takes"
                    );
                }
                Effect::Spawn { .. } => {
                    assert!(journalled, "seed {seed}: a start before its record");
                }
                _ => {}
            }
        }
    }

    fn the_end_is_left_by_orders_only(&self, before: &State, event: &Event, after: &State) {
        let quiet = matches!(
            event,
            Event::Tick
                | Event::Instance(..)
                | Event::Standing(_)
                | Event::InstallFailed(..)
                | Event::NextRun(_)
                | Event::ClockSet
        );
        // Where a sibling's failure brought another version back, its instances are others.
        let same = revision(before.current.as_ref()) == revision(after.current.as_ref());
        if !quiet || before.successor.is_some() || before.leaving || !same {
            return;
        }
        for (old, new) in before.instances.iter().zip(&after.instances) {
            let left = matches!(old.phase, Phase::Ended(_)) && old.phase != new.phase;
            assert!(
                !left,
                "seed {}: {:?} was left for {:?} by {event:?}",
                self.seed, old.phase, new.phase
            );
        }
    }

    fn everything_leads_somewhere(&self, event: &Event, after: &State) {
        let gives_way = after.current.as_ref().is_some_and(Version::is_held);
        for instance in &after.instances {
            let waits = instance_deadline(after, instance).is_some();
            let vacant = instance.phase == Phase::Vacant
                && (after.leaving || after.successor.is_some() || gives_way);
            let held = match instance.phase {
                Phase::Alive(_) | Phase::Ended(_) | Phase::Starting | Phase::Born(_) => true,
                Phase::Installing => after
                    .current
                    .as_ref()
                    .is_some_and(|c| c.preparation == Preparation::Installing),
                Phase::Scheduled => after.calendar.is_some(),
                _ => waits || vacant,
            };
            assert!(
                held,
                "seed {}: nothing leads out of {:?} after {event:?}",
                self.seed, instance.phase
            );
        }
    }

    /// A good version gives way to nothing older; a workflow of which one was good is never given up.
    fn good_versions_stay(&self, before: &State, after: &State) {
        let seed = self.seed;
        let current = after.current.as_ref();
        let was_good = before.current.as_ref().is_some_and(|version| version.good);
        let same = revision(before.current.as_ref()) == revision(after.current.as_ref());
        if was_good && same && !before.leaving {
            let still = current.is_some_and(|version| version.good && !version.is_held());
            assert!(still, "seed {seed}: good, and then {current:?}");
        }
        assert!(
            after.good.is_none() || current.is_none_or(|version| !version.good),
            "seed {seed}: something to go back to from a good version"
        );
        let once = |version: &Version| version.spec.mode == Mode::Once;
        assert!(
            !after.good.as_ref().is_some_and(once),
            "seed {seed}: a once to go back to"
        );
        let installs = current.is_some_and(|version| {
            once(version) || matches!(version.preparation, Preparation::Failed(_))
        });
        if !before.proven || !same || installs {
            return;
        }
        for (old, new) in before.instances.iter().zip(&after.instances) {
            let given_up = new.phase == Phase::Ended(Ended::Failed) && old.phase != new.phase;
            assert!(!given_up, "seed {seed}: good once, and given up: {old:?}");
        }
    }

    /// What has a schedule starts at its time, or because a person says so, and for nothing else; and never before its time.
    fn a_schedule_is_kept(
        &mut self,
        before: &State,
        event: &Event,
        after: &State,
        effects: &[Effect],
    ) {
        if after.calendar.is_none() {
            return;
        }
        let asked = matches!(event, Event::Start(_) | Event::Restart(_));
        for effect in effects {
            let Effect::Spawn { instance, .. } = effect else {
                continue;
            };
            let due = before.instances.iter().any(|one| one.due);
            assert!(
                due || asked || *event == Event::Due,
                "seed {}: instance {instance} runs before its time, after {event:?}",
                self.seed
            );
            self.scheduled += u64::from(*event == Event::Due);
        }
    }

    /// What gave way does not start again until something newer was put.
    fn what_gave_way_is_held(
        &mut self,
        before: &State,
        event: &Event,
        after: &State,
        effects: &[Effect],
    ) {
        match event {
            // There is nothing that it could give way to.
            Event::Judged(good, Err(_)) if Some(*good) == revision(before.good.as_ref()) => {
                self.held = None;
            }
            Event::Put(spec) if Some(spec.revision) != self.held => self.held = None,
            Event::Forbidden(spec, _) if Some(spec.revision) != self.held => self.held = None,
            Event::Remove { .. } => self.held = None,
            _ => {}
        }
        if effects.contains(&Effect::Forget) {
            self.held = None;
        }
        let gave_way = |effect: &Effect| matches!(effect, Effect::Journal(record, _) if record.action == "give-way");
        if effects.iter().any(gave_way) {
            self.returns += 1;
            // Where something newer waits already, nobody remembers it.
            let last = after.successor.as_ref().or(after.current.as_ref());
            let held = last.filter(|version| version.is_held());
            self.held = held.map(|version| version.spec.revision);
        }
        let starts = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Spawn { .. }));
        assert!(
            !starts || self.held.is_none() || revision(after.current.as_ref()) != self.held,
            "seed {}: what is held starts after {event:?}",
            self.seed
        );
    }
}

fn revision(version: Option<&Version>) -> Option<Digest> {
    version.map(|version| version.spec.revision)
}
