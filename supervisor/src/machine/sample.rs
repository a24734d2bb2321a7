//! Specs and short lives for tests.

use super::{Change, Effect, Event, Now, Order, Process, State, deadline, rows, step};
use crate::{
    protocol::{Origin, RunSpec},
    time::{BootTime, Wall},
};
use std::time::Duration;
use swarm_manifests::{
    bundle::{Limits, Sandbox, Stop, Workdir},
    id::Digest,
    manifest::{Mode, OnLimit, Restart},
    status::{self, LastExit},
};

/// A spec whose revision is `number`.
pub fn spec(workflow: &str, number: u8, mode: Mode) -> RunSpec {
    RunSpec {
        workflow: workflow.parse().expect("a name"),
        bundle: workflow.parse().expect("a name"),
        version: format!("1.0.{number}"),
        digest: Digest::of(&[number]),
        revision: Digest::of(&[number, 0]),
        origin: Origin {
            by: Some("alice".into()),
            ..Origin::default()
        },
        mode,
        time_limit: None,
        on_limit: OnLimit::Expire,
        instances: 1,
        schedule: None,
        restart: Restart::default(),
        command: vec!["/bin/true".into()],
        env: std::collections::BTreeMap::new(),
        workdir: Workdir::State(String::new()),
        user: None,
        ports: Vec::new(),
        install: None,
        ready: None,
        health: None,
        stop: Stop::default(),
        limits: Limits::default(),
        sandbox: Sandbox::default(),
        secrets: std::collections::BTreeMap::new(),
        grounds: Vec::new(),
        store: "/nowhere".into(),
    }
}

/// A box with one workflow, whose processes end when they are told to.
pub struct Life {
    pub state: State,
    /// Since the boot, in milliseconds; the box's clock is `ahead` of it.
    pub time: u64,
    pub ahead: i64,
    /// What was journalled.
    pub said: Vec<String>,
    /// How many processes were started.
    pub starts: u32,
}

impl Life {
    pub fn new() -> Self {
        Self {
            state: State::new("web".parse().expect("a name")),
            time: 1,
            ahead: 0,
            said: Vec::new(),
            starts: 0,
        }
    }

    pub fn wall(&self) -> Wall {
        Wall(i64::try_from(self.time).expect("short") + self.ahead)
    }

    /// An event, and whatever follows from it by itself.
    pub fn tell(&mut self, event: Event) {
        let mut events = vec![event];
        while !events.is_empty() {
            let now = Now {
                boot: BootTime(Duration::from_millis(self.time)),
                wall: self.wall(),
                dice: 0,
            };
            let (state, effects) = step(self.state.clone(), events.remove(0), now);
            self.state = state;
            for effect in effects {
                match effect {
                    Effect::Journal(record, _) => self.said.push(record.action),
                    Effect::Spawn { instance, run } => {
                        self.starts += 1;
                        let process = Process {
                            pid: 7,
                            start_time: run,
                        };
                        events.push(Event::Instance(instance, run, Change::Started(process)));
                    }
                    Effect::Signal { instance, run } => {
                        let exit = LastExit::Code { code: 0 };
                        events.push(Event::Instance(instance, run, Change::Exited(exit)));
                        events.push(Event::Instance(instance, run, Change::TreeGone));
                    }
                    Effect::KillTree { instance, run } => {
                        events.push(Event::Instance(instance, run, Change::TreeGone));
                    }
                    _ => {}
                }
            }
        }
    }

    pub fn of(&mut self, instance: u16, change: Change) {
        let run = self.state.instances[usize::from(instance)].run;
        self.tell(Event::Instance(instance, run, change));
    }

    pub fn exits(&mut self, code: i32) {
        self.of(0, Change::Exited(LastExit::Code { code }));
    }

    /// To the next thing that is due.
    pub fn wait(&mut self) {
        let BootTime(due) = deadline(&self.state).expect("something is due");
        self.time = self
            .time
            .max(u64::try_from(due.as_millis()).expect("short") + 1);
        self.tell(Event::Tick);
    }

    pub fn put(&mut self, spec: &RunSpec) {
        self.tell(Event::Put(Box::new(spec.clone())));
    }

    pub fn version(&self) -> &str {
        let current = self.state.current.as_ref();
        current.map_or("none", |version| &version.spec.version)
    }

    pub fn row(&self) -> status::Row {
        let now = BootTime(Duration::from_millis(self.time));
        rows(&self.state, "till", now, |_| super::Usage::default()).remove(0)
    }
}

/// Of somebody.
pub fn order() -> Order {
    Order {
        by: "ann".into(),
        key: None,
        reason: None,
        request: None,
    }
}
