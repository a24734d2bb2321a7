//! We die: the next one goes on from the disk and the kernel. At each point between two effects a twin of the world dies, and
//! its next life is held to the same laws.

use super::{World, fresh};
use crate::machine::{Event, Instance, Phase, State, Survivor, step};
use swarm_manifests::status::LastExit;

/// How many events a next life has to show what is wrong with it.
const NEXT_LIFE: usize = 4;

impl World {
    /// A twin dies here: with what is on the disk and in the kernel at this very moment. In twins nobody has twins.
    pub(super) fn crash_point(&mut self) {
        if self.is_twin {
            return;
        }
        self.points += 1;
        let mut twin = self.clone();
        twin.is_twin = true;
        twin.dice.stir(self.points);
        twin.crash();
        for _ in 0..NEXT_LIFE {
            twin.live();
        }
        if twin.dice.one_in(16) {
            twin.kill_and_wait();
        }
    }

    /// We die, and the next one goes on from the disk and the kernel.
    pub(super) fn crash(&mut self) {
        self.answers.clear();
        self.installs.clear();
        let reboot = self.dice.one_in(4);
        if reboot {
            self.trees.clear();
            self.wall += self.time.cast_signed();
            self.time = 1000;
        }
        self.state = self.saved.clone().unwrap_or_else(fresh);
        self.remember_from_disk();
        assert!(
            self.state.killed || !self.kill_on_record,
            "seed {}: a kill was written down, and does not last: {:?}",
            self.seed,
            self.state
        );
        // What was not saved is undone, and tried once more. Where something newer waits, nobody remembers what gave way.
        let last = self
            .state
            .successor
            .as_ref()
            .or(self.state.current.as_ref());
        let held = last.filter(|version| version.is_held());
        self.held = held.map(|version| version.spec.revision);
        let instances = self.state.instances.iter();
        let survivors: Vec<_> = instances.map(|one| self.survivor(one, reboot)).collect();
        let event = Event::Recovered(survivors.clone());
        let now = self.now();
        let (after, _) = step(self.state.clone(), event.clone(), now);
        self.what_lives_goes_on(&survivors, &after);
        self.no_tree_is_forgotten(&after);
        self.happen(event);
    }

    /// What was over, and was not saved, may come about again.
    fn remember_from_disk(&mut self) {
        if self.state.over.is_none() {
            self.over = None;
        }
        let current = self.state.current.as_ref().map(|one| one.spec.revision);
        let over = self.state.over.as_ref().map(|over| over.revision);
        self.last = current.or(over);
    }

    /// How an instance that the disk knows is found.
    fn survivor(&self, instance: &Instance, reboot: bool) -> Survivor {
        let unseen = LastExit::Unseen { seen: false };
        match self.trees.get(&instance.number) {
            _ if reboot => Survivor::Rebooted,
            None => Survivor::Gone(unseen, false),
            Some(tree) => match (tree.main, instance.phase.process()) {
                (Some(process), Some(known)) if process == known => Survivor::Alive(process),
                _ => Survivor::Gone(tree.exit.clone().unwrap_or(unseen), true),
            },
        }
    }

    /// The same process, that is, unless it was being stopped.
    fn what_lives_goes_on(&self, survivors: &[Survivor], after: &State) {
        // A workflow that leaves, or gives way to a version that the disk has, stops it now.
        let stops = self.state.leaving || self.state.successor.is_some() || self.state.killed;
        for (before, survivor) in self.state.instances.iter().zip(survivors) {
            let ran = matches!(before.phase, Phase::Born(_) | Phase::Alive(_));
            let Survivor::Alive(process) = survivor else {
                continue;
            };
            let found = after.instances.get(usize::from(before.number));
            assert!(
                !ran || stops || found.and_then(|one| one.phase.process()) == Some(*process),
                "seed {}: {process:?} was left for {found:?}",
                self.seed
            );
        }
    }

    /// Whatever lives belongs to an instance that knows that something may be there.
    fn no_tree_is_forgotten(&self, after: &State) {
        for number in self.trees.keys() {
            let instance = after.instances.get(usize::from(*number));
            assert!(
                instance.is_some_and(|one| one.phase.has_tree()),
                "seed {}: a tree of instance {number} is forgotten: {instance:?}",
                self.seed
            );
        }
    }
}
