//! What supervision costs, beside the limits in C, in the same run. Touches processes, cgroups and the compiler.

mod contender;
mod hardship;
mod limit;
mod measure;
mod ours;
mod peers;

use super::{
    Findings,
    c::compile,
    figures::{Goal, Peer, Row, Samples},
    say,
};
use crate::{Deploy, World};
use anyhow::{Context, Result};
use clap::Args;
use contender::{Contender, until_all_started};
use limit::Limit;
use measure::{Course, Crowd};
use ours::Ours;
use peers::Kind;
use std::{fs, path::PathBuf, time::Duration};

/// How much is measured of supervision.
#[derive(Debug, Clone, Args)]
pub struct Extent {
    /// Children of a crowd
    #[arg(long, default_value_t = 1000)]
    children: usize,
    /// Deaths in a row, of each contender
    #[arg(long, default_value_t = 200)]
    deaths: usize,
    /// Deaths with a pause before each, of each contender
    #[arg(long, default_value_t = 15)]
    calm_deaths: usize,
    /// Deaths in a row, of each other supervisor
    #[arg(long, default_value_t = 10)]
    peer_deaths: usize,
    /// Without the other supervisors
    #[arg(long)]
    without_peers: bool,
    /// Seconds in which nothing happens
    #[arg(long, default_value_t = 30)]
    quiet: u64,
}

/// Longer than any of them holds a child back that has ended too soon.
const CALM: Duration = Duration::from_millis(2500);
/// What a limit may be exceeded by.
const FACTOR: f64 = 1.5;

/// Measures all of it.
pub fn supervising(extent: &Extent, found: &mut Findings) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        found.left_out.push(
            "supervision and the other supervisors: sandboxes and cgroups are root's to give (sudo ./dev bench --only supervisor)".into(),
        );
        return Ok(());
    }
    let groups = Groups::new()?;
    say("killed, and its successor executes");
    races(extent, &groups, found)?;
    if !extent.without_peers {
        peer_races(extent, found)?;
    }
    crowds(extent, &groups, found)?;
    hardships(extent, found)
}

fn races(extent: &Extent, groups: &Groups, found: &mut Findings) -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let child = compile(&world, "child", include_str!("child.c"))?;
    let mut ours = Ours::new(&world, &deploy, &child, 1)?;
    let mut sandbox = Limit::new(&world, &child, true, 1, groups.path("sandbox"))?;
    let mut bare = Limit::new(&world, &child, false, 1, groups.path("bare"))?;
    for contender in [&mut ours as &mut dyn Contender, &mut sandbox, &mut bare] {
        contender.begin()?;
        until_all_started(contender, 1)?;
    }
    let all: [&dyn Contender; 3] = [&ours, &sandbox, &bare];
    let courses = [
        ("in a loop", extent.deaths, Duration::ZERO),
        ("after 2.5 s of life", extent.calm_deaths, CALM),
    ];
    for (how, rounds, pause) in courses {
        let times = measure::race(&all, rounds, pause)?;
        for (contender, goal) in [(1, Goal::AtMostOfPeer(FACTOR)), (2, Goal::None)] {
            found.rows.push(Row {
                what: format!("killed, its successor executes, {how}"),
                unit: "ms",
                samples: times[0].clone(),
                peer: Some(Peer {
                    name: all[contender].name().into(),
                    samples: times[contender].clone(),
                }),
                goal,
            });
        }
        for contender in all {
            let words = measure::protections(contender)?;
            found
                .protections
                .push(format!("killed, {how}: {}: {words}", contender.name()));
        }
    }
    Ok(())
}

fn crowds(extent: &Extent, groups: &Groups, found: &mut Findings) -> Result<()> {
    let children = extent.children;
    let course = Course {
        children,
        starts: 3,
        lists: 20,
        idle: Duration::from_secs(extent.quiet),
    };
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let child = compile(&world, "child", include_str!("child.c"))?;
    say(&format!("{children} children of ours"));
    let mut ours = Ours::new(&world, &deploy, &child, children)?;
    let crowd = measure::crowd(&mut ours, course)?;
    drop(ours);
    let starts_only = Course {
        idle: Duration::ZERO,
        ..course
    };
    for (sandboxed, name) in [(true, "sandbox"), (false, "bare")] {
        say(&format!("{children} children of the limit, {name}"));
        let mut limit = Limit::new(&world, &child, sandboxed, children, groups.path(name))?;
        let times = measure::crowd(&mut limit, starts_only)?;
        found.rows.push(Row {
            what: format!("{children} children started until all execute"),
            unit: "s",
            samples: crowd.start.clone(),
            peer: Some(Peer {
                name: limit.name().into(),
                samples: times.start,
            }),
            goal: if sandboxed {
                Goal::AtMostOfPeer(FACTOR)
            } else {
                Goal::None
            },
        });
    }
    if !extent.without_peers {
        peer_crowds(course, &crowd, found)?;
    }
    let mut row = |what: &str, unit, samples: Samples, goal| {
        found.rows.push(Row {
            what: what.replace("MANY", &children.to_string()),
            unit,
            samples,
            peer: None,
            goal,
        });
    };
    row(
        "PSS of the supervisor with its keeper, MANY children, output captured",
        "MB",
        crowd.first,
        Goal::AtMost(8.0),
    );
    row(
        "PSS of supervisor and agent, the same",
        "MB",
        crowd.all,
        Goal::AtMost(16.0),
    );
    row("list with MANY", "ms", crowd.list, Goal::AtMost(20.0));
    row(
        "idle CPU with MANY children",
        "s",
        crowd.idle,
        Goal::AtMost(0.001),
    );
    Ok(())
}

/// Others, killed in the same way; each beside our figure of this very run.
fn peer_races(extent: &Extent, found: &mut Findings) -> Result<()> {
    let world = World::new()?;
    let child = compile(&world, "child", include_str!("child.c"))?;
    let mut peers = Vec::new();
    for kind in Kind::ALL {
        let mut peer = peers::Peer::new(&world, kind, &child, 1)?;
        match peer.begin().and_then(|()| until_all_started(&peer, 1)) {
            Ok(_) => peers.push(peer),
            Err(error) => found.left_out.push(not_measured(&peer, &error)),
        }
    }
    let all: Vec<&dyn Contender> = peers.iter().map(|peer| peer as &dyn Contender).collect();
    let courses = [
        ("in a loop", extent.peer_deaths, Duration::ZERO),
        ("after 2.5 s of life", 3, CALM),
    ];
    for (how, rounds, pause) in courses {
        say(&format!(
            "killed, and its successor executes: others, {how}"
        ));
        let what = format!("killed, its successor executes, {how}");
        let ours = ours_of(found, &what);
        for (peer, times) in all.iter().zip(measure::race(&all, rounds, pause)?) {
            found
                .rows
                .push(beside(&what, "ms", ours.clone(), peer.name(), times));
        }
    }
    Ok(())
}

/// One that does not do here what it is asked for keeps no other from being measured.
fn not_measured(peer: &peers::Peer, error: &anyhow::Error) -> String {
    format!("{}: {error:#}; {}", peer.name(), peer.last_words())
}

/// Our figure that was found before.
fn ours_of(found: &Findings, what: &str) -> Samples {
    let row = found.rows.iter().find(|row| row.what == what);
    row.map(|row| row.samples.clone()).unwrap_or_default()
}

fn beside(what: &str, unit: &'static str, ours: Samples, name: &str, theirs: Samples) -> Row {
    Row {
        what: what.into(),
        unit,
        samples: ours,
        peer: Some(Peer {
            name: name.into(),
            samples: theirs,
        }),
        goal: Goal::None,
    }
}

fn peer_crowds(course: Course, ours: &Crowd, found: &mut Findings) -> Result<()> {
    let children = course.children;
    for kind in Kind::FOR_CROWDS {
        let world = World::new()?;
        let child = compile(&world, "child", include_str!("child.c"))?;
        let mut peer = peers::Peer::new(&world, *kind, &child, children)?;
        say(&format!("{children} children of {}", peer.name()));
        let course = Course {
            starts: 1,
            lists: 5,
            ..course
        };
        let theirs = match measure::crowd(&mut peer, course) {
            Ok(theirs) => theirs,
            Err(error) => {
                found.left_out.push(not_measured(&peer, &error));
                continue;
            }
        };
        let rows = [
            (
                "MANY children started until all execute",
                "s",
                &ours.start,
                theirs.start,
            ),
            (
                "PSS of all supervising processes, MANY children",
                "MB",
                &ours.all,
                theirs.all,
            ),
            ("list with MANY", "ms", &ours.list, theirs.list),
            ("idle CPU with MANY children", "s", &ours.idle, theirs.idle),
        ];
        for (what, unit, ours, theirs) in rows {
            // Not each of them lists.
            if theirs.count() == 0 {
                continue;
            }
            let what = what.replace("MANY", &children.to_string());
            found
                .rows
                .push(beside(&what, unit, ours.clone(), peer.name(), theirs));
        }
    }
    Ok(())
}

fn hardships(extent: &Extent, found: &mut Findings) -> Result<()> {
    say("a flood of output beside others");
    let flood = hardship::flood(extent.deaths)?;
    let p99 = |samples: &Samples| Samples::from(vec![samples.p99()]);
    for (what, (calm, loud)) in [
        (
            "restart of another beside a flood of output",
            &flood.restarts,
        ),
        ("list beside a flood of output", &flood.lists),
    ] {
        found.rows.push(beside(
            what,
            "ms",
            loud.clone(),
            "without the flood",
            calm.clone(),
        ));
        found.rows.push(Row {
            goal: Goal::AtMostOfPeer(1.1),
            ..beside(
                &format!("  {what}, p99"),
                "ms",
                p99(loud),
                "without the flood",
                p99(calm),
            )
        });
    }
    say("runaways, and kill -9 of those who supervise");
    let (crashed, killed) = hardship::runaways(3)?;
    let (without, agents) = hardship::upgrades(50, 5)?;
    let rows = [
        ("log of the flood", "MB", vec![flood.log].into(), 17.0),
        (
            "upgrade in place with 50, without a supervisor",
            "ms",
            without,
            100.0,
        ),
        (
            "upgrade in place with 50, asked until another agent",
            "ms",
            agents,
            100.0,
        ),
        (
            "descendants alive after a crash, when the successor runs",
            "",
            crashed,
            0.0,
        ),
        ("descendants alive after a kill", "", killed, 0.0),
        (
            "of 50 children, started again or gone after kill -9 of supervisor and agent",
            "",
            hardship::crashes(50, 5)?,
            0.0,
        ),
    ];
    for (what, unit, samples, limit) in rows {
        found.rows.push(Row {
            what: what.into(),
            unit,
            samples,
            peer: None,
            goal: Goal::NeverMore(limit),
        });
    }
    Ok(())
}

/// A cgroup of the bench's own, for the limits' children.
struct Groups(PathBuf);

impl Groups {
    fn new() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mount = mounts.lines().find_map(|line| {
            let (head, tail) = line.split_once(" - ")?;
            tail.starts_with("cgroup2 ")
                .then(|| head.split(' ').nth(4).map(PathBuf::from))?
        });
        let path = mount
            .context("no cgroup2 is mounted here")?
            .join(format!("swarm-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
