//! What happens to a simulated workflow: people, commits, clocks, programs. Chance decides, and the seed decides chance.

use super::{World, order};
use crate::{
    machine::{Change, Ended, Event, Phase, Trouble, deadline, due_at, sample},
    protocol::{InstallSpec, Origin, RunSpec},
    time::{BootTime, Wall},
};
use std::time::Duration;
use swarm_manifests::{
    bundle::{Health, Install, Probe, Ready},
    id::Digest,
    manifest::{Mode, OnLimit},
    schedule::Schedule,
    status::LastExit,
};

impl World {
    /// Something of the world's own accord.
    pub(super) fn live(&mut self) {
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
            6 if self.dice.one_in(2) => Event::Forbidden(Box::new(self.spec()), refusal()),
            6 | 95 if kind == 6 || self.dice.one_in(8) => {
                let known: Vec<Digest> = self.state.versions().map(|v| v.spec.revision).collect();
                if known.is_empty() {
                    return;
                }
                let revision = known[self.dice.throw(known.len() as u64) as usize];
                let is_allowed = !self.dice.one_in(3);
                Event::Judged(revision, is_allowed.then_some(()).ok_or_else(refusal))
            }
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
    pub(super) fn kill_and_wait(&mut self) {
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

fn refusal() -> Trouble {
    Trouble {
        reason: "no".into(),
        rule: None,
        tried: false,
    }
}
