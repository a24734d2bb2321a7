//! The simulated kernel: processes begin, end and are found. Chance decides, and the seed decides chance.

use super::{Tree, World};
use crate::machine::{Change, Effect, Event, Process, Trouble, step, wants_gone};
use swarm_manifests::{manifest::Mode, status::LastExit};

impl World {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            // Nobody kills what nobody knows.
            Effect::Journal(record, _) => {
                self.kill_on_record |= record.action == "kill" && self.state.current.is_some();
            }
            Effect::Probe { .. } => {}
            Effect::Install(revision) => self.installs.push(revision),
            Effect::CancelInstall(revision) => self.installs.retain(|other| *other != revision),
            Effect::Spawn { instance, run } => self.spawn(instance, run),
            Effect::StopCommand { instance, run } => {
                let well = self.dice.one_in(2);
                self.answers.push(Event::Instance(
                    instance,
                    run,
                    Change::StopCommandDone(well),
                ));
            }
            Effect::Signal { instance, .. } => {
                if self.dice.one_in(2) {
                    self.exit(
                        instance,
                        LastExit::Signal {
                            signal: "SIGTERM".into(),
                        },
                    );
                }
            }
            Effect::KillTree { instance, run } => {
                self.exit(
                    instance,
                    LastExit::Signal {
                        signal: "SIGKILL".into(),
                    },
                );
                // A fork bomb may outrun a kill.
                if self.dice.one_in(20) {
                    return;
                }
                self.trees.remove(&instance);
                self.answers
                    .push(Event::Instance(instance, run, Change::TreeGone));
            }
            Effect::Forget => {
                self.saved = Some(self.state.clone());
            }
        }
    }

    pub(super) fn spawn(&mut self, instance: u16, run: u64) {
        let once = self
            .state
            .current
            .as_ref()
            .is_some_and(|current| current.spec.mode == Mode::Once);
        if self.dice.one_in(10) {
            let trouble = Trouble {
                reason: "no".into(),
                rule: Some(["S-RUN-03", "S-RUN-05"][self.dice.throw(2) as usize].into()),
                tried: true,
            };
            let passing = self.dice.one_in(2);
            return self.answers.push(Event::Instance(
                instance,
                run,
                Change::StartFailed(trouble, passing),
            ));
        }
        assert!(
            !self.trees.contains_key(&instance),
            "seed {}: two trees of one instance",
            self.seed
        );
        assert!(
            !once || !self.ran.insert(instance, true).unwrap_or(false),
            "seed {}: a once ran twice",
            self.seed
        );
        self.starts += 1;
        self.pid += 1;
        let process = Process {
            pid: self.pid,
            start_time: self.time,
        };
        let others = self.dice.throw(3);
        self.trees.insert(
            instance,
            Tree {
                run,
                main: Some(process),
                exit: None,
                others,
            },
        );
        self.crash_point();
        // Who made it may die before that is heard.
        if !self.dice.one_in(20) {
            self.born(instance, run, process);
        }
        self.answers
            .push(Event::Instance(instance, run, Change::Started(process)));
    }

    /// It is saved before anything else happens.
    pub(super) fn born(&mut self, instance: u16, run: u64, process: Process) {
        let event = Event::Instance(instance, run, Change::Born(process));
        let now = self.now();
        let before = self.state.clone();
        let (state, effects) = step(before.clone(), event.clone(), now);
        assert!(
            effects.is_empty(),
            "seed {}: a birth leads to {effects:?}",
            self.seed
        );
        self.check(&before, &event, &state, &effects);
        self.state = state;
        self.saved = Some(self.state.clone());
    }

    /// The main process ends, if it is there; the machine hears of it later.
    pub(super) fn exit(&mut self, instance: u16, exit: LastExit) {
        let Some(tree) = self.trees.get_mut(&instance) else {
            return;
        };
        if tree.main.take().is_some() {
            tree.exit = Some(exit.clone());
            let change = if self.dice.one_in(8) {
                Change::Starved(exit)
            } else {
                Change::Exited(exit)
            };
            self.answers
                .push(Event::Instance(instance, tree.run, change));
        }
    }

    /// What the main process left behind ends, and whoever looks after the tree sees that.
    pub(super) fn forget_others(&mut self) {
        for instance in &self.state.instances {
            if !wants_gone(&instance.phase) {
                continue;
            }
            let gone = self
                .trees
                .get(&instance.number)
                .is_none_or(|tree| tree.main.is_none() && tree.others == 0);
            if gone {
                self.trees.remove(&instance.number);
                self.answers.push(Event::Instance(
                    instance.number,
                    instance.run,
                    Change::TreeGone,
                ));
            } else if let Some(tree) = self.trees.get_mut(&instance.number) {
                tree.others = tree.others.saturating_sub(1);
            }
        }
    }
}
