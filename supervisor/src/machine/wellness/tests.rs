//! A host that was suspended: the clock of time limits ran on, whatever the wall's clock says. Pure.

use crate::machine::{Change, Effect, Event, Now, Process, State, deadline, sample, step};
use crate::time::{BootTime, Wall};
use std::time::Duration;
use swarm_manifests::manifest::Mode;

fn at(seconds: u64, wall: i64) -> Now {
    Now {
        boot: BootTime(Duration::from_secs(seconds)),
        wall: Wall(wall),
        dice: 0,
    }
}

/// A daemon with an hour to live that began at boot second 100; and the number of its run.
fn begun() -> State {
    let mut spec = sample::spec("ramp", 1, Mode::Daemon);
    spec.time_limit = Some(Duration::from_secs(3600));
    let name = spec.workflow.clone();
    let (state, effects) = step(State::new(name), Event::Put(Box::new(spec)), at(100, 0));
    let run = effects.iter().find_map(|effect| match effect {
        Effect::Spawn { run, .. } => Some(*run),
        _ => None,
    });
    let process = Process {
        pid: 7,
        start_time: 1,
    };
    let change = Change::Started(process);
    let event = Event::Instance(0, run.expect("it is started"), change);
    step(state, event, at(100, 0)).0
}

fn expires(effects: &[Effect]) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::Journal(record, _) if record.action == "expire"))
}

#[test]
fn a_host_that_slept_past_the_limit_expires_what_ran_when_it_wakes() {
    let state = begun();
    assert_eq!(
        deadline(&state),
        Some(BootTime(Duration::from_secs(3700))),
        "the alarm is set on the clock that runs on"
    );
    // Ten minutes of work, and the wall's clock set ten years ahead: nothing.
    let ten_years = 10 * 365 * 86_400_000;
    let (state, effects) = step(state, Event::Tick, at(700, ten_years));
    assert!(!expires(&effects), "{effects:?}");
    // A night's sleep, and the wall's clock set back to the beginning.
    let (state, effects) = step(state, Event::Tick, at(30_000, 0));
    assert!(expires(&effects), "{effects:?}");
    let signalled = |effect: &Effect| matches!(effect, Effect::Signal { .. });
    assert!(effects.iter().any(signalled), "{effects:?}");
    drop(state);
}
