//! `kill -9` of the supervisor in the middle of many starts: whatever began goes on, and begins once.
#![allow(clippy::expect_used)]

mod common;

use common::{World, lives};
use std::{thread, time::Duration};
use swarm_manifests::{manifest::Mode, status::State};
use swarm_supervisor::protocol::FromAgent;

#[test]
fn what_was_just_started_goes_on_after_kill_9_and_none_begins_twice() {
    const MANY: usize = 30;
    let mut world = World::new();
    for (round, wait) in [2, 5, 10, 20, 40].into_iter().enumerate() {
        let names: Vec<_> = (0..MANY).map(|n| format!("r{round}-w{n}")).collect();
        let script = "echo $$ >> $SWARM_STATE/pids; while :; do sleep 1; done";
        let specs: Vec<_> = names
            .iter()
            .map(|name| world.script(name, Mode::Daemon, script))
            .collect();
        let puts = |world: &mut World| {
            for spec in &specs {
                world.tell(&FromAgent::Put(Box::new(spec.clone())));
            }
        };
        puts(&mut world);
        thread::sleep(Duration::from_millis(wait));
        world.crash();
        world.start();
        puts(&mut world);
        for name in &names {
            let file = world.state().join(format!("workflows/{name}/0/pids"));
            let row = world.reaches(name, State::Running);
            let began = world.until("it began", |_| {
                std::fs::read_to_string(&file)
                    .ok()
                    .filter(|text| text.ends_with('\n'))
            });
            let pid = row.pid.expect("a pid");
            assert_eq!(began, format!("{pid}\n"), "{name}: {row:?}");
            assert!(lives(pid), "{name}: {row:?}");
        }
    }
}
