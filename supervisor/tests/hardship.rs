//! What must be survived: agents that die, clients that do not read, programs that flood, fork and hide.
#![allow(clippy::expect_used)]

mod common;

use common::{World, lives, number};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    time::Duration,
};
use swarm_manifests::{
    manifest::{Mode, OnLimit},
    status::{LastExit, State},
};
use swarm_supervisor::{
    client,
    protocol::{Decoder, FromAgent, Query, Request, Response, Stream, encode},
};

fn kill(workflow: &str, hold: bool) -> Request {
    Request::Kill {
        workflow: workflow.into(),
        reason: Some("tea time".into()),
        hold,
    }
}

fn logs(workflow: &str, follow: bool) -> Request {
    Request::Logs {
        workflow: workflow.into(),
        follow,
        lines: None,
        since_unix_ms: None,
    }
}

fn done(responses: &[Response]) -> bool {
    matches!(responses.last(), Some(Response::Done { exit: 0, .. }))
}

/// Processes with this in their environment.
fn marked(mark: &str) -> Vec<i32> {
    let pids = fs::read_dir("/proc").expect("/proc").flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| {
                env.split(|byte| *byte == 0)
                    .any(|word| word == mark.as_bytes())
            })
        })
        .filter(|pid| lives(*pid))
        .collect()
}

/// A shell gives up when it cannot fork; this does not.
const BOMB: &str = "import os, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(0.01)\n";

const FOREVER: &str = "while :; do sleep 1; done";

#[test]
fn an_agent_that_dies_is_started_again_and_no_workflow_notices() {
    let mut world = World::new();
    world.put(&world.script("web", Mode::Daemon, FOREVER));
    let pid = world.reaches("web", State::Running).pid;
    world.crash();
    world.start_with_agent(&format!(
        "echo $$ > {}/agent/pid; exec cat <&3 >/dev/null",
        world.state().display()
    ));
    let file = world.state().join("agent/pid");
    let mut agent = world.until("the agent is there", |_| number(&file));
    for _ in 0..3 {
        signal::kill(Pid::from_raw(agent), Signal::SIGKILL).expect("kill");
        agent = world.until("another agent is there", |_| {
            number(&file).filter(|new| *new != agent && lives(*new))
        });
        assert_eq!(world.rows()[0].pid, pid);
    }
    assert!(done(&world.ask(&kill("web", false))));
}

/// Somebody who asks the same so many times over one connection, and waits for nothing.
fn asks(world: &World, query: Query, times: usize) -> UnixStream {
    let mut stream = UnixStream::connect(world.control()).expect("connected");
    let request = encode(&Request::Ask(query));
    for _ in 0..times {
        stream.write_all(&request).expect("sent");
        // Whatever was asked before is heard before this is answered.
        world.rows();
    }
    stream
}

#[test]
fn more_questions_than_there_is_room_for_are_refused_and_who_goes_makes_room() {
    let mut world = World::new();
    world.crash();
    // It hears everything and says nothing.
    world.start_with_agent("exec sleep 4711");
    let patient = || Query::Sync {
        timeout_ms: u64::MAX,
    };
    let mut askers = vec![asks(&world, patient(), 40)];
    let is_busy = |world: &World| {
        let asked = asks(world, patient(), 1);
        asked.set_nonblocking(true).expect("it does not wait");
        let mut answer = Vec::new();
        let _ = (&asked).read_to_end(&mut answer);
        let mut decoder = Decoder::new();
        decoder.push(&answer);
        let busy = decoder.next_frame::<Response>().expect("a frame") == Some(Response::Busy);
        (busy, asked)
    };
    for asker in 1..32 {
        let (busy, asked) = is_busy(&world);
        assert!(!busy, "with {asker}: one connection asks one question");
        askers.push(asked);
    }
    assert!(is_busy(&world).0);
    askers.pop();
    world.until("there is room again", |world| {
        (!is_busy(world).0).then_some(())
    });
}

#[test]
fn a_held_kill_outlasts_a_new_revision_and_another_does_not() {
    let mut world = World::new();
    for hold in [false, true] {
        let name = if hold { "held" } else { "free" };
        world.put(&world.script(name, Mode::Daemon, FOREVER));
        world.reaches(name, State::Running);
        assert!(done(&world.ask(&kill(name, hold))));
        let new = world.script(name, Mode::Daemon, &format!("echo new; {FOREVER}"));
        world.tell(&FromAgent::Put(Box::new(new)));
    }
    world.reaches("free", State::Running);
    let new = world.script("held", Mode::Daemon, &format!("echo newer; {FOREVER}"));
    let digest = Some(new.digest.to_string());
    world.tell(&FromAgent::Put(Box::new(new)));
    let row = world.until("the newest version, killed", |world| {
        let row = world
            .rows()
            .into_iter()
            .find(|row| row.workflow.as_str() == "held")?;
        (row.digest == digest && row.state == State::Killed).then_some(row)
    });
    let reason = row.reason.unwrap_or_default();
    assert!(
        reason.contains("killed by uid") && reason.contains("tea time"),
        "{reason}"
    );
    assert!(world.log("held").is_empty());
}

#[test]
fn a_followed_log_tells_what_comes() {
    let mut world = World::new();
    let script = "echo one; until test -e $SWARM_STATE/go; do sleep 0.02; done; echo two; while :; do sleep 1; done";
    world.put(&world.script("web", Mode::Daemon, script));
    world.until("it printed", |world| {
        (world.log("web").len() == 1).then_some(())
    });
    let mut follower = client::connect(&world.control()).expect("connected");
    follower.send(&logs("web", true)).expect("sent");
    let mut texts = Vec::new();
    while !texts.contains(&"two".to_owned()) {
        if let Response::Log(line) = follower.receive().expect("a line") {
            texts.extend((line.stream != Stream::Swarm).then_some(line.text));
        }
        fs::write(world.state().join("workflows/web/0/go"), "").expect("a file");
    }
    assert_eq!(texts, ["one", "two"]);
}

#[test]
fn a_client_that_never_reads_keeps_nobody_waiting() {
    let mut world = World::new();
    world.put(&world.script(
        "web",
        Mode::Once,
        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done",
    ));
    world.reaches("web", State::Finished);
    let mut deaf: Vec<_> = (0..20)
        .map(|_| client::connect(&world.control()).expect("connected"))
        .collect();
    for client in &mut deaf {
        client.send(&logs("web", true)).expect("sent");
    }
    for _ in 0..20 {
        assert_eq!(world.rows().len(), 1);
    }
    assert_eq!(world.log("web").len(), 20_000);
}

#[test]
fn a_time_limit_may_restart_instead() {
    let mut world = World::new();
    let mut spec = world.script("loop", Mode::Daemon, "echo up; while :; do sleep 1; done");
    spec.time_limit = Some(Duration::from_millis(200));
    spec.on_limit = OnLimit::Restart;
    world.put(&spec);
    world.until("it was restarted twice", |world| {
        (world.log("loop").len() >= 3).then_some(())
    });
    assert!(world.rows()[0].restarts >= 2);
}

#[test]
fn three_instances_have_a_number_and_a_folder_each_and_one_kill_ends_all() {
    let mut world = World::new();
    let mut spec = world.script(
        "web",
        Mode::Daemon,
        "echo $SWARM_INSTANCE $SWARM_STATE; while :; do sleep 1; done",
    );
    spec.instances = 3;
    world.put(&spec);
    let rows = world.until("all run", |world| {
        Some(world.rows())
            .filter(|rows| rows.len() == 3 && rows.iter().all(|row| row.state == State::Running))
    });
    let mut lines = world.until("all printed", |world| {
        Some(world.log("web")).filter(|lines| lines.len() == 3)
    });
    lines.sort();
    for (number, line) in lines.iter().enumerate() {
        let folder = world.state().join(format!("workflows/web/{number}"));
        assert_eq!(*line, format!("{number} {}", folder.display()));
    }
    assert!(done(&world.ask(&kill("web", false))));
    assert!(rows.iter().all(|row| !lives(row.pid.expect("a pid"))));
}

#[test]
fn how_an_adopted_process_ended_is_known() {
    let mut world = World::new();
    let script = "until test -e $SWARM_STATE/go; do sleep 0.02; done; exit 7";
    world.put(&world.script("web", Mode::Once, script));
    world.reaches("web", State::Running);
    world.crash();
    world.start();
    world.reaches("web", State::Running);
    fs::write(world.state().join("workflows/web/0/go"), "").expect("a file");
    let row = world.until("it ended", |world| {
        world.rows().into_iter().find(|row| row.pid.is_none())
    });
    // Older kernels forget it as soon as somebody else has reaped the process.
    let known = [
        (State::Failed, Some(LastExit::Code { code: 7 })),
        (State::Interrupted, Some(LastExit::Unseen { seen: false })),
    ];
    assert!(
        known.contains(&(row.state, row.last_exit.clone())),
        "{row:?}"
    );
    let kernel = nix::sys::utsname::uname().expect("a kernel");
    let release = kernel.release().to_string_lossy().into_owned();
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse().unwrap_or(0));
    if (numbers.next(), numbers.next()) >= (Some(6), Some(15)) {
        assert_eq!(row.state, State::Failed, "{release}");
    }
}

#[test]
fn a_flood_of_output_fills_no_disk_and_others_are_answered() {
    let mut world = World::new();
    // Long lines: much is printed also where lines are slow to take in, as in a debug build on a busy machine.
    world.put(&world.script("flood", Mode::Daemon, "exec yes $(printf %02000d 0)"));
    world.put(&world.script("calm", Mode::Daemon, "echo calm; while :; do sleep 1; done"));
    world.until("the calm one is logged", |world| {
        (world.log("calm") == ["calm"]).then_some(())
    });
    let folder = world.state().join("supervisor/logs/flood");
    let older = || fs::metadata(folder.join("0.log.1")).ok();
    let size = || -> u64 {
        let files = fs::read_dir(&folder).expect("its log").flatten();
        let sizes = files.filter_map(|entry| entry.metadata().ok());
        sizes.map(|meta| meta.len()).sum()
    };
    // As often as this, it has printed more than is kept of it.
    let mut rotated = BTreeSet::new();
    world.until("its log begins anew twice", |world| {
        assert_eq!(world.rows().len(), 2);
        assert!(size() <= 16 << 20, "{}", size());
        rotated.extend(older().map(|meta| meta.ino()));
        (rotated.len() >= 2).then_some(())
    });
    assert!(done(&world.ask(&kill("flood", false))));
    assert!(size() <= 16 << 20, "{}", size());
}

#[test]
fn a_fork_bomb_and_what_hides_in_sessions_of_its_own_are_gone_when_kill_returns() {
    let mut world = World::new();
    let mut bomb = world.script("bomb", Mode::Daemon, BOMB);
    bomb.command = vec!["/usr/bin/python3".into(), "{bundle}/run.sh".into()];
    bomb.limits.pids = Some(60);
    world.put(&bomb);
    let hide = "(setsid sh -c '(setsid sleep 600 &) ; exec sleep 600' &); sleep 600";
    world.put(&world.script("hidden", Mode::Daemon, hide));
    for (name, many) in [("bomb", 20), ("hidden", 3)] {
        let mark = format!("SWARM_STATE={}/workflows/{name}/0", world.state().display());
        world.until(&format!("{name} has spread"), |_| {
            (marked(&mark).len() >= many).then_some(())
        });
        assert!(done(&world.ask(&kill(name, false))));
        assert_eq!(marked(&mark), Vec::<i32>::new(), "{name}");
    }
}

#[test]
fn an_ordinary_user_s_supervisor_runs_kills_and_adopts_too() {
    if !nix::unistd::geteuid().is_root() {
        return; // Then every other test says it.
    }
    let mut world = World::of_nobody();
    world.put(&world.script(
        "web",
        Mode::Daemon,
        "id -u; setsid sleep 600 & while :; do sleep 1; done",
    ));
    let pid = world.reaches("web", State::Running).pid;
    world.until("it printed", |world| {
        (world.log("web") == ["65534"]).then_some(())
    });
    world.crash();
    world.start();
    assert_eq!(world.reaches("web", State::Running).pid, pid);
    let mark = format!("SWARM_STATE={}/workflows/web/0", world.state().display());
    assert!(done(&world.ask(&kill("web", false))));
    assert_eq!(marked(&mark), Vec::<i32>::new());
}
