//! The workflow manifest: its shape and its reader (SPEC §3.3). Pure.

use super::{Manifest, Mode, On, OnLimit, Restart, Run, variables::forbidden, workflow_of};
use crate::{
    bundle::{LIMITS, limits, size_of_arguments, variables},
    document::{self, Item, Table},
    forms::{
        ARGUMENT, DURATION, DURATION_OR_ZERO, NAME, PATTERN, SCHEDULE, SELECTOR, VARIABLE, VERSION,
    },
    name::{Name, Pattern},
    problem::Problem,
    rules::file::{BAD_NAME, BAD_VALUE, MEANINGLESS, MISSING_KEY, SELECTOR as SELECTOR_RULE},
    schedule::Schedule,
    selector::Selector,
    shape::{Key, Kind, Shape},
};
use semver::Version;
use std::collections::BTreeMap;

/// A workflow manifest.
pub static SHAPE: Shape = Shape {
    title: "the manifest",
    keys: &[
        Key::new(
            "bundle",
            Kind::Text(&NAME),
            "the bundle; default: the workflow's own name",
        ),
        Key::required(
            "version",
            Kind::Text(&VERSION),
            "the bundle's exact version",
        ),
        Key::new(
            "args",
            Kind::List(0, &Kind::Text(&ARGUMENT)),
            "replaces the bundle's arguments",
        ),
        Key::required(
            "on",
            Kind::Table(&ON),
            "where it runs; every condition given must hold",
        ),
        Key::required("run", Kind::Table(&RUN), "how it runs"),
        Key::new("restart", Kind::Table(&RESTART), "for restart and daemon"),
        Key::new(
            "env",
            Kind::Map(&VARIABLE, &Kind::Text(&ARGUMENT)),
            "variables, added to the bundle's",
        ),
        Key::new(
            "secrets",
            Kind::Map(&VARIABLE, &Kind::Text(&NAME)),
            "NAME = \"secret\": a file readable by this workflow alone, its path in $NAME",
        ),
        Key::new(
            "limits",
            Kind::Table(&LIMITS),
            "the tighter one of bundle and manifest counts",
        ),
        Key::new(
            "rollout",
            Kind::NotBuilt,
            "waves; absent: every box at once",
        ),
    ],
};

static ON: Shape = Shape {
    title: "[on]",
    keys: &[
        Key::new("all", Kind::Bool, "true: every box"),
        Key::new(
            "boxes",
            Kind::List(1, &Kind::Text(&PATTERN)),
            "names of boxes, with *",
        ),
        Key::new(
            "where",
            Kind::Text(&SELECTOR),
            "a selector over labels and facts",
        ),
        Key::new(
            "count",
            Kind::Integer {
                min: 1,
                max: 1_000_000,
            },
            "so many of those, by rendezvous hashing over the roster",
        ),
    ],
};

static RUN: Shape = Shape {
    title: "[run]",
    keys: &[
        Key::required(
            "mode",
            Kind::OneOf(&["once", "restart", "daemon"]),
            "what an exit means",
        ),
        Key::new(
            "time-limit",
            Kind::Text(&DURATION),
            "of one process from exec to exit",
        ),
        Key::new(
            "on-limit",
            Kind::OneOf(&["expire", "restart"]),
            "what happens at the limit; default expire",
        ),
        Key::new(
            "instances",
            Kind::Integer { min: 1, max: 1000 },
            "how many processes of it on each box; default 1",
        ),
        Key::new(
            "schedule",
            Kind::Text(&SCHEDULE),
            "for once: when it runs, as a calendar event of systemd or a line of crontab",
        ),
    ],
};

static RESTART: Shape = Shape {
    title: "[restart]",
    keys: &[
        Key::new(
            "delay",
            Kind::Text(&DURATION_OR_ZERO),
            "before the first restart; doubles after each exit before `settled`; default 0s",
        ),
        Key::new(
            "max-delay",
            Kind::Text(&DURATION_OR_ZERO),
            "up to this; 0s: it does not grow, each restart waits `delay`; default 5m, or `delay` where that is longer",
        ),
        Key::new(
            "settled",
            Kind::Text(&DURATION),
            "alive this long: the delay starts over; default 10s",
        ),
    ],
};

/// Reads a manifest; `file` is its path, whose stem is the workflow's name. A manifest comes out only where there is no problem.
pub fn read(file: &str, text: &[u8]) -> (Option<Manifest>, Vec<Problem>) {
    let stem = workflow_of(file).or_else(|| {
        file.rsplit('/')
            .next()
            .map(|name| name.strip_suffix(".toml").unwrap_or(name))
    });
    let workflow = Name::new(stem.unwrap_or_default());
    let (manifest, mut problems) = document::read(file, text, &SHAPE, |root| {
        build(root, workflow.as_ref().ok())
    });
    if let Err(error) = workflow {
        let problem = Problem::whole(
            file,
            &BAD_NAME,
            format!("the file's name is the workflow's name: {error}"),
        );
        problems.retain(|problem| problem.rule != &BAD_VALUE || problem.line != 0);
        problems.insert(0, problem.hint(BAD_NAME.remedy));
        return (None, problems);
    }
    (manifest, problems)
}

fn build(root: &Table<'_>, workflow: Option<&Name>) -> Option<Manifest> {
    size_of_arguments(root);
    let env = variables(root, "env", forbidden);
    let on = root.table("on").map(|table| on(&table));
    let run = root.table("run").and_then(|table| run(&table));
    if let Some(restart) = root.table("restart")
        && run.as_ref().is_some_and(|run| run.mode == Mode::Once)
    {
        restart.report(
            &MEANINGLESS,
            "[restart]: a once is not started again",
            "say mode = \"restart\" or \"daemon\", or leave [restart] out",
        );
    }
    let workflow = workflow?.clone();
    Some(Manifest {
        bundle: root
            .text("bundle", |text| Name::new(text).ok())
            .unwrap_or_else(|| workflow.clone()),
        version: root.text("version", |text| Version::parse(text).ok())?,
        args: root.strings("args"),
        on: on?,
        run: run?,
        restart: root
            .table("restart")
            .map(|table| restart(&table))
            .unwrap_or_default(),
        secrets: secrets(root, &env),
        env,
        limits: root
            .table("limits")
            .map(|table| limits(&table))
            .unwrap_or_default(),
        workflow,
    })
}

/// Variables that name files with secrets. One that `[env]` sets, too, would say two things.
fn secrets(root: &Table<'_>, env: &BTreeMap<String, String>) -> BTreeMap<String, Name> {
    for (name, span, _) in root.entries("secrets") {
        if env.contains_key(name) {
            let hint = "leave it out of one of them";
            let what = format!("{name} stands in [env], too");
            root.report_at(span, &BAD_VALUE, what, hint);
        }
    }
    let named = variables(root, "secrets", forbidden).into_iter();
    named
        .filter_map(|(variable, secret)| Some((variable, Name::new(&secret).ok()?)))
        .collect()
}

fn on(table: &Table<'_>) -> On {
    if let Some(item) = table.get("all").filter(|item| item.bool() == Some(false)) {
        item.report(&BAD_VALUE, "all: only true may stand there", "leave it out");
    }
    if ["all", "boxes", "where"]
        .iter()
        .all(|key| table.get(key).is_none())
    {
        table.report(
            &MISSING_KEY,
            "[on] names no box",
            "say all = true, boxes = [\"…\"] or where = '…'",
        );
    }
    On {
        all: table.bool("all").unwrap_or(false),
        boxes: table.list("boxes", |item| Pattern::new(item.text()?).ok()),
        selector: table.get("where").and_then(|item| selector(table, &item)),
        count: table.integer("count"),
    }
}

fn selector(table: &Table<'_>, item: &Item<'_>) -> Option<Selector> {
    let error = match Selector::parse(item.text()?) {
        Ok(selector) => return Some(selector),
        Err(error) => error,
    };
    // Only where the text stands in the file as it is can a part of it be marked.
    let span = item.literal().map_or(item.span.clone(), |start| {
        start + error.span.start..start + error.span.end
    });
    table.report_at(
        span,
        &SELECTOR_RULE,
        format!("where: {}", error.message),
        SELECTOR_RULE.remedy,
    );
    None
}

fn run(table: &Table<'_>) -> Option<Run> {
    let mode = table.text("mode", |word| match word {
        "once" => Some(Mode::Once),
        "restart" => Some(Mode::Restart),
        "daemon" => Some(Mode::Daemon),
        _ => None,
    })?;
    if let Some(item) = table.get("schedule").filter(|_| mode != Mode::Once) {
        let message = format!("schedule: a {} runs all the time", mode.as_str());
        item.report(&BAD_VALUE, message, "say mode = \"once\", or leave it out");
    }
    at_limit(table, mode);
    Some(Run {
        mode,
        time_limit: table.duration("time-limit"),
        on_limit: table
            .text("on-limit", |word| {
                (word == "restart").then_some(OnLimit::Restart)
            })
            .unwrap_or_default(),
        instances: table.integer("instances").unwrap_or(1),
        schedule: table.text("schedule", |text| Schedule::parse(text).ok()),
    })
}

/// `on-limit` where there is no limit, or nothing that would be started again.
fn at_limit(table: &Table<'_>, mode: Mode) {
    let Some(item) = table.get("on-limit") else {
        return;
    };
    if table.get("time-limit").is_none() {
        let hint = "add time-limit = \"…\", or leave it out";
        item.report(&MEANINGLESS, "on-limit: there is no time-limit", hint);
    } else if mode == Mode::Once && item.text() == Some("restart") {
        let hint = "say mode = \"restart\" or \"daemon\", or on-limit = \"expire\"";
        item.report(&MEANINGLESS, "on-limit: a once is not started again", hint);
    }
}

/// Without a `max-delay` of its own, a `delay` beyond the default is its own limit.
fn restart(table: &Table<'_>) -> Restart {
    let default = Restart::default();
    let delay = table.duration("delay").unwrap_or(default.delay);
    let max_delay = table.duration("max-delay");
    if let Some(item) = table.get("delay")
        && max_delay.is_some_and(|most| !most.is_zero() && delay > most)
    {
        let hint = "write a max-delay that is no shorter; max-delay = \"0s\" waits delay each time";
        item.report(&MEANINGLESS, "delay is longer than max-delay", hint);
    }
    Restart {
        delay,
        max_delay: max_delay.unwrap_or(default.max_delay.max(delay)),
        settled: table.duration("settled").unwrap_or(default.settled),
    }
}
