//! What a fetch costs at most, whatever the server sends: memory of agent and indexer, bytes on the disk. Starts boxes and hostile
//! servers, and reads `/proc` and the boxes' folders.

mod pack;
mod server;

use super::{
    Findings,
    figures::{Goal, Row, Samples},
    say,
    watched::{Roles, most_resident},
};
use crate::{
    Deploy, SwarmBox, World,
    process::{indexer_of, until},
};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use server::{Hostile, Trick};
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// The agent's part, and the address space of an indexer.
const MEMORY: f64 = 32.0 + 314.6;
/// The largest pack, its index, and what a box has anyhow.
const DISK: f64 = 4_400.0;
/// What a refused fetch may leave.
const LEFT: f64 = 1.0;
/// A slow server is watched for so long: it would go on for an hour.
const WATCHED: Duration = Duration::from_secs(10);

/// Measures every trick.
pub fn hostile(found: &mut Findings) -> Result<()> {
    let mut left = Samples::default();
    for trick in Trick::ALL {
        let name = trick.name();
        say(&format!("a hostile server: {name}"));
        let cost = suffer(trick).with_context(|| name.to_owned())?;
        left.push(cost.left);
        let rows = [
            ("memory of agent and indexer, at most", cost.memory, MEMORY),
            ("  on the disk, at most", cost.disk, DISK),
        ];
        for (what, value, limit) in rows {
            found.rows.push(Row {
                what: format!("{what} (hostile server: {name})"),
                unit: "MB",
                samples: vec![value].into(),
                peer: None,
                goal: Goal::NeverMore(limit),
            });
        }
    }
    found.rows.push(Row {
        what: "left on the disk by fetches from hostile servers".into(),
        unit: "MB",
        samples: left,
        peer: None,
        goal: Goal::NeverMore(LEFT),
    });
    Ok(())
}

/// Megabytes.
struct Cost {
    memory: f64,
    disk: f64,
    left: f64,
}

/// One box, whose first fetch is from such a server.
fn suffer(trick: Trick) -> Result<Cost> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = Hostile::start(trick)?;
    let mut here = SwarmBox::new(
        &world,
        "box-1",
        &deploy,
        &server.url(),
        "poll = \"1h\"\n",
        "",
    )?;
    here.run()?;
    let supervisor = here.supervisor().pid();
    let agent = Roles::find(supervisor)?.agent;
    let watch = Watch::begin(supervisor, here.path("state"));
    let refused = if trick == Trick::Slow {
        std::thread::sleep(WATCHED);
        Ok(())
    } else {
        until("the box refusing what came", || {
            let status = here.agent(&["status", "--json"]).ok()?;
            let status: Value = serde_json::from_str(&status).ok()?;
            status["failure"]["rule"].as_str().map(drop)
        })
        .with_context(|| here.log())
    };
    let agents = most_resident(agent)?;
    let peak = watch.end()?;
    refused?;
    drop(server);
    let state = here.path("state");
    here.supervisor().end();
    Ok(Cost {
        memory: agents + peak.indexer,
        disk: peak.disk,
        left: on_disk(&state.join("indexer")) + on_disk(&state.join("agent/quarantine")),
    })
}

/// Looks without pause at a box's indexers and at its disk, until it is asked.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Peak>,
}

/// Megabytes, the most that was seen.
#[derive(Debug, Default)]
struct Peak {
    indexer: f64,
    disk: f64,
}

impl Watch {
    fn begin(supervisor: u32, state: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let over = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut peak = Peak::default();
            while !over.load(Ordering::Relaxed) {
                if let Some(indexer) = indexer_of(supervisor)
                    && let Ok(held) = most_resident(indexer)
                {
                    peak.indexer = peak.indexer.max(held);
                }
                peak.disk = peak.disk.max(on_disk(&state));
                std::thread::sleep(Duration::from_millis(1));
            }
            peak
        });
        Self { stop, thread }
    }

    fn end(self) -> Result<Peak> {
        self.stop.store(true, Ordering::Relaxed);
        let Ok(peak) = self.thread.join() else {
            bail!("the watch over the disk panicked");
        };
        Ok(peak)
    }
}

/// Megabytes that a folder's files take, as the file system counts them; what goes meanwhile counts nothing.
fn on_disk(folder: &Path) -> f64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        let meta = entry.metadata().ok()?;
        #[allow(clippy::cast_precision_loss, reason = "gigabytes")]
        let own = meta.blocks() as f64 * 512.0 / 1e6;
        Some(if meta.is_dir() {
            own + on_disk(&entry.path())
        } else {
            own
        })
    });
    sizes.sum()
}
