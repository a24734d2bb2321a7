//! Millions of lives: the machine with a simulated kernel, a disk, crashes between any two effects, and reboots. The laws of
//! [`super`] are asserted after each step. A failure prints its seed.

mod crash;
mod kernel;
mod laws;
mod life;

use super::{
    Event, NextRun, Now, Order, Process, State, is_saved_first, next_run_after, step, trail,
};
use crate::time::{BootTime, Wall};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use swarm_manifests::{id::Digest, status::LastExit};

/// A linear congruential generator: the same lives for the same seed, everywhere.
#[derive(Clone)]
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

    /// Another course of things from here on.
    fn stir(&mut self, by: u64) {
        self.0 ^= by.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// What the kernel has of one instance.
#[derive(Clone)]
struct Tree {
    run: u64,
    main: Option<Process>,
    /// How the main process ended, while nobody asked.
    exit: Option<LastExit>,
    others: u64,
}

#[derive(Clone)]
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
    /// A kill is written down, and nothing lifted it since.
    kill_on_record: bool,
    /// What ran last, be it removed since.
    last: Option<Digest>,
    /// Instances that were over when their workflow was removed, and which of its revisions it was.
    over: Option<(Digest, BTreeSet<u16>)>,
    /// It only shows what a crash leads to.
    is_twin: bool,
    /// At how many points a twin died.
    points: u64,
    /// How often something that was over was removed.
    removals: u64,
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
            kill_on_record: false,
            last: None,
            over: None,
            is_twin: false,
            points: 0,
            removals: 0,
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
        self.kill_on_record &= self.state.killed;
        // What led to nothing is the same death as the one after the last effect.
        if !effects.is_empty() {
            self.crash_point();
        }
        if self.dice.one_in(400) {
            return self.crash();
        }
        let first = is_saved_first(self.saved.as_ref().and_then(trail), &self.state, &effects);
        if first {
            self.saved = Some(self.state.clone());
            self.crash_point();
        }
        for effect in effects {
            self.carry_out(effect);
            self.crash_point();
            if self.dice.one_in(400) {
                return self.crash();
            }
        }
        // Several events may come before the next time that it is saved.
        if self.state.current.is_some() && !self.dice.one_in(3) {
            self.saved = Some(self.state.clone());
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
}

fn fresh() -> State {
    State::new("ramp".parse().expect("a name"))
}

fn order() -> Order {
    Order {
        by: "uid 0 (root)".into(),
        key: None,
        reason: None,
        request: None,
    }
}

#[test]
fn a_million_events_break_no_law() {
    let wanted: u64 = std::env::var("SWARM_SIMULATED_EVENTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_000_000);
    let (mut events, mut starts, mut removals, mut returns, mut scheduled, mut points) =
        (0, 0, 0, 0, 0, 0);
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
        removals += world.removals;
        returns += world.returns;
        scheduled += world.scheduled;
        points += world.points;
        if events >= wanted {
            break;
        }
    }
    assert!(
        starts > events / 100,
        "a world in which hardly anything starts proves nothing: {starts} of {events}"
    );
    assert!(
        removals > events / 5000,
        "a world in which hardly anything is removed proves nothing: {removals} of {events}"
    );
    assert!(
        returns > events / 5000,
        "a world in which hardly anything gives way proves nothing: {returns} of {events}"
    );
    assert!(
        scheduled > events / 1000,
        "a world in which no schedule counts proves nothing: {scheduled} of {events}"
    );
    assert!(
        points > events / 2,
        "a world in which hardly anybody dies proves nothing: {points} of {events}"
    );
    println!("{events} events, {points} deaths between two effects, {starts} starts");
}
