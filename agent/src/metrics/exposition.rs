//! Figures as the `OpenMetrics` standard (1.0) has them: values come in, text goes out. Pure.

use super::{
    Measured,
    timings::{Timing, Timings},
};
use std::fmt::Write as _;
use swarm_manifests::status::Row;
use swarm_supervisor::protocol::Traffic;

/// The content type of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is told.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Figures {
    pub measured: Measured,
    pub timings: Timings,
    /// Looks at the remote that failed in a row.
    pub failures: u32,
    /// When the remote was reached last, in seconds since 1970.
    pub contact: Option<i64>,
}

/// What is told of an instance: metric, type, help, and its value.
type OfInstance = (
    &'static str,
    &'static str,
    &'static str,
    fn(&Row) -> Option<f64>,
);

/// What is told of an instance's traffic: metric, help, and its value.
type OfTraffic = (&'static str, &'static str, fn(&Traffic) -> u64);

/// Counts are far below what a float cannot hold.
#[allow(clippy::cast_precision_loss)]
const OF_INSTANCES: [OfInstance; 4] = [
    (
        "swarm_instance_restarts",
        "counter",
        "Starts again since start, restart or a new revision.",
        |row| Some(row.restarts as f64),
    ),
    (
        "swarm_instance_up_seconds",
        "gauge",
        "How long its process runs.",
        |row| row.up_s,
    ),
    (
        "swarm_instance_memory_bytes",
        "gauge",
        "What its tree uses.",
        |row| row.memory_bytes.map(|bytes| bytes as f64),
    ),
    (
        "swarm_instance_cpu_seconds",
        "counter",
        "Processor time of its tree.",
        |row| row.cpu_s,
    ),
];

/// The whole text.
pub fn text(figures: &Figures) -> String {
    let mut out = String::new();
    head(&mut out, "swarm_agent", "info", "The agent.");
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(out, "swarm_agent_info{{version=\"{version}\"}} 1");
    instances(&mut out, figures);
    head(
        &mut out,
        "swarm_walk_seconds",
        "summary",
        "How long the steps of the walk took.",
    );
    let Timings {
        fetch,
        verify,
        plan,
    } = figures.timings;
    for (step, Timing { count, total }) in [("fetch", fetch), ("verify", verify), ("plan", plan)] {
        let total = total.as_secs_f64();
        let _ = writeln!(out, "swarm_walk_seconds_count{{step=\"{step}\"}} {count}");
        let _ = writeln!(out, "swarm_walk_seconds_sum{{step=\"{step}\"}} {total}");
    }
    head(
        &mut out,
        "swarm_queue_length",
        "gauge",
        "What waits in the agent's queues.",
    );
    for (queue, length) in &figures.measured.queues {
        let _ = writeln!(out, "swarm_queue_length{{queue=\"{queue}\"}} {length}");
    }
    head(
        &mut out,
        "swarm_remote_failures",
        "gauge",
        "Looks at the remote that failed in a row.",
    );
    let _ = writeln!(out, "swarm_remote_failures {}", figures.failures);
    if let Some(contact) = figures.contact {
        let help = "When the remote was reached last.";
        head(
            &mut out,
            "swarm_remote_contact_timestamp_seconds",
            "gauge",
            help,
        );
        let _ = writeln!(out, "swarm_remote_contact_timestamp_seconds {contact}");
    }
    out + "# EOF\n"
}

fn instances(out: &mut String, figures: &Figures) {
    head(
        out,
        "swarm_instance_state",
        "gauge",
        "1 for the state that each instance is in.",
    );
    for row in &figures.measured.rows {
        let (of, state) = (labels(&row.workflow, row.instance), row.state.as_str());
        let version = escaped(row.version.as_deref().unwrap_or_default());
        let _ = writeln!(
            out,
            "swarm_instance_state{{{of},version=\"{version}\",state=\"{state}\"}} 1"
        );
    }
    for (name, kind, help, value) in OF_INSTANCES {
        head(out, name, kind, help);
        let total = if kind == "counter" { "_total" } else { "" };
        for row in &figures.measured.rows {
            if let Some(value) = value(row) {
                let of = labels(&row.workflow, row.instance);
                let _ = writeln!(out, "{name}{total}{{{of}}} {value}");
            }
        }
    }
    let directions: [OfTraffic; 2] = [
        (
            "swarm_instance_read_bytes",
            "Read from disks by its tree.",
            |t| t.read,
        ),
        (
            "swarm_instance_written_bytes",
            "Written to disks by its tree.",
            |t| t.written,
        ),
    ];
    for (name, help, bytes) in directions {
        head(out, name, "counter", help);
        for traffic in &figures.measured.traffic {
            let of = labels(traffic.workflow.as_str(), traffic.instance);
            let _ = writeln!(out, "{name}_total{{{of}}} {}", bytes(traffic));
        }
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# TYPE {name} {kind}\n# HELP {name} {help}");
}

fn labels(workflow: &str, instance: u16) -> String {
    format!("workflow=\"{}\",instance=\"{instance}\"", escaped(workflow))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_out() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }

    #[test]
    fn it_ends_as_it_should_and_counters_are_totals() {
        let text = text(&Figures::default());
        assert!(text.ends_with("# EOF\n"));
        assert!(text.contains("# TYPE swarm_instance_restarts counter\n"));
        assert!(text.contains("swarm_walk_seconds_count{step=\"plan\"} 0\n"));
    }
}
