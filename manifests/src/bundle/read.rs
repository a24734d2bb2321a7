//! bundle.toml: its shape and its reader (SPEC §3.1). Pure.

use super::{
    Bundle, Health, Install, Limits, Network, PortRange, Probe, Ready, SHAPE, Sandbox, Stop,
    Workdir,
};
use crate::{
    document::{self, Table},
    forms::{percent, ports},
    name::Name,
    problem::Problem,
    rules::file::{BAD_VALUE, FORBIDDEN_ENV, MISSING_KEY},
};
use semver::Version;
use std::{collections::BTreeMap, ops::Range, time::Duration};

/// The most bytes that arguments and variables of one program may have together.
pub const MAX_ARGUMENTS: usize = 1 << 20;

/// Reads a bundle.toml; `file` is its name in the problems. A bundle comes out only where there is no problem.
pub fn read(file: &str, text: &[u8]) -> (Option<Bundle>, Vec<Problem>) {
    document::read(file, text, &SHAPE, build)
}

fn build(root: &Table<'_>) -> Option<Bundle> {
    size_of_arguments(root);
    // Built before anything is found missing, so that every table's own problems are told.
    let env = variables(root, "env", |name| {
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
    let known: Vec<&str> = probes.iter().map(|(name, _)| *name).collect();
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
            format!("give one of {}", known.join(", ")),
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
pub(crate) fn variables(
    root: &Table<'_>,
    table: &'static str,
    forbidden: impl Fn(&str) -> Option<&'static str>,
) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, span, item) in root.entries(table) {
        if let Some(why) = forbidden(name) {
            root.report_at(
                span,
                &FORBIDDEN_ENV,
                format!("{name} may not be set here: {why}"),
                FORBIDDEN_ENV.remedy,
            );
        }
        found.insert(name.into(), item.text().unwrap_or_default().into());
    }
    found
}

/// Reports arguments and variables that are too large together for any program.
pub(crate) fn size_of_arguments(root: &Table<'_>) {
    let args = root
        .get("args")
        .map(|item| (item.span.clone(), item.items()));
    let texts = args
        .iter()
        .flat_map(|(_, items)| items)
        .filter_map(super::super::document::Item::text)
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
