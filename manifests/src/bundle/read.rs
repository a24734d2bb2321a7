//! bundle.toml: its shape and its reader (SPEC §3.1). Pure.

use super::{
    Bundle, Health, Install, Limits, Network, PortRange, Probe, Ready, Sandbox, Stop, Workdir,
};
use crate::{
    document::{self, Table},
    forms::{
        ABSOLUTE, ARGUMENT, DURATION, ENTRY, FACT, GROUP, LINE, NAME, PERCENT, PORTS, PROBE_URL,
        REQUIREMENT, SIGNAL, SIZE, USER, VARIABLE, VERSION, WORD, WORKDIR, percent, ports,
    },
    name::Name,
    problem::Problem,
    rules::file::{BAD_VALUE, FORBIDDEN_ENV, MISSING_KEY},
    shape::{Key, Kind, Shape},
};
use semver::Version;
use std::{collections::BTreeMap, ops::Range, time::Duration};

/// The most bytes that arguments and variables of one program may have together.
pub const MAX_ARGUMENTS: usize = 1 << 20;

/// bundle.toml
pub static SHAPE: Shape = Shape {
    title: "bundle.toml",
    keys: &[
        Key::required("name", Kind::Text(&NAME), "the bundle's name"),
        Key::required("version", Kind::Text(&VERSION), "the version (SemVer 2.0)"),
        Key::new("description", Kind::Text(&LINE), "what it is, in a line"),
        Key::required(
            "engine",
            Kind::Text(&NAME),
            "exec, sh, node, accessor, python, java, beam, or one that the box's configuration adds",
        ),
        Key::required(
            "entry",
            Kind::Text(&ENTRY),
            "a path inside the bundle; may hold {arch}, {os}",
        ),
        Key::new("args", Kind::List(0, &Kind::Text(&ARGUMENT)), "arguments"),
        Key::new(
            "workdir",
            Kind::Text(&WORKDIR),
            "bundle (read-only), state, or a path below either; default: bundle, for beam and accessor state",
        ),
        Key::new(
            "user",
            Kind::Text(&USER),
            "a user of the box other than root; default: one of its own per workflow",
        ),
        Key::new(
            "ports",
            Kind::List(0, &Kind::Text(&PORTS)),
            "checked to be free before the start",
        ),
        Key::new(
            "requires",
            Kind::Map(&FACT, &Kind::Text(&REQUIREMENT)),
            "facts that the box must have; a bare engine name means engine.NAME",
        ),
        Key::new(
            "env",
            Kind::Map(&VARIABLE, &Kind::Text(&ARGUMENT)),
            "variables",
        ),
        Key::new(
            "install",
            Kind::Table(&INSTALL),
            "before the first start on a box",
        ),
        Key::new("ready", Kind::Table(&READY), "when it is ready"),
        Key::new("health", Kind::Table(&HEALTH), "whether it is well"),
        Key::new("stop", Kind::Table(&STOP), "how it is stopped"),
        Key::new(
            "limits",
            Kind::Table(&LIMITS),
            "asked for; the ceilings of policy and box win",
        ),
        Key::new(
            "sandbox",
            Kind::Table(&SANDBOX),
            "what it may see of the box",
        ),
    ],
};

static INSTALL: Shape = Shape {
    title: "[install]",
    keys: &[
        Key::required(
            "command",
            Kind::List(1, &Kind::Text(&WORD)),
            "the command, in a private writable copy of the bundle",
        ),
        Key::new(
            "network",
            Kind::Bool,
            "whether it has the network; default false",
        ),
    ],
};

const PROBES: [&str; 5] = ["notify", "tcp", "http", "exec", "log"];

static READY: Shape = Shape {
    title: "[ready]",
    keys: &[
        Key::new("notify", Kind::Bool, "true: sd_notify READY=1"),
        Key::new(
            "tcp",
            Kind::Integer { min: 1, max: 65535 },
            "a port on loopback that accepts",
        ),
        Key::new(
            "http",
            Kind::Text(&PROBE_URL),
            "a URL that answers 2xx or 3xx",
        ),
        Key::new(
            "exec",
            Kind::List(1, &Kind::Text(&WORD)),
            "a command that exits 0",
        ),
        Key::new("log", Kind::Text(&LINE), "a text that it prints"),
        Key::new(
            "log-regex",
            Kind::Text(&LINE),
            "a regular expression that a line of its output matches",
        ),
        Key::new("after", Kind::Text(&DURATION), "so long alive"),
        Key::new(
            "timeout",
            Kind::Text(&DURATION),
            "how long it may take; default 30s",
        ),
    ],
};

static HEALTH: Shape = Shape {
    title: "[health]",
    keys: &[
        Key::new(
            "notify",
            Kind::Bool,
            "true: sd_notify WATCHDOG=1 at least so often",
        ),
        Key::new(
            "tcp",
            Kind::Integer { min: 1, max: 65535 },
            "a port on loopback that accepts",
        ),
        Key::new(
            "http",
            Kind::Text(&PROBE_URL),
            "a URL that answers 2xx or 3xx",
        ),
        Key::new(
            "exec",
            Kind::List(1, &Kind::Text(&WORD)),
            "a command that exits 0",
        ),
        Key::new(
            "every",
            Kind::Text(&DURATION),
            "how often it is asked; default 10s",
        ),
        Key::new(
            "failures",
            Kind::Integer { min: 1, max: 1000 },
            "so many in a row restart the process; default 3",
        ),
    ],
};

static STOP: Shape = Shape {
    title: "[stop]",
    keys: &[
        Key::new("signal", Kind::Text(&SIGNAL), "default SIGTERM"),
        Key::new(
            "command",
            Kind::List(1, &Kind::Text(&WORD)),
            "tried before the signal",
        ),
        Key::new(
            "grace",
            Kind::Text(&DURATION),
            "then SIGKILL to the whole process tree; default 10s",
        ),
    ],
};

/// `[limits]`, of bundle and manifest alike.
pub(crate) static LIMITS: Shape = Shape {
    title: "[limits]",
    keys: &[
        Key::new("memory", Kind::Text(&SIZE), "the most memory"),
        Key::new("cpu", Kind::Text(&PERCENT), "the most of one core"),
        Key::new(
            "pids",
            Kind::Integer {
                min: 1,
                max: 4_194_304,
            },
            "the most processes and threads",
        ),
        Key::new(
            "open-files",
            Kind::Integer {
                min: 8,
                max: 1_048_576,
            },
            "the most open files",
        ),
        Key::new("log", Kind::Text(&SIZE), "the most log that is kept"),
    ],
};

static SANDBOX: Shape = Shape {
    title: "[sandbox]",
    keys: &[
        Key::new(
            "network",
            Kind::OneOf(&["host", "none"]),
            "which network it sees; default host",
        ),
        Key::new(
            "devices",
            Kind::List(0, &Kind::Text(&ABSOLUTE)),
            "devices, with * and ?; only as far as the ceilings allow",
        ),
        Key::new(
            "groups",
            Kind::List(0, &Kind::Text(&GROUP)),
            "groups of the box; only as far as the ceilings allow",
        ),
        Key::new(
            "read",
            Kind::List(0, &Kind::Text(&ABSOLUTE)),
            "paths of the box to read; only as far as the ceilings allow",
        ),
        Key::new(
            "write",
            Kind::List(0, &Kind::Text(&ABSOLUTE)),
            "paths of the box to write; only as far as the ceilings allow",
        ),
    ],
};

/// Reads a bundle.toml; `file` is its name in the problems. A bundle comes out only where there is no problem.
pub fn read(file: &str, text: &[u8]) -> (Option<Bundle>, Vec<Problem>) {
    document::read(file, text, &SHAPE, build)
}

fn build(root: &Table<'_>) -> Option<Bundle> {
    size_of_arguments(root);
    // Built before anything is found missing, so that every table's own problems are told.
    let env = environment(root, |name| {
        name.starts_with("SWARM_")
            .then_some("the agent sets SWARM_*")
    });
    let (ready, health) = (
        root.table("ready").map(|table| ready(&table)),
        root.table("health").map(|table| health(&table)),
    );
    Some(Bundle {
        name: root.text("name", |text| Name::new(text).ok())?,
        version: root.text("version", |text| Version::parse(text).ok())?,
        description: root.string("description"),
        engine: root.text("engine", |text| Name::new(text).ok())?,
        entry: root.string("entry")?,
        args: root.strings("args").unwrap_or_default(),
        workdir: root.text("workdir", workdir),
        user: root.string("user"),
        ports: root
            .list("ports", |item| {
                ports(item.text()?).map(|(first, last)| PortRange { first, last })
            })
            .unwrap_or_default(),
        requires: root
            .entries("requires")
            .into_iter()
            .filter_map(|(name, _, item)| Some((name.into(), item.text()?.into())))
            .collect(),
        env,
        install: root.table("install").map(|table| Install {
            command: table.strings("command").unwrap_or_default(),
            network: table.bool("network").unwrap_or(false),
        }),
        ready: flatten(ready)?,
        health: flatten(health)?,
        stop: root
            .table("stop")
            .map(|table| stop(&table))
            .unwrap_or_default(),
        limits: root
            .table("limits")
            .map(|table| limits(&table))
            .unwrap_or_default(),
        sandbox: root
            .table("sandbox")
            .map(|table| sandbox(&table))
            .unwrap_or_default(),
    })
}

/// Absent is well; there and not readable is not.
#[allow(clippy::option_option)] // exactly the difference that counts here
fn flatten<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}

fn workdir(text: &str) -> Option<Workdir> {
    let (root, below) = text.split_once('/').unwrap_or((text, ""));
    match root {
        "bundle" => Some(Workdir::Bundle(below.into())),
        "state" => Some(Workdir::State(below.into())),
        _ => None,
    }
}

fn ready(table: &Table<'_>) -> Option<Ready> {
    let extra = [
        ("log", table.string("log").map(Probe::Log)),
        ("log-regex", table.string("log-regex").map(Probe::LogRegex)),
        ("after", table.duration("after").map(Probe::After)),
    ];
    let probe = one_probe(table, extra.into())?;
    Some(Ready {
        probe,
        timeout: table.duration("timeout").unwrap_or(Duration::from_secs(30)),
    })
}

fn health(table: &Table<'_>) -> Option<Health> {
    let probe = one_probe(table, Vec::new())?;
    let every = table.duration("every").unwrap_or(Duration::from_secs(10));
    Some(Health {
        probe,
        every,
        failures: table.integer("failures").unwrap_or(3),
    })
}

/// Exactly one of the probes that both tables know and the `extra` ones.
fn one_probe(table: &Table<'_>, extra: Vec<(&'static str, Option<Probe>)>) -> Option<Probe> {
    if let Some(item) = table
        .get("notify")
        .filter(|item| item.bool() == Some(false))
    {
        item.report(
            &BAD_VALUE,
            "notify: only true may stand there",
            "leave it out",
        );
    }
    let mut probes = vec![
        ("notify", table.bool("notify").map(|_| Probe::Notify)),
        ("tcp", table.integer("tcp").map(Probe::Tcp)),
        ("http", table.string("http").map(Probe::Http)),
        ("exec", table.strings("exec").map(Probe::Exec)),
    ];
    probes.extend(extra);
    let mut given: Vec<_> = probes
        .into_iter()
        .filter(|(name, _)| table.get(name).is_some())
        .collect();
    if given.len() > 1 {
        let names: Vec<_> = given.iter().map(|(name, _)| *name).collect();
        table.report(
            &BAD_VALUE,
            format!(
                "one probe is asked for, {} are given: {}",
                names.len(),
                names.join(", ")
            ),
            "keep one of them",
        );
        return None;
    }
    if given.is_empty() {
        table.report(
            &MISSING_KEY,
            "no probe is given",
            format!("give one of {} …", PROBES.join(", ")),
        );
    }
    given.pop()?.1
}

fn stop(table: &Table<'_>) -> Stop {
    let default = Stop::default();
    Stop {
        signal: table.string("signal").unwrap_or(default.signal),
        command: table.strings("command"),
        grace: table.duration("grace").unwrap_or(default.grace),
    }
}

/// Reads the keys of `[limits]`, also where they stand in a `[ceiling]`.
pub(crate) fn limits(table: &Table<'_>) -> Limits {
    Limits {
        memory: table.size("memory"),
        cpu: table.text("cpu", percent),
        pids: table.integer("pids"),
        open_files: table.integer("open-files"),
        log: table.size("log"),
    }
}

fn sandbox(table: &Table<'_>) -> Sandbox {
    let list = |key| table.strings(key).unwrap_or_default();
    Sandbox {
        network: table
            .text("network", |word| {
                Some(if word == "none" {
                    Network::None
                } else {
                    Network::Host
                })
            })
            .unwrap_or_default(),
        devices: list("devices"),
        groups: list("groups"),
        read: list("read"),
        write: list("write"),
    }
}

/// Reads `[env]`; `forbidden` says why a variable may not be set.
pub(crate) fn environment(
    root: &Table<'_>,
    forbidden: impl Fn(&str) -> Option<&'static str>,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (name, span, item) in root.entries("env") {
        if let Some(why) = forbidden(name) {
            root.report_at(
                span,
                &FORBIDDEN_ENV,
                format!("{name} may not be set here: {why}"),
                FORBIDDEN_ENV.remedy,
            );
        }
        env.insert(name.into(), item.text().unwrap_or_default().into());
    }
    env
}

/// Reports arguments and variables that are too large together for any program.
pub(crate) fn size_of_arguments(root: &Table<'_>) {
    let args = root
        .get("args")
        .map(|item| (item.span.clone(), item.items()));
    let texts = args
        .iter()
        .flat_map(|(_, items)| items)
        .filter_map(|item| item.text())
        .map(str::len);
    let variables = root
        .entries("env")
        .into_iter()
        .map(|(name, _, item)| name.len() + item.text().map_or(0, str::len))
        .sum::<usize>();
    let bytes = texts.sum::<usize>() + variables;
    if bytes > MAX_ARGUMENTS {
        let place: Option<Range<usize>> = args
            .map(|(span, _)| span)
            .or_else(|| root.get("env").map(|item| item.span));
        let place = place.unwrap_or_default();
        root.report_at(
            place,
            &BAD_VALUE,
            format!("arguments and variables have {bytes} bytes together, {MAX_ARGUMENTS} at most"),
            "put it into a file of the bundle",
        );
    }
}
