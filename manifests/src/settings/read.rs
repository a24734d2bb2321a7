//! agent.toml: its shape and its reader (SPEC §6). Pure.

use super::{Engine, Map, Repository, Settings, Trust, Webhook, logs};
use crate::{
    document::{self, Table},
    forms::{
        BRANCH, DURATION, FILE, GIT_URL, KEY, LISTEN, MAP_URL, NAME, OID, SHA256, USER, WORD,
        sha256,
    },
    key,
    name::Name,
    placeholder::{Part, is_known, parts},
    policy::{CEILING, ceiling},
    problem::Problem,
    roster::{LABELS, labels},
    rules::{bundle::PLACEHOLDER, file::BAD_VALUE},
    shape::MAX_TEXT,
    shape::{Key, Kind, Shape},
};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use toml::de::DeTable;

/// agent.toml
pub static SHAPE: Shape = Shape {
    title: "agent.toml",
    keys: &[
        Key::new(
            "box",
            Kind::Text(&NAME),
            "the box's name; default: the short host name in lower case",
        ),
        Key::new("labels", LABELS, "the box's labels"),
        Key::new(
            "location",
            Kind::List(2, &Kind::Number),
            "latitude and longitude in degrees",
        ),
        Key::new(
            "state",
            Kind::Text(&FILE),
            "the folder for everything that is kept; default /var/lib/swarm",
        ),
        Key::new(
            "keep-state",
            Kind::Text(&DURATION),
            "how long a removed workflow's state folder is kept; default 30d",
        ),
        Key::new("control", Kind::Text(&FILE), "the control socket"),
        Key::new(
            "repository",
            Kind::Table(&REPOSITORY),
            "the deploy repository",
        ),
        Key::new("trust", Kind::Table(&TRUST), "the root of trust"),
        Key::new("map", Kind::Table(&MAP), "where this box reports"),
        Key::new(
            "webhook",
            Kind::Table(&WEBHOOK),
            "where forges say that something was pushed",
        ),
        Key::new(
            "metrics",
            Kind::Table(&METRICS),
            "where figures are served, as OpenMetrics",
        ),
        Key::new(
            "logs",
            Kind::Table(&logs::SHAPE),
            "where lines of logs go, besides the agent's own files",
        ),
        Key::new("ceiling", Kind::Table(&CEILING), "tightens the policy's"),
        Key::new(
            "engines",
            Kind::Map(&NAME, &Kind::Table(&ENGINE)),
            "adds to, or replaces, the built-in engines",
        ),
        Key::new("users", Kind::Table(&USERS), "as whom things run"),
    ],
};

static METRICS: Shape = Shape {
    title: "[metrics]",
    keys: &[Key::required(
        "listen",
        Kind::Text(&LISTEN),
        "an address and a port; GET /metrics",
    )],
};

static REPOSITORY: Shape = Shape {
    title: "[repository]",
    keys: &[
        Key::required(
            "url",
            Kind::Either(&[Kind::Text(&GIT_URL), Kind::List(1, &Kind::Text(&GIT_URL))]),
            "a url, or a list of them, tried in order",
        ),
        Key::new(
            "branch",
            Kind::Text(&BRANCH),
            "the deploy branch; default main",
        ),
        Key::new(
            "poll",
            Kind::Text(&DURATION),
            "how often it is looked at; default 60s",
        ),
        Key::new(
            "credentials-file",
            Kind::Text(&FILE),
            "git credentials for https",
        ),
        Key::new(
            "known-hosts",
            Kind::Text(&FILE),
            "the host keys of ssh servers",
        ),
        Key::new(
            "identity-file",
            Kind::Text(&FILE),
            "a private key for ssh urls",
        ),
        Key::new(
            "ca",
            Kind::Text(&FILE),
            "an authority for https urls beside the system's",
        ),
    ],
};

static TRUST: Shape = Shape {
    title: "[trust]",
    keys: &[
        Key::required("introduction", Kind::Text(&OID), "the introduction commit"),
        Key::required(
            "policy-sha256",
            Kind::Text(&SHA256),
            "the SHA-256 of policy.toml there",
        ),
        Key::new(
            "position",
            Kind::Integer {
                min: 0,
                max: i64::MAX,
            },
            "the introduction's position; default 0",
        ),
    ],
};

static MAP: Shape = Shape {
    title: "[map]",
    keys: &[
        Key::required(
            "url",
            Kind::Text(&MAP_URL),
            "https://, or http:// on loopback",
        ),
        Key::new("ca", Kind::Text(&FILE), "the authority of its certificate"),
        Key::new(
            "token-file",
            Kind::Text(&FILE),
            "the enrolment token, used once",
        ),
        Key::new("key", Kind::Text(&KEY), "the map's own public key"),
    ],
};

static WEBHOOK: Shape = Shape {
    title: "[webhook]",
    keys: &[
        Key::required("listen", Kind::Text(&LISTEN), "address and port"),
        Key::new("secret-file", Kind::Text(&FILE), "one secret a line"),
    ],
};

static ENGINE: Shape = Shape {
    title: "[engines.NAME]",
    keys: &[
        Key::required(
            "command",
            Kind::List(1, &Kind::Text(&WORD)),
            "with {entry}, {bundle} and the like; the arguments follow, or stand at {args}",
        ),
        Key::new(
            "version",
            Kind::List(1, &Kind::Text(&WORD)),
            "a command that prints the version; it becomes the fact engine.NAME",
        ),
    ],
};

static USERS: Shape = Shape {
    title: "[users]",
    keys: &[
        Key::new(
            "range",
            Kind::List(
                2,
                &Kind::Integer {
                    min: 1,
                    max: 4_294_967_294,
                },
            ),
            "first and last id that workflows get; default 64100 to 65400",
        ),
        Key::new(
            "agent",
            Kind::Text(&USER),
            "the user of the agent itself; default swarm",
        ),
        Key::new(
            "switch",
            Kind::Bool,
            "false: run everything as the caller; default true for root",
        ),
    ],
};

/// Reads an agent.toml. Settings come out only where there is no problem.
pub fn read(file: &str, text: &[u8]) -> (Option<Settings>, Vec<Problem>) {
    document::read(file, text, &SHAPE, |root| Some(build(root)))
}

/// The `control` of a file that may be wrong elsewhere: whoever only asks the agent needs no more of it.
pub fn control_of(text: &[u8]) -> Option<PathBuf> {
    let text = std::str::from_utf8(text.get(..MAX_TEXT.min(text.len()))?).ok()?;
    let (tree, _) = DeTable::parse_recoverable(text);
    let control = tree.get_ref().get("control")?.get_ref();
    control.as_str().map(PathBuf::from)
}

fn build(root: &Table<'_>) -> Settings {
    let repository = root.table("repository");
    let users = root.table("users");
    let path = |key| root.string(key).map(PathBuf::from);
    Settings {
        name: root.text("box", |text| Name::new(text).ok()),
        labels: labels(root),
        location: location(root),
        state: path("state").unwrap_or_else(|| "/var/lib/swarm".into()),
        control: path("control"),
        repository: repository.and_then(|table| self::repository(&table)),
        trust: root.table("trust").and_then(|table| trust(&table)),
        map: root.table("map").and_then(|table| map(&table)),
        metrics: root
            .table("metrics")
            .and_then(|table| table.text("listen", |text| Some(text.to_owned()))),
        logs: root.table("logs").and_then(|table| logs::read(&table)),
        webhook: root.table("webhook").and_then(|table| {
            Some(Webhook {
                listen: table.string("listen")?,
                secret_file: table.string("secret-file").map(PathBuf::from),
            })
        }),
        ceiling: root
            .table("ceiling")
            .map(|table| ceiling(&table))
            .unwrap_or_default(),
        engines: engines(root),
        users: users.as_ref().and_then(range).unwrap_or((64100, 65400)),
        agent_user: users.as_ref().and_then(|table| table.string("agent")),
        switch_users: users
            .as_ref()
            .and_then(|table| table.bool("switch"))
            .unwrap_or(true),
        keep_state: root
            .duration("keep-state")
            .unwrap_or(Duration::from_secs(30 * 86_400)),
    }
}

fn location(root: &Table<'_>) -> Option<(f64, f64)> {
    let item = root.get("location")?;
    let numbers: Vec<f64> = item
        .items()
        .iter()
        .filter_map(document::Item::number)
        .collect();
    match numbers[..] {
        [latitude, longitude] if latitude.abs() <= 90.0 && longitude.abs() <= 180.0 => {
            Some((latitude, longitude))
        }
        _ => {
            item.report(
                &BAD_VALUE,
                "location is not a latitude and a longitude in degrees",
                "write location = [37.8755, -122.2588]",
            );
            None
        }
    }
}

fn range(table: &Table<'_>) -> Option<(u32, u32)> {
    let item = table.get("range")?;
    let ids: Vec<u32> = item
        .items()
        .iter()
        .filter_map(|item| item.integer()?.try_into().ok())
        .collect();
    match ids[..] {
        [first, last] if first <= last => Some((first, last)),
        _ => {
            item.report(
                &BAD_VALUE,
                "range is not a first and a last user id",
                "write range = [64100, 65400]",
            );
            None
        }
    }
}

fn repository(table: &Table<'_>) -> Option<Repository> {
    let path = |key| table.string(key).map(PathBuf::from);
    Some(Repository {
        urls: table.strings("url")?,
        branch: table.string("branch").unwrap_or_else(|| "main".into()),
        poll: table.duration("poll").unwrap_or(Duration::from_secs(60)),
        credentials_file: path("credentials-file"),
        known_hosts: path("known-hosts"),
        identity_file: path("identity-file"),
        ca: path("ca"),
    })
}

fn trust(table: &Table<'_>) -> Option<Trust> {
    Some(Trust {
        introduction: table.text("introduction", |text| text.parse().ok())?,
        policy: table.text("policy-sha256", sha256)?,
        position: table.integer("position").unwrap_or(0),
    })
}

fn map(table: &Table<'_>) -> Option<Map> {
    let path = |key| table.string(key).map(PathBuf::from);
    Some(Map {
        url: table.string("url")?,
        ca: path("ca"),
        token_file: path("token-file"),
        key: table.text("key", |line| key::read(line).ok()),
    })
}

/// Placeholders of an engine's command that no bundle could fill.
fn unfillable(engine: &Table<'_>) {
    let words = engine.get("command");
    for word in words.iter().flat_map(document::Item::items) {
        for part in parts(word.text().unwrap_or_default()) {
            let Part::Placeholder(name) = part else {
                continue;
            };
            if name != "args" && !is_known(name) {
                let message = format!("command: {{{name}}} is no placeholder");
                word.report(&PLACEHOLDER, message, PLACEHOLDER.meaning);
            }
        }
    }
}

fn engines(root: &Table<'_>) -> BTreeMap<Name, Engine> {
    let engine = |(name, _, item): (&str, _, document::Item<'_>)| {
        let table = item.table(&ENGINE)?;
        unfillable(&table);
        Some((
            Name::new(name).ok()?,
            Engine {
                command: table.strings("command")?,
                version: table.strings("version"),
            },
        ))
    };
    root.entries("engines")
        .into_iter()
        .filter_map(engine)
        .collect()
}
