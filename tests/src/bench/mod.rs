//! `./dev bench`: what the program costs, each figure beside its limit or its peer in the same run.
//!
//! Starts real processes of the release build in worlds of their own. Nothing here asserts a time; what cannot be measured is an error.

pub mod figures;

mod c;
mod commits;
mod delivery;
mod hostile;
mod idle;
mod poll;
mod program;
mod publish;
mod supervising;
mod trust;
mod watched;
pub mod webhook;

use crate::world::swarm_program;
use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use delivery::{Course, Transport};
use figures::{Goal, Peer, Row, Samples};
use poll::Line;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Measures, prints a table, writes JSON.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub struct Options {
    /// Where the figures go as JSON, beside the table on stdout
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Rounds from a ref update to the first instruction, of ours and of the peer each
    #[arg(long, default_value_t = 40)]
    rounds: usize,
    #[command(flatten)]
    supervision: supervising::Extent,
    /// Take programs that are no release build; their figures mean nothing
    #[arg(long)]
    any_build: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Part {
    Delivery,
    Poll,
    Idle,
    Publish,
    Trust,
    Hostile,
    Supervisor,
}

/// What was found.
#[derive(Debug, Default)]
struct Findings {
    rows: Vec<Row>,
    /// What `/proc` said of the measured workflows.
    protections: Vec<String>,
    /// What cannot be measured here, and why.
    left_out: Vec<String>,
}

/// Measures everything that is asked for; the table goes to stdout.
pub fn run(options: &Options) -> Result<()> {
    let program = swarm_program("swarm-agent").canonicalize()?;
    let is_release = program
        .components()
        .any(|part| part.as_os_str() == "release");
    ensure!(
        is_release || options.any_build,
        "{} is no release build: ./dev bench makes one",
        program.display()
    );
    let wanted = |part: Part| options.only.is_empty() || options.only.contains(&part);
    let before = load();
    let mut found = Findings::default();
    if wanted(Part::Delivery) {
        deliveries(options.rounds, &mut found)?;
    }
    if wanted(Part::Poll) {
        polls(&mut found)?;
    }
    if wanted(Part::Idle) {
        idling(&mut found)?;
    }
    if wanted(Part::Publish) {
        publishing(&mut found)?;
    }
    if wanted(Part::Trust) {
        trusting(&mut found)?;
    }
    if wanted(Part::Hostile) {
        hostile::hostile(&mut found)?;
    }
    if wanted(Part::Supervisor) {
        supervising::supervising(&options.supervision, &mut found)?;
    }
    let after = load();
    print!("{}", figures::table(&found.rows));
    for line in &found.protections {
        println!("{line}");
    }
    for what in &found.left_out {
        println!("left out: {what}");
    }
    println!("load of this machine before: {before}; after: {after}");
    write(&options.json, &found, &program, (&before, &after))
}

fn write(path: &Path, found: &Findings, program: &Path, load: (&str, &str)) -> Result<()> {
    let figures = json!({
        "program": program,
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "load": {"before": load.0, "after": load.1},
        "protections": found.protections,
        "left_out": found.left_out,
        "rows": found.rows.iter().map(Row::json).collect::<Vec<_>>(),
    });
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, serde_json::to_string_pretty(&figures)? + "\n")
        .with_context(|| path.display().to_string())
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn say(what: &str) {
    eprintln!("bench: {what}");
}

fn deliveries(rounds: usize, found: &mut Findings) -> Result<()> {
    let once = Course {
        transport: Transport::Http,
        is_crowded: false,
        stays: false,
    };
    let courses = [
        ("http, once", once),
        (
            "http, daemon replaced",
            Course {
                stays: true,
                ..once
            },
        ),
        (
            "http, once, 10,000 bundles",
            Course {
                is_crowded: true,
                ..once
            },
        ),
        (
            "ssh kept, once",
            Course {
                transport: Transport::Ssh,
                ..once
            },
        ),
    ];
    let mut headline = None;
    for (name, course) in courses {
        say(&format!("ref update to first instruction: {name}"));
        let finish = delivery::race(course, rounds).with_context(|| name.to_string())?;
        let ours = finish.ours.clone();
        let goal = if course.transport == Transport::Ssh || course.stays {
            Goal::None
        } else {
            Goal::AtMostOfPeer(0.5)
        };
        found.rows.push(Row {
            what: format!("ref update to first instruction ({name})"),
            unit: "ms",
            samples: finish.ours,
            peer: Some(peer("git fetch + exec", finish.git)),
            goal,
        });
        found.rows.push(Row {
            what: format!("  CPU of supervisor and agent in it ({name})"),
            unit: "ms",
            samples: finish.cpu,
            peer: None,
            goal: Goal::None,
        });
        if course.is_crowded
            && let Some(small) = headline.clone()
        {
            found.rows.push(Row {
                what: "  the same, beside the small repository".into(),
                unit: "ms",
                samples: ours.clone(),
                peer: Some(peer("http, once", small)),
                goal: Goal::AtMostOfPeer(1.1),
            });
        }
        headline = headline.or(Some(ours));
        found
            .protections
            .push(format!("{name}: {}", finish.protections.words()));
    }
    Ok(())
}

fn peer(name: &str, samples: Samples) -> Peer {
    Peer {
        name: name.into(),
        samples,
    }
}

fn polls(found: &mut Findings) -> Result<()> {
    let lines = [
        ("http, 10 refs", Line::Http, 10, true),
        ("http, 10,000 refs", Line::Http, 10_000, true),
        ("https, 10 refs", Line::Https, 10, false),
        ("ssh, 10 refs", Line::Ssh, 10, false),
    ];
    for (name, line, refs, is_held) in lines {
        say(&format!("a poll that finds nothing: {name}"));
        let batches = if line == Line::Ssh { 3 } else { 12 };
        let cost = poll::cost(line, refs, batches).with_context(|| name.to_string())?;
        let goal = |limit| {
            if is_held {
                Goal::AtMost(limit)
            } else {
                Goal::None
            }
        };
        found.rows.push(Row {
            what: format!("a poll that finds nothing, agent CPU ({name})"),
            unit: "ms",
            samples: cost.cpu,
            peer: cost.limit.map(|limit| peer("limit in C", limit)),
            goal: goal(0.1),
        });
        if line == Line::Ssh {
            found.rows.push(Row {
                what: format!("  CPU of the ssh that it runs ({name})"),
                unit: "ms",
                samples: vec![cost.children].into(),
                peer: None,
                goal: Goal::None,
            });
        }
        if let Some(bytes) = cost.bytes {
            found.rows.push(Row {
                what: format!("  bytes both ways ({name})"),
                unit: "B",
                samples: bytes,
                peer: None,
                goal: goal(1000.0),
            });
        }
    }
    Ok(())
}

fn idling(found: &mut Findings) -> Result<()> {
    say("a minute of nothing to do");
    let idle = idle::idle(1)?;
    let mut row = |what: &str, unit, samples, goal| {
        found.rows.push(Row {
            what: what.into(),
            unit,
            samples,
            peer: None,
            goal,
        });
    };
    row(
        "idle: supervisor, keeper and agent, resident",
        "MB",
        idle.resident,
        Goal::AtMost(12.0),
    );
    row("  proportional (PSS)", "MB", idle.proportional, Goal::None);
    row(
        "idle: CPU a minute, with heartbeats every 15 s",
        "ms",
        idle.cpu,
        Goal::AtMost(10.0),
    );
    row(
        "  of these the supervisor's",
        "ms",
        idle.supervisor_cpu,
        Goal::None,
    );
    Ok(())
}

fn publishing(found: &mut Findings) -> Result<()> {
    say("publishing 100 MB");
    let published = publish::publish(4)?;
    found.rows.push(Row {
        what: "publish 1,000 files of 100 kB".into(),
        unit: "MB/s",
        samples: published.ours,
        peer: Some(peer("git hash-object -w", published.git)),
        goal: Goal::AtLeastOfPeer(0.9),
    });
    found.rows.push(Row {
        what: "publish with 10 files changed, blobs written (with bundle.toml, lock, sig)".into(),
        unit: "blobs",
        samples: published.rewritten,
        peer: None,
        goal: Goal::AtMost(13.0),
    });
    found.rows.push(Row {
        what: "  time of that".into(),
        unit: "ms",
        samples: published.change,
        peer: None,
        goal: Goal::None,
    });
    Ok(())
}

fn trusting(found: &mut Findings) -> Result<()> {
    say("ten thousand trunk commits, and one");
    let cost = trust::trunk(3)?;
    found.rows.push(Row {
        what: format!("a new box verifies {} trunk commits", trust::COMMITS),
        unit: "ms",
        samples: cost.chain,
        peer: None,
        goal: Goal::AtMost(2000.0),
    });
    found.rows.push(Row {
        what: "  one new commit on that trunk".into(),
        unit: "ms",
        samples: cost.one,
        peer: None,
        goal: Goal::AtMost(2.0),
    });
    say("a bundle of 268 MB");
    let hashed = trust::hashing(5)?;
    found.rows.push(Row {
        what: "a bundle verified from its files (swarm-pack verify)".into(),
        unit: "MB/s",
        samples: hashed.ours,
        peer: Some(peer("openssl speed sha256", hashed.openssl)),
        goal: Goal::AtLeastOfPeer(0.85),
    });
    Ok(())
}
