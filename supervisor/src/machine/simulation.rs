//! Millions of lives: the machine with a simulated kernel, a disk, crashes between any two effects, and reboots. The laws of
//! [`super`] are asserted after each step. A failure prints its seed.

mod laws;

use super::{
    Change, Effect, Ended, Event, NextRun, Now, Order, Phase, Process, State, Survivor, Trouble,
    deadline, due_at, is_saved_first, next_run_after, sample, step, trail, wants_gone,
};
use crate::{
    protocol::{InstallSpec, Origin, RunSpec},
    time::{BootTime, Wall},
};
use std::{collections::BTreeMap, time::Duration};
use swarm_manifests::{
    bundle::{Health, Install, Probe, Ready},
    id::Digest,
    manifest::{Mode, OnLimit},
    schedule::Schedule,
    status::LastExit,
};

/// A linear congruential generator: the same lives for the same seed, everywhere.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.throw(sides) == 0
    }
}

/// What the kernel has of one instance.
struct Tree {
    run: u64,
    main: Option<Process>,
    /// How the main process ended, while nobody asked.
    exit: Option<LastExit>,
    others: u64,
}

struct World {
    seed: u64,
    dice: Dice,
    time: u64,
    /// By how much the box's clock is ahead of it.
    wall: i64,
    state: State,
    saved: Option<State>,
    trees: BTreeMap<u16, Tree>,
    answers: Vec<Event>,
    installs: Vec<Digest>,
    /// Instances of a `once` that have run since they might.
    ran: BTreeMap<u16, bool>,
    /// What gave way, until there is a newer.
    held: Option<Digest>,
    /// How often a version gave way.
    returns: u64,
    /// How often a schedule started something.
    scheduled: u64,
    pid: i32,
    events: u64,
    starts: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            dice: Dice(seed),
            time: 1000,
            wall: 1_000_000_000,
            state: fresh(),
            saved: None,
            trees: BTreeMap::new(),
            answers: Vec::new(),
            installs: Vec::new(),
            ran: BTreeMap::new(),
            held: None,
            returns: 0,
            scheduled: 0,
            pid: 1,
            events: 0,
            starts: 0,
        }
    }

    fn now(&mut self) -> Now {
        Now {
            boot: BootTime(Duration::from_millis(self.time)),
            wall: Wall(self.time.cast_signed() + self.wall),
            dice: self.dice.throw(1000) as u32,
        }
    }

    /// One event, and what follows; it may be that we die in the middle.
    fn happen(&mut self, event: Event) {
        self.events += 1;
        self.time += 1;
        let before = self.state.clone();
        let now = self.now();
        let (state, effects) = step(before.clone(), event.clone(), now);
        self.check(&before, &event, &state, &effects);
        self.state = state;
        if self.dice.one_in(400) {
            return self.crash();
        }
        let first = is_saved_first(self.saved.as_ref().and_then(trail), &self.state, &effects);
        if first {
            self.saved = Some(self.state.clone());
        }
        for effect in effects {
            self.carry_out(effect);
            if self.dice.one_in(400) {
                return self.crash();
            }
        }
        // Several events may come before the next time that it is saved.
        if self.state.current.is_some() && !self.dice.one_in(3) {
            self.saved = Some(self.state.clone());
        }
        if self.state.is_gone() {
            self.saved = None;
        }
        self.look_at_the_calendar();
    }

    /// What runs by a schedule runs each 400 ms here.
    fn look_at_the_calendar(&mut self) {
        let since = next_run_after(&self.state).map(|calendar| calendar.since);
        if let Some(Wall(since)) = since {
            let next = if self.dice.one_in(50) {
                NextRun::Never
            } else {
                NextRun::At(Wall(since + 400))
            };
            self.happen(Event::NextRun(next));
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Journal(..) | Effect::Probe { .. } => {}
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
            Effect::Forget => self.saved = None,
        }
    }

    fn spawn(&mut self, instance: u16, run: u64) {
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
        // We may die before it is known.
        if !self.dice.one_in(20) {
            self.born(instance, run, process);
        }
        self.answers
            .push(Event::Instance(instance, run, Change::Started(process)));
    }

    /// It is saved before anything else happens.
    fn born(&mut self, instance: u16, run: u64, process: Process) {
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
    fn exit(&mut self, instance: u16, exit: LastExit) {
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

    /// We die, and the next one goes on from the disk and the kernel.
    fn crash(&mut self) {
        self.answers.clear();
        self.installs.clear();
        let reboot = self.dice.one_in(4);
        if reboot {
            self.trees.clear();
            self.wall += self.time.cast_signed();
            self.time = 1000;
        }
        self.state = self.saved.clone().unwrap_or_else(fresh);
        // What was not saved is undone: it is tried once more.
        let mut versions = self.state.current.iter().chain(&self.state.successor);
        let held = versions.find(|version| version.is_held());
        self.held = held.map(|version| version.spec.revision);
        let numbers = self
            .state
            .instances
            .iter()
            .map(|instance| (instance.number, instance.phase.process()));
        let survivors = numbers.map(|(number, known)| match self.trees.get(&number) {
            _ if reboot => Survivor::Rebooted,
            None => Survivor::Gone(LastExit::Unseen { seen: false }, false),
            Some(tree) => match (tree.main, known) {
                (Some(process), Some(known)) if process == known => Survivor::Alive(process),
                _ => Survivor::Gone(
                    tree.exit
                        .clone()
                        .unwrap_or(LastExit::Unseen { seen: false }),
                    true,
                ),
            },
        });
        let survivors: Vec<_> = survivors.collect();
        let known = self.state.instances.iter().zip(&survivors);
        let born = known.filter_map(|(instance, survivor)| match (&instance.phase, survivor) {
            (Phase::Born(process), Survivor::Alive(_)) => Some((instance.number, *process)),
            _ => None,
        });
        let born: Vec<_> = born.collect();
        let event = Event::Recovered(survivors);
        let now = self.now();
        let (after, _) = step(self.state.clone(), event.clone(), now);
        for (number, process) in born {
            let found = after.instances.get(usize::from(number));
            assert!(
                found.and_then(|instance| instance.phase.process()) == Some(process),
                "seed {}: {process:?} was left for {found:?}",
                self.seed
            );
        }
        self.happen(event);
    }

    /// Something of the world's own accord.
    fn live(&mut self) {
        self.time += self.dice.throw(3) * 40;
        // In every other world versions live longer than their attempts to get ready.
        let calm = !self.seed.is_multiple_of(2) && !self.dice.one_in(10);
        let kind = if calm {
            15 + self.dice.throw(85)
        } else {
            self.dice.throw(100)
        };
        let event = match kind {
            0..=5 => Event::Put(Box::new(self.spec())),
            6 => Event::Forbidden(
                Box::new(self.spec()),
                Trouble {
                    reason: "no".into(),
                    rule: None,
                    tried: false,
                },
            ),
            7 => Event::Remove {
                origin: Origin::default(),
                reason: "gone".into(),
            },
            8..=9 => Event::Kill(order(), self.dice.one_in(4)),
            10..=12 => Event::Start(order()),
            13..=14 => Event::Restart(order()),
            15..=30 if !calm || self.dice.one_in(8) => {
                let (instance, exit) = (self.dice.throw(3) as u16, self.some_exit());
                return self.exit(instance, exit);
            }
            31..=36 => return self.forget_others(),
            37..=42 => {
                let instance = self.dice.throw(3) as u16;
                let Some(tree) = self.trees.get(&instance) else {
                    return;
                };
                let result = if self.dice.one_in(2) {
                    Ok(())
                } else {
                    Err("ill".into())
                };
                let change = match self.dice.throw(7) {
                    // In every third world nothing gets ready by itself.
                    _ if self.seed.is_multiple_of(3) && !self.dice.one_in(20) => {
                        Change::Probed(Err("ill".into()))
                    }
                    0..=2 => Change::Probed(result),
                    3 => Change::Status("busy".into()),
                    4 => Change::Going,
                    5 => Change::Extend(Duration::from_millis(self.dice.throw(2000))),
                    _ => Change::Ready,
                };
                Event::Instance(instance, tree.run, change)
            }
            91 => {
                self.wall += self.dice.throw(8 * 3_600_000).cast_signed() - 4 * 3_600_000;
                Event::ClockSet
            }
            92..=94 if due_at(&self.state).is_some() => {
                // Now and then too early.
                if let Some(Wall(due)) = due_at(&self.state).filter(|_| !self.dice.one_in(4)) {
                    self.time = self.time.max((due - self.wall).max(0).cast_unsigned());
                }
                Event::Due
            }
            43..=50 if !self.installs.is_empty() => {
                let revision = self.installs.remove(0);
                if self.dice.one_in(3) {
                    Event::InstallFailed(
                        revision,
                        Trouble {
                            reason: "no".into(),
                            rule: None,
                            tried: true,
                        },
                    )
                } else {
                    Event::Installed(revision, revision)
                }
            }
            51..=90 if !self.answers.is_empty() => {
                let at = self.dice.throw(self.answers.len() as u64) as usize;
                self.answers.remove(at)
            }
            _ => {
                if let Some(BootTime(due)) = deadline(&self.state).filter(|_| self.dice.one_in(2)) {
                    self.time = self.time.max(due.as_millis() as u64);
                }
                Event::Tick
            }
        };
        self.happen(event);
    }

    /// What the main process left behind ends, and whoever looks after the tree sees that.
    fn forget_others(&mut self) {
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

    fn some_exit(&mut self) -> LastExit {
        match self.dice.throw(3) {
            0 => LastExit::Code { code: 0 },
            1 => LastExit::Code { code: 1 },
            _ => LastExit::Signal {
                signal: "SIGSEGV".into(),
            },
        }
    }

    fn spec(&mut self) -> RunSpec {
        let number = self.dice.throw(8) as u8;
        let asks = number >= 4;
        let mode = [Mode::Once, Mode::Restart, Mode::Daemon, Mode::Daemon][usize::from(number % 4)];
        let mut spec = sample::spec("ramp", number, mode);
        let schedule = ["*:*:00", "*:*:30"][self.dice.throw(2) as usize];
        spec.schedule = (mode == Mode::Once && !self.dice.one_in(3))
            .then(|| Schedule::parse(schedule).expect("a schedule"));
        spec.instances = u16::from(number % 2) + 1;
        spec.time_limit = (number == 2).then_some(Duration::from_millis(700));
        spec.on_limit = if self.dice.one_in(2) {
            OnLimit::Expire
        } else {
            OnLimit::Restart
        };
        spec.ready = asks.then_some(Ready {
            probe: Probe::Tcp(80),
            timeout: Duration::from_millis(500),
        });
        spec.health = asks.then_some(Health {
            probe: Probe::Tcp(80),
            every: Duration::from_millis(300),
            failures: 2,
        });
        spec.stop.command = (number == 1).then(|| vec!["stop".into()]);
        spec.stop.grace = Duration::from_millis(200 * u64::from(number));
        spec.restart.settled = Duration::from_millis(500);
        spec.restart.max_delay = Duration::from_millis(1000 * self.dice.throw(2));
        let install = Install {
            command: vec!["make".into()],
            network: false,
        };
        spec.install = (number % 4 == 2).then(|| InstallSpec {
            install,
            engine: "sh".into(),
            engine_version: "1".into(),
        });
        spec
    }

    /// A kill, and then only what follows from it: in the end nothing lives, and it stays.
    fn kill_and_wait(&mut self) {
        if self.state.current.is_none() && self.state.successor.is_none() {
            return;
        }
        self.happen(Event::Kill(order(), false));
        for _ in 0..200 {
            if self.answers.is_empty() {
                self.forget_others();
                let due = deadline(&self.state).map_or(0, |BootTime(due)| due.as_millis() as u64);
                self.time = self.time.max(due);
                self.happen(Event::Tick);
            } else {
                let answer = self.answers.remove(0);
                self.happen(answer);
            }
            if self.state.is_still() && self.answers.is_empty() {
                break;
            }
        }
        // A crash before the kill was written down undoes it: then nobody was told that it was done.
        if self.state.killed {
            assert!(
                self.trees.is_empty(),
                "seed {}: something lives after a kill: {:?}",
                self.seed,
                self.state.instances
            );
            let ended = self
                .state
                .instances
                .iter()
                .all(|i| i.phase == Phase::Ended(Ended::Killed));
            assert!(
                ended,
                "seed {}: killed, and {:?}",
                self.seed, self.state.instances
            );
        }
    }
}

fn fresh() -> State {
    State::new("ramp".parse().expect("a name"))
}

fn order() -> Order {
    Order {
        by: "uid 0 (root)".into(),
        key: None,
        reason: None,
    }
}

#[test]
fn a_million_events_break_no_law() {
    let wanted: u64 = std::env::var("SWARM_SIMULATED_EVENTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_000_000);
    let (mut events, mut starts, mut returns, mut scheduled) = (0, 0, 0, 0);
    for seed in 0.. {
        let mut world = World::new(seed);
        for _ in 0..1000 {
            world.live();
            let calm = !seed.is_multiple_of(2);
            if world.dice.one_in(if calm { 2000 } else { 200 }) {
                world.kill_and_wait();
            }
        }
        events += world.events;
        starts += world.starts;
        returns += world.returns;
        scheduled += world.scheduled;
        if events >= wanted {
            break;
        }
    }
    assert!(
        starts > events / 100,
        "a world in which hardly anything starts proves nothing: {starts} of {events}"
    );
    assert!(
        returns > events / 5000,
        "a world in which hardly anything gives way proves nothing: {returns} of {events}"
    );
    assert!(
        scheduled > events / 1000,
        "a world in which no schedule counts proves nothing: {scheduled} of {events}"
    );
}
