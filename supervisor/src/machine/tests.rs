//! What simulations do not look at: words, records, and single steps, one promise each. Pure.

use super::{
    Change, Effect, Ended, Event, Now, Order, Phase, Preparation, Process, State, Survivor,
    Trouble, Usage, deadline, is_saved_first, rows, sample, step, trail,
};
use crate::{
    protocol::{InstallSpec, Origin, RunSpec, Standing},
    time::{BootTime, Wall},
};
use std::time::Duration;
use swarm_manifests::{
    bundle::{Install, Probe, Ready},
    id::Digest,
    manifest::Mode,
    report,
    status::{self, LastExit, Next},
    units::ByteSize,
};

/// One workflow, step by step: nothing follows by itself.
struct One {
    state: State,
    time: u64,
    effects: Vec<Effect>,
}

impl One {
    fn new() -> Self {
        Self {
            state: State::new("web".parse().expect("a name")),
            time: 1,
            effects: Vec::new(),
        }
    }

    /// One that runs.
    fn alive(spec: &RunSpec) -> Self {
        let mut one = Self::new();
        one.put(spec);
        one.of(Change::Started(process(7)));
        one
    }

    fn tell(&mut self, event: Event) -> &[Effect] {
        let now = Now {
            boot: BootTime(Duration::from_millis(self.time)),
            wall: Wall(self.time.cast_signed()),
            dice: 0,
        };
        (self.state, self.effects) = step(self.state.clone(), event, now);
        &self.effects
    }

    fn of(&mut self, change: Change) -> &[Effect] {
        self.of_number(0, change)
    }

    fn of_number(&mut self, number: u16, change: Change) -> &[Effect] {
        let run = self.state.instances[usize::from(number)].run;
        self.tell(Event::Instance(number, run, change))
    }

    fn put(&mut self, spec: &RunSpec) -> &[Effect] {
        self.tell(Event::Put(Box::new(spec.clone())))
    }

    /// The process ends, and its tree is gone.
    fn ends(&mut self, code: i32) -> &[Effect] {
        self.of(Change::Exited(LastExit::Code { code }));
        self.of(Change::TreeGone)
    }

    fn phase(&self) -> &Phase {
        &self.state.instances[0].phase
    }

    fn row(&self) -> status::Row {
        let now = BootTime(Duration::from_millis(self.time));
        rows(&self.state, "till", now, |_| Usage::default()).remove(0)
    }

    fn reason(&self) -> String {
        self.row().reason.unwrap_or_default()
    }

    fn record(&self, action: &str) -> Option<&report::Event> {
        let mut records = self.effects.iter().filter_map(|effect| match effect {
            Effect::Journal(record, _) => Some(&**record),
            _ => None,
        });
        records.find(|record| record.action == action)
    }

    fn starts(&self) -> bool {
        let spawn = |effect: &Effect| matches!(effect, Effect::Spawn { .. });
        self.effects.iter().any(spawn)
    }

    fn installs(&self) -> bool {
        let install = |effect: &Effect| matches!(effect, Effect::Install(_));
        self.effects.iter().any(install)
    }

    fn kills(&self) -> bool {
        let kill = |effect: &Effect| matches!(effect, Effect::KillTree { .. });
        self.effects.iter().any(kill)
    }
}

fn process(pid: i32) -> Process {
    Process { pid, start_time: 1 }
}

fn spec(number: u8, mode: Mode) -> RunSpec {
    sample::spec("web", number, mode)
}

fn installed(number: u8) -> RunSpec {
    RunSpec {
        install: Some(InstallSpec {
            install: Install {
                command: vec!["make".into()],
                network: false,
            },
            engine: "sh".into(),
            engine_version: "1".into(),
        }),
        ..spec(number, Mode::Daemon)
    }
}

fn asking(number: u8) -> RunSpec {
    RunSpec {
        ready: Some(Ready {
            probe: Probe::Tcp(80),
            timeout: Duration::from_secs(5),
        }),
        ..spec(number, Mode::Daemon)
    }
}

fn order() -> Order {
    Order {
        by: "ann".into(),
        key: Some("SHA256:abc".into()),
        reason: Some("too loud".into()),
        request: None,
    }
}

fn trouble(rule: &str, tried: bool) -> Trouble {
    Trouble {
        reason: format!("no, by {rule}"),
        rule: Some(rule.into()),
        tried,
    }
}

#[test]
fn records_say_whose_they_are() {
    let mut spec = spec(1, Mode::Daemon);
    spec.origin = Origin {
        by: Some("alice".into()),
        key: Some("SHA256:alice".into()),
        commit: Some("c0ffee".into()),
        ..Origin::default()
    };
    let mut one = One::new();
    one.put(&spec);
    let deploy = one.record("deploy").expect("a record");
    assert_eq!(deploy.by.as_deref(), Some("alice"));
    let start = one.record("start").expect("a record");
    assert_eq!(start.workflow.as_deref(), Some("web"));
    assert_eq!(start.version.as_deref(), Some("1.0.1"));
    assert_eq!(start.digest, Some(spec.digest.to_string()));
    assert_eq!(start.commit.as_deref(), Some("c0ffee"));
    assert_eq!(start.by.as_deref(), Some("alice"));
    assert_eq!(start.key.as_deref(), Some("SHA256:alice"));
    assert_eq!(start.instance, Some(0));
}

#[test]
fn orders_are_written_down_with_who_and_why_and_people_read_it() {
    let mut one = One::alive(&spec(1, Mode::Daemon));
    for event in [
        Event::Start(order()),
        Event::Restart(order()),
        Event::Kill(order(), false),
    ] {
        let action = match event {
            Event::Start(_) => "start",
            Event::Restart(_) => "restart",
            _ => "kill",
        };
        one.tell(event);
        let record = one.record(action).expect(action);
        assert_eq!(record.by.as_deref(), Some("ann"));
        assert_eq!(record.key.as_deref(), Some("SHA256:abc"));
        assert_eq!(record.reason.as_deref(), Some("too loud"));
    }
    assert!(
        one.reason().starts_with("killed by ann: too loud"),
        "{}",
        one.reason()
    );
    let mut one = One::alive(&spec(1, Mode::Daemon));
    one.tell(Event::Kill(
        Order {
            reason: None,
            ..order()
        },
        false,
    ));
    assert!(
        one.reason().starts_with("killed by ann; "),
        "{}",
        one.reason()
    );
}

#[test]
fn a_hold_lasts_until_somebody_lifts_it_and_says_who_over_new_revisions() {
    let mut one = One::alive(&spec(1, Mode::Daemon));
    one.tell(Event::Kill(order(), true));
    one.tell(Event::Kill(order(), false));
    assert!(one.state.held);
    one.ends(0);
    one.put(&spec(2, Mode::Daemon));
    assert!(!one.starts());
    assert_eq!(one.row().version.as_deref(), Some("1.0.2"));
    assert_eq!(one.row().state, status::State::Killed);
    assert_eq!(one.reason(), "killed by ann: too loud");
    one.tell(Event::Start(order()));
    assert!(one.starts() && !one.state.held);
}

#[test]
fn what_the_box_refused_runs_when_it_is_put_again() {
    let mut one = One::new();
    let spec = spec(1, Mode::Daemon);
    one.tell(Event::Forbidden(
        Box::new(spec.clone()),
        trouble("S-A", false),
    ));
    assert_eq!(one.row().state, status::State::Refused);
    assert_eq!(one.reason(), "no, by S-A");
    assert_eq!(one.row().rule.as_deref(), Some("S-A"));
    one.put(&spec);
    assert!(one.starts());
}

#[test]
fn what_is_forbidden_while_it_runs_runs_on_and_is_no_successor() {
    let spec = spec(1, Mode::Daemon);
    let mut one = One::alive(&spec);
    one.tell(Event::Forbidden(Box::new(spec), trouble("S-A", false)));
    assert!(matches!(one.phase(), Phase::Alive(_)));
    assert!(one.state.successor.is_none());
    let current = one.state.current.expect("it runs");
    assert!(matches!(current.preparation, Preparation::Failed(_)));
}

#[test]
fn what_is_forbidden_takes_the_place_of_what_gave_way() {
    let mut one = given_way();
    assert_eq!(
        next_version(&one).as_deref(),
        Some("1.0.2"),
        "{:?}",
        one.row()
    );
    let three = spec(3, Mode::Daemon);
    one.tell(Event::Forbidden(Box::new(three), trouble("S-A", false)));
    assert_eq!(next_version(&one).as_deref(), Some("1.0.3"));
}

/// What an agent says of something that may not run.
fn standing(state: status::State, reason: &str) -> Standing {
    Standing {
        workflow: "web".parse().expect("a name"),
        bundle: None,
        mode: None,
        by: None,
        next: Next {
            version: None,
            state,
            reason: reason.into(),
            rule: None,
            commit: None,
        },
    }
}

#[test]
fn since_when_something_stands_is_known_until_it_stands_otherwise_and_over_a_removal() {
    use status::State::{Blocked, Refused};
    let mut one = One::alive(&spec(1, Mode::Daemon));
    let stands = |one: &mut One, at: u64, standing: Option<Standing>| {
        one.time = at;
        one.tell(Event::Standing(standing.clone()));
        assert_eq!(one.state.standing, standing);
        one.state.standing_since.map(|Wall(since)| since)
    };
    assert_eq!(stands(&mut one, 10, Some(standing(Refused, "a"))), Some(10));
    assert_eq!(stands(&mut one, 20, Some(standing(Refused, "b"))), Some(10));
    assert_eq!(stands(&mut one, 30, Some(standing(Blocked, "b"))), Some(30));
    assert_eq!(stands(&mut one, 40, None), None);
    assert_eq!(stands(&mut one, 50, Some(standing(Refused, "a"))), Some(50));
    one.tell(removal());
    one.ends(0);
    assert!(one.state.is_empty() && !one.state.is_gone());
    assert_eq!(one.state.standing, Some(standing(Refused, "a")));
    assert_eq!(one.state.standing_since, Some(Wall(50)));
}

#[test]
fn one_that_is_ready_after_a_time_is_looked_at_then() {
    let long = Duration::from_secs(3);
    let mut one = One::alive(&RunSpec {
        ready: Some(Ready {
            probe: Probe::After(long),
            timeout: Duration::from_secs(60),
        }),
        ..spec(1, Mode::Daemon)
    });
    let at = BootTime(Duration::from_millis(one.time)) + long;
    assert_eq!(deadline(&one.state), Some(at));
    one.time += 3000;
    one.tell(Event::Tick);
    assert_eq!(one.row().state, status::State::Ready);
}

#[test]
fn nothing_is_installed_for_what_is_killed() {
    let mut one = One::alive(&spec(1, Mode::Daemon));
    one.tell(Event::Kill(order(), true));
    one.put(&installed(2));
    let asked = |one: &One| {
        one.effects
            .contains(&Effect::Install(installed(2).revision))
    };
    assert!(!asked(&one), "{:?}", one.effects);
    one.ends(0);
    assert_eq!(one.row().version.as_deref(), Some("1.0.2"));
    assert_eq!(one.row().state, status::State::Killed);
    assert!(!asked(&one), "{:?}", one.effects);
    one.tell(Event::Start(order()));
    assert!(asked(&one));
}

/// One whose second version is being stopped, to give way to the first.
fn giving_way() -> One {
    let mut one = One::alive(&spec(1, Mode::Daemon));
    one.put(&asking(2));
    one.ends(0);
    one.of(Change::Started(process(8)));
    one.time += 6000;
    one.tell(Event::Tick);
    one
}

/// One whose second version gave way to the first.
fn given_way() -> One {
    let mut one = giving_way();
    one.ends(0);
    one.of(Change::Started(process(9)));
    one
}

fn next_version(one: &One) -> Option<String> {
    one.row().next.and_then(|next| next.version)
}

#[test]
fn what_is_put_again_while_it_gives_way_is_held_once() {
    let mut one = giving_way();
    one.put(&asking(2));
    assert!(
        one.state.successor.is_none(),
        "it does not come after itself"
    );
    // Without anything to go back to it goes on, and is held no more.
    let first = spec(1, Mode::Daemon).revision;
    one.tell(Event::Judged(first, Err(trouble("S-A", false))));
    one.ends(0);
    assert!(one.starts());
    assert_eq!(one.row().version.as_deref(), Some("1.0.2"));
    assert!(next_version(&one).is_none());
}

#[test]
fn what_the_box_forbids_ends_with_its_process_and_what_is_held_beside_it_stays_held() {
    let mut one = given_way();
    let revision = spec(1, Mode::Daemon).revision;
    let refused = || Event::Judged(revision, Err(trouble("S-A", false)));
    assert_eq!(one.tell(refused()).len(), 1, "the record");
    assert!(one.tell(refused()).is_empty(), "once");
    assert!(matches!(one.phase(), Phase::Alive(_)));
    assert_eq!(next_version(&one).as_deref(), Some("1.0.2"));
    one.ends(1);
    one.time += 60_000;
    one.tell(Event::Tick);
    assert_eq!(one.row().state, status::State::Refused);
    assert_eq!(one.row().rule.as_deref(), Some("S-A"));
    assert!(!one.starts());
    one.tell(Event::Judged(revision, Ok(())));
    assert!(one.starts());
    assert_eq!(one.row().version.as_deref(), Some("1.0.1"));
    assert_eq!(next_version(&one).as_deref(), Some("1.0.2"));
}

#[test]
fn a_start_that_the_box_forbids_meanwhile_is_refused_and_not_tried_again() {
    let mut one = One::new();
    let spec = spec(1, Mode::Daemon);
    one.put(&spec);
    one.tell(Event::Judged(spec.revision, Err(trouble("S-A", false))));
    one.of(Change::StartFailed(trouble("S-A", false), false));
    assert!(one.effects.is_empty(), "{:?}", one.effects);
    assert_eq!(*one.phase(), Phase::Ended(Ended::Refused));
    assert_eq!(one.reason(), "no, by S-A");
}

#[test]
fn a_successor_that_the_box_forbids_while_it_is_installed_waits_for_the_box() {
    let mut one = One::alive(&spec(1, Mode::Daemon));
    let two = installed(2);
    one.put(&two);
    one.tell(Event::Judged(two.revision, Err(trouble("S-A", false))));
    let cancel = Effect::CancelInstall(two.revision);
    assert!(one.effects.contains(&cancel), "{:?}", one.effects);
    one.tell(Event::Judged(two.revision, Ok(())));
    assert_eq!(one.effects, [Effect::Install(two.revision)]);
    assert_eq!(one.row().version.as_deref(), Some("1.0.1"));
}

#[test]
fn a_once_that_made_room_for_what_does_not_come_is_interrupted_and_not_run_again() {
    let two = spec(2, Mode::Daemon);
    let refused = Event::Judged(two.revision, Err(trouble("S-A", false)));
    for instead in [refused, Event::Put(Box::new(installed(3)))] {
        let mut one = One::alive(&spec(1, Mode::Once));
        one.put(&two);
        one.tell(instead.clone());
        one.ends(0);
        assert!(!one.starts(), "{instead:?}");
        assert_eq!(*one.phase(), Phase::Ended(Ended::Interrupted));
        let mut daemon = One::alive(&spec(1, Mode::Daemon));
        daemon.put(&two);
        daemon.tell(instead);
        daemon.ends(0);
        assert!(daemon.starts());
        assert_eq!(daemon.row().version.as_deref(), Some("1.0.1"));
    }
}

fn removal() -> Event {
    Event::Remove {
        origin: Origin::default(),
        reason: "gone".into(),
    }
}

#[test]
fn a_once_that_is_removed_while_it_makes_room_begins_anew_when_it_comes_back() {
    let mut one = One::alive(&spec(1, Mode::Once));
    one.put(&spec(2, Mode::Daemon));
    one.tell(removal());
    one.ends(0);
    assert!(one.state.is_gone());
    one.put(&spec(1, Mode::Once));
    assert!(one.starts());
}

/// A `once` with two instances that run.
fn pair() -> One {
    let mut one = One::new();
    one.put(&RunSpec {
        instances: 2,
        ..spec(1, Mode::Once)
    });
    for number in [0, 1] {
        one.of_number(number, Change::Started(process(7)));
    }
    one
}

#[test]
fn of_two_that_made_room_in_vain_the_one_that_is_gone_already_does_not_run_again() {
    let mut one = pair();
    let two = spec(2, Mode::Daemon);
    one.put(&two);
    one.ends(0);
    assert_eq!(*one.phase(), Phase::Vacant);
    one.tell(Event::Judged(two.revision, Err(trouble("S-A", false))));
    assert!(!one.starts());
    assert_eq!(*one.phase(), Phase::Ended(Ended::Interrupted));
}

#[test]
fn each_of_two_that_were_over_comes_back_as_itself() {
    let mut one = pair();
    for number in [0, 1] {
        let code = i32::from(number);
        one.of_number(number, Change::Exited(LastExit::Code { code }));
        one.of_number(number, Change::TreeGone);
    }
    one.tell(removal());
    one.put(&RunSpec {
        instances: 2,
        ..spec(1, Mode::Once)
    });
    let instances = one.state.instances.iter();
    let found: Vec<_> = instances.map(|i| (i.number, i.phase.clone())).collect();
    let wanted = [
        (0, Phase::Ended(Ended::Finished)),
        (1, Phase::Ended(Ended::Failed)),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn a_removal_stops_what_runs_and_is_nothing_where_nothing_is() {
    let mut one = One::new();
    assert!(one.tell(removal()).is_empty());
    let mut one = One::alive(&spec(1, Mode::Daemon));
    one.tell(removal());
    assert!(one.state.leaving && !one.state.is_gone());
    let signal = |effect: &Effect| matches!(effect, Effect::Signal { .. });
    assert!(one.effects.iter().any(signal));
    one.ends(0);
    assert_eq!(one.effects, [Effect::Forget]);
    assert!(one.state.is_gone());
}

#[test]
fn what_is_put_again_while_it_leaves_comes_back_as_it_was_put() {
    let spec = spec(1, Mode::Daemon);
    let mut one = One::alive(&spec);
    one.tell(removal());
    let again = RunSpec {
        time_limit: Some(Duration::from_secs(9)),
        ..spec
    };
    one.put(&again);
    one.ends(0);
    assert!(one.starts());
    let current = one.state.current.expect("it is back");
    assert_eq!(current.spec.time_limit, again.time_limit);
}

#[test]
fn an_install_that_failed_is_told_and_one_that_nobody_waits_for_is_not() {
    let spec = installed(1);
    let mut one = One::new();
    one.put(&spec);
    assert!(one.installs());
    assert_eq!(one.reason(), "[install] runs");
    let other = Digest::of(b"other");
    assert!(
        one.tell(Event::InstallFailed(other, trouble("S-A", true)))
            .is_empty()
    );
    one.tell(Event::InstallFailed(spec.revision, trouble("S-A", true)));
    let record = one.record("install").expect("a record");
    assert_eq!(record.rule.as_deref(), Some("S-A"));
    assert_eq!(record.reason.as_deref(), Some("no, by S-A"));
    assert_eq!(one.row().state, status::State::Failed);
}

#[test]
fn a_kill_ends_an_install_and_what_needs_none_gets_none() {
    let spec = installed(1);
    let mut one = One::new();
    one.put(&spec);
    one.tell(Event::Kill(order(), false));
    assert!(one.effects.contains(&Effect::CancelInstall(spec.revision)));
    let mut one = One::alive(&self::spec(1, Mode::Daemon));
    one.put(&self::spec(2, Mode::Daemon));
    assert!(!one.installs());
}

#[test]
fn a_start_cuts_a_wait_short_and_knows_how_it_ended() {
    let mut one = One::alive(&spec(1, Mode::Daemon));
    one.ends(1);
    one.of(Change::Started(process(8)));
    one.ends(1);
    assert!(matches!(one.phase(), Phase::Backoff { .. }));
    assert!(
        one.reason().contains("; starts again in "),
        "{}",
        one.reason()
    );
    assert_eq!(one.row().restarts, 2);
    one.tell(Event::Start(order()));
    assert!(one.starts());
    let mut one = One::alive(&spec(1, Mode::Once));
    one.ends(3);
    let run = one.state.instances[0].run;
    one.tell(Event::Start(order()));
    assert!(one.starts() && one.state.instances[0].run == run + 1);
    assert_eq!(one.row().last_exit, Some(LastExit::Code { code: 3 }));
}

#[test]
fn a_restart_counts() {
    let mut one = One::alive(&spec(1, Mode::Daemon));
    one.tell(Event::Restart(order()));
    one.ends(0);
    assert!(one.starts());
    assert_eq!(one.row().restarts, 1);
}

#[test]
fn a_run_that_was_long_enough_starts_the_delays_over() {
    let mut one = One::alive(&spec(1, Mode::Daemon));
    for streak in [1, 2, 3] {
        one.ends(1);
        assert_eq!(one.state.instances[0].streak, streak);
        one.time += 600_000;
        one.tell(Event::Tick);
        one.of(Change::Started(process(8)));
    }
    one.time += 10_000;
    one.ends(1);
    assert_eq!(one.state.instances[0].streak, 1);
}

#[test]
fn what_is_born_is_known_and_what_is_killed_twice_is() {
    let mut one = One::new();
    one.put(&spec(1, Mode::Daemon));
    one.of(Change::Born(process(7)));
    assert_eq!(one.phase(), &Phase::Born(process(7)));
    assert_eq!(one.row().pid, Some(7));
    one.of(Change::Started(process(7)));
    one.of(Change::Born(process(7)));
    assert!(matches!(one.phase(), Phase::Alive(_)));
    one.of(Change::Exited(LastExit::Code { code: 0 }));
    assert!(one.kills());
    one.time += 60_000;
    one.tell(Event::Tick);
    assert!(one.kills(), "it is killed again");
}

#[test]
fn what_is_blocked_is_told_once() {
    let mut one = One::new();
    one.put(&spec(1, Mode::Daemon));
    let fail = |one: &mut One, rule: &str, passing: bool| {
        one.of(Change::StartFailed(trouble(rule, true), passing));
        let told = one.record("fail").is_some();
        let reason = one.reason();
        let when = if passing {
            "; tried again in "
        } else {
            "; starts again in "
        };
        assert!(
            reason.starts_with("no, by") && reason.contains(when),
            "{reason}"
        );
        one.time += 600_000;
        // The wait is over: it is tried again, and its trouble is forgotten only when it starts.
        let rule = one.state.instances[0].rule.clone();
        one.tell(Event::Tick);
        assert!(one.starts());
        one.state.instances[0].rule = rule;
        told
    };
    assert!(fail(&mut one, "S-A", true));
    assert!(!fail(&mut one, "S-A", true));
    assert!(fail(&mut one, "S-B", true), "something else");
    assert!(fail(&mut one, "S-B", false), "its own fault");
    let mut fresh = One::new();
    fresh.put(&spec(1, Mode::Daemon));
    fresh.state.instances[0].rule = Some("S-A".into());
    assert!(fail(&mut fresh, "S-A", true), "the first in a row");
}

#[test]
fn one_that_asks_for_nothing_is_not_given_up_because_it_does_not_start() {
    let mut one = One::new();
    one.put(&spec(1, Mode::Daemon));
    for _ in 0..7 {
        one.of(Change::StartFailed(trouble("S-A", true), false));
        assert!(
            matches!(one.phase(), Phase::Backoff { .. }),
            "{:?}",
            one.phase()
        );
        one.time += 600_000;
        one.tell(Event::Tick);
    }
}

#[test]
fn only_an_install_that_was_changed_is_made_anew() {
    let changed = swarm_manifests::rules::run::CHANGED.id;
    for (rule, anew) in [(changed, true), ("S-A", false)] {
        let spec = installed(1);
        let mut one = One::new();
        one.put(&spec);
        one.tell(Event::Installed(spec.revision, spec.revision));
        one.of(Change::StartFailed(trouble(rule, true), false));
        one.time += 600_000;
        one.tell(Event::Tick);
        assert_eq!((one.installs(), one.starts()), (anew, !anew), "{rule}");
    }
}

#[test]
fn who_was_starved_is_told_its_limit() {
    let mut spec = spec(1, Mode::Daemon);
    spec.limits.memory = Some(ByteSize(24 << 20));
    let mut one = One::alive(&spec);
    let signal = "SIGKILL".into();
    one.of(Change::Starved(LastExit::Signal { signal }));
    assert_eq!(
        one.record("exit")
            .and_then(|record| record.reason.as_deref()),
        Some("killed by the kernel: over its memory limit of 24M")
    );
}

#[test]
fn what_a_program_says_of_itself_is_read() {
    let mut one = One::alive(&asking(1));
    assert!(
        one.reason().starts_with("not ready yet, given up in 5s"),
        "{}",
        one.reason()
    );
    one.of(Change::Status(" busy ".into()));
    assert!(
        one.reason().starts_with("it says: busy; not ready"),
        "{}",
        one.reason()
    );
    one.of(Change::Ready);
    assert_eq!(one.reason(), "it says: busy");
    assert_eq!(one.row().state, status::State::Ready);
    one.of(Change::Status(" ".into()));
    assert_eq!(one.reason(), "");
    one.time += 1000;
    assert_eq!(one.row().up_s, Some(1.0));
}

#[test]
fn longer_is_granted_within_reason_where_something_is_waited_for() {
    let left = |one: &One| super::deadline(&one.state).map(|at| at.0.as_millis());
    // Its start.
    let mut one = One::alive(&asking(1));
    one.of(Change::Extend(Duration::from_secs(20)));
    one.tell(Event::Tick);
    assert!(one.reason().contains("given up in 20s"), "{}", one.reason());
    one.of(Change::Extend(Duration::from_secs(500)));
    assert!(one.reason().contains("given up in 50s"), "{}", one.reason());
    // Its end, as it says.
    let mut one = One::alive(&spec(1, Mode::Daemon));
    one.of(Change::Going);
    assert_eq!(one.row().state, status::State::Stopping);
    let before = left(&one);
    assert!(
        one.reason().contains("it ends by itself, stopped in "),
        "{}",
        one.reason()
    );
    one.of(Change::Extend(Duration::from_secs(40)));
    assert_eq!(left(&one), Some(40_001));
    one.of(Change::Extend(Duration::from_secs(1)));
    assert_eq!(left(&one), Some(40_001), "what it has is not taken from it");
    assert_ne!(before, left(&one));
    one.time = 41_000;
    one.tell(Event::Tick);
    assert!(
        matches!(one.phase(), Phase::Stopping { .. }),
        "{:?}",
        one.phase()
    );
    // Its end, as it is told.
    let until = left(&one).expect("a deadline");
    one.of(Change::Extend(Duration::from_secs(30)));
    assert!(left(&one) > Some(until), "{:?}", left(&one));
    assert!(
        one.reason().contains("killed in 30s if it does not end"),
        "{}",
        one.reason()
    );
    assert_eq!(one.row().up_s, Some(40.999));
}

#[test]
fn another_process_with_its_number_is_not_taken_for_it() {
    let mut one = One::alive(&spec(1, Mode::Daemon));
    let other = Process {
        pid: 7,
        start_time: 2,
    };
    one.tell(Event::Recovered(vec![Survivor::Alive(other)]));
    assert!(one.record("exit").is_some() && one.kills());
    let mut one = One::alive(&spec(1, Mode::Daemon));
    one.tell(Event::Recovered(vec![Survivor::Alive(process(7))]));
    assert!(one.effects.is_empty());
}

#[test]
fn what_was_being_cleared_ends_as_it_would_have() {
    let mut one = One::alive(&spec(1, Mode::Once));
    one.of(Change::Exited(LastExit::Code { code: 0 }));
    let gone = |leftovers| vec![Survivor::Gone(LastExit::Unseen { seen: false }, leftovers)];
    one.tell(Event::Recovered(gone(true)));
    one.of(Change::TreeGone);
    assert_eq!(one.phase(), &Phase::Ended(Ended::Finished));
    one.tell(Event::Recovered(gone(false)));
    assert!(one.effects.is_empty(), "{:?}", one.effects);
    assert_eq!(one.phase(), &Phase::Ended(Ended::Finished));
}

#[test]
fn a_state_is_saved_first_for_a_start_of_what_the_saved_one_does_not_lead_to() {
    let spec = spec(1, Mode::Daemon);
    let mut one = One::new();
    one.put(&spec);
    let known = trail(&one.state);
    assert_eq!(known, Some((spec.revision, 1)));
    assert!(is_saved_first(None, &one.state, &one.effects));
    assert!(!is_saved_first(known, &one.state, &one.effects));
    assert!(!is_saved_first(None, &one.state, &[]));
}

#[test]
fn a_version_is_found_by_its_revision() {
    let mut one = One::alive(&spec(1, Mode::Daemon));
    one.put(&spec(2, Mode::Daemon));
    for number in [1, 2] {
        let revision = spec(number, Mode::Daemon).revision;
        let found = one.state.version(&revision).expect("it is there");
        assert_eq!(found.spec.revision, revision);
    }
    assert!(one.state.version(&Digest::of(b"other")).is_none());
}
