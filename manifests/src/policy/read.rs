//! policy.toml: its shape and its reader (SPEC §3.4). Pure.

use super::{Ceiling, Grant, Moment, Person, Policy, Revoked, Right};
use crate::{
    bundle::{self, MOST_CPU, MOST_LOG, MOST_MEMORY, MOST_OPEN_FILES, MOST_PIDS, Network},
    document::{self, Table},
    forms::{
        ABSOLUTE, DURATION, FINGERPRINT, GROUP, KEY, LINE, NAME, OID, PATTERN, PERSON_OR_TEAM,
        REPOSITORY_ID,
    },
    key,
    name::{Name, Pattern},
    problem::Problem,
    rules::{
        file::BAD_VALUE,
        trunk::{POLICY_KEYS, POLICY_LOCKOUT},
    },
    shape::{Key, Kind, Shape},
    signature::Touch,
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

/// policy.toml
pub static SHAPE: Shape = Shape {
    title: "policy.toml",
    keys: &[
        Key::required(
            "format",
            Kind::Integer { min: 1, max: 1 },
            "the format of this file: 1",
        ),
        Key::required(
            "repository",
            Kind::Text(&REPOSITORY_ID),
            "a random id: keeps signatures of one repository from working in another",
        ),
        Key::required(
            "version",
            Kind::Integer {
                min: 1,
                max: i64::MAX,
            },
            "one more at each change",
        ),
        Key::new(
            "threshold",
            Kind::Integer { min: 1, max: 1000 },
            "how many admins must approve the next policy; default 1",
        ),
        Key::required(
            "people",
            Kind::Map(&NAME, &Kind::Table(&PERSON)),
            "who there is",
        ),
        Key::new(
            "teams",
            Kind::Map(&NAME, &Kind::List(0, &Kind::Text(&NAME))),
            "lists of people",
        ),
        Key::new("grant", Kind::Tables(&GRANT), "who may do what"),
        Key::new(
            "revoked",
            Kind::Tables(&REVOKED),
            "keys that count no longer",
        ),
        Key::new(
            "ceiling",
            Kind::Table(&CEILING),
            "what no workflow may exceed on any box",
        ),
    ],
};

static PERSON: Shape = Shape {
    title: "[people.NAME]",
    keys: &[
        Key::required(
            "keys",
            Kind::List(0, &Kind::Text(&KEY)),
            "the person's SSH public keys",
        ),
        Key::new(
            "admin",
            Kind::Bool,
            "whether the person may approve policies; default false",
        ),
        Key::new(
            "touch",
            Kind::Bool,
            "whether signatures of the person's security keys count only where somebody touched the key; default true",
        ),
    ],
};

static GRANT: Shape = Shape {
    title: "[[grant]]",
    keys: &[
        Key::required(
            "people",
            Kind::List(1, &Kind::Text(&PERSON_OR_TEAM)),
            "people and teams",
        ),
        Key::required(
            "may",
            Kind::List(1, &Kind::OneOf(&["publish", "deploy", "operate"])),
            "what they may do",
        ),
        Key::required(
            "workflows",
            Kind::List(1, &Kind::Text(&PATTERN)),
            "with which workflows; bundle names for publish",
        ),
        Key::new(
            "boxes",
            Kind::List(1, &Kind::Text(&PATTERN)),
            "on which boxes; absent: every box",
        ),
        Key::new(
            "approvals",
            Kind::Integer { min: 1, max: 1000 },
            "how many people must stand behind a manifest, the commit's signer among them; default 1",
        ),
    ],
};

static REVOKED: Shape = Shape {
    title: "[[revoked]]",
    keys: &[
        Key::required("key", Kind::Text(&FINGERPRINT), "the key's fingerprint"),
        Key::required(
            "from",
            Kind::Either(&[
                Kind::Integer {
                    min: 0,
                    max: i64::MAX,
                },
                Kind::Text(&OID),
            ]),
            "a trunk position or a full commit id",
        ),
        Key::new("reason", Kind::Text(&LINE), "why"),
    ],
};

/// `[ceiling]`, of policy and box alike.
pub(crate) static CEILING: Shape = Shape {
    title: "[ceiling]",
    keys: &[
        MOST_MEMORY,
        MOST_CPU,
        MOST_PIDS,
        MOST_OPEN_FILES,
        MOST_LOG,
        Key::new(
            "network",
            Kind::OneOf(&["host", "none"]),
            "the widest network",
        ),
        Key::new(
            "devices",
            Kind::List(0, &Kind::Text(&ABSOLUTE)),
            "devices that may be used",
        ),
        Key::new(
            "groups",
            Kind::List(0, &Kind::Text(&GROUP)),
            "groups that may be joined",
        ),
        Key::new(
            "read",
            Kind::List(0, &Kind::Text(&ABSOLUTE)),
            "paths of the box that may be read",
        ),
        Key::new(
            "write",
            Kind::List(0, &Kind::Text(&ABSOLUTE)),
            "paths of the box that may be written",
        ),
        Key::new(
            "once-time-limit",
            Kind::Text(&DURATION),
            "the longest time limit of a workflow that runs once",
        ),
    ],
};

/// Reads a policy.toml. A policy comes out only where there is no problem.
pub fn read(file: &str, text: &[u8]) -> (Option<Policy>, Vec<Problem>) {
    document::read(file, text, &SHAPE, |root| Some(build(root)))
}

fn build(root: &Table<'_>) -> Policy {
    let people = people(root);
    let teams = teams(root, &people);
    let policy = Policy {
        repository: root.string("repository").unwrap_or_default(),
        version: root.integer("version").unwrap_or_default(),
        threshold: root.integer("threshold").unwrap_or(1),
        grants: root
            .tables("grant")
            .iter()
            .map(|grant| self::grant(grant, &people, &teams))
            .collect(),
        revoked: root.tables("revoked").iter().filter_map(revoked).collect(),
        ceiling: root
            .table("ceiling")
            .map(|table| ceiling(&table))
            .unwrap_or_default(),
        people,
        teams,
    };
    if let Some(reason) = policy.lockout() {
        let place = root.get("threshold").or_else(|| root.get("people"));
        let hint = "lower the threshold, or make more people admins with a key";
        place.map_or_else(
            || root.report(&POLICY_LOCKOUT, reason.clone(), hint),
            |item| item.report(&POLICY_LOCKOUT, reason.clone(), hint),
        );
    }
    policy
}

fn people(root: &Table<'_>) -> BTreeMap<Name, Person> {
    // Key -> whose it is.
    let owners: RefCell<Vec<(ssh_key::public::KeyData, String)>> = RefCell::default();
    let mut people = BTreeMap::new();
    for (name, _, item) in root.entries("people") {
        let Some(table) = item.table(&PERSON) else {
            continue;
        };
        let keys = table.list("keys", |item| {
            let key = item.text().and_then(|line| key::read(line).ok())?;
            let mut owners = owners.borrow_mut();
            if let Some((_, owner)) = owners.iter().find(|(data, _)| data == key.key_data()) {
                let message = if owner == name {
                    format!("{name} has this key twice")
                } else {
                    format!("this key of {name} is a key of {owner} too")
                };
                item.report(
                    &POLICY_KEYS,
                    message,
                    "a key belongs to exactly one person, once",
                );
            }
            owners.push((key.key_data().clone(), name.into()));
            Some(key)
        });
        if let Ok(name) = Name::new(name) {
            people.insert(
                name,
                Person {
                    keys: keys.unwrap_or_default(),
                    admin: table.bool("admin").unwrap_or(false),
                    touch: if table.bool("touch").unwrap_or(true) {
                        Touch::Required
                    } else {
                        Touch::Optional
                    },
                },
            );
        }
    }
    people
}

fn teams(root: &Table<'_>, people: &BTreeMap<Name, Person>) -> BTreeMap<Name, Vec<Name>> {
    let mut teams = BTreeMap::new();
    for (name, span, item) in root.entries("teams") {
        if people.contains_key(name) {
            root.report_at(
                span,
                &BAD_VALUE,
                format!("{name:?} is a person and a team"),
                "give the team another name",
            );
        }
        let member = |item: &document::Item<'_>| {
            let member = item.text().and_then(|text| Name::new(text).ok())?;
            if !people.contains_key(&member) {
                item.report(
                    &BAD_VALUE,
                    format!("there is no person {member}"),
                    format!("add [people.{member}], or correct the name"),
                );
            }
            Some(member)
        };
        if let Ok(name) = Name::new(name) {
            teams.insert(name, item.items().iter().filter_map(member).collect());
        }
    }
    teams
}

fn grant(
    table: &Table<'_>,
    people: &BTreeMap<Name, Person>,
    teams: &BTreeMap<Name, Vec<Name>>,
) -> Grant {
    let mut granted = BTreeSet::new();
    for item in table
        .get("people")
        .map(|item| item.items())
        .unwrap_or_default()
    {
        let Some(name) = item.text().and_then(|text| Name::new(text).ok()) else {
            continue;
        };
        match teams.get(&name) {
            Some(members) => granted.extend(members.iter().cloned()),
            None if people.contains_key(&name) => _ = granted.insert(name),
            None => item.report(
                &BAD_VALUE,
                format!("there is no person or team {name}"),
                format!("add [people.{name}], or correct the name"),
            ),
        }
    }
    let right = |item: &document::Item<'_>| match item.text()? {
        "publish" => Some(Right::Publish),
        "deploy" => Some(Right::Deploy),
        "operate" => Some(Right::Operate),
        _ => None,
    };
    Grant {
        people: granted,
        may: table
            .list("may", right)
            .unwrap_or_default()
            .into_iter()
            .collect(),
        workflows: patterns(table, "workflows").unwrap_or_default(),
        boxes: patterns(table, "boxes"),
        approvals: table.integer("approvals").unwrap_or(1),
    }
}

fn patterns(table: &Table<'_>, key: &'static str) -> Option<Vec<Pattern>> {
    table.list(key, |item| Pattern::new(item.text()?).ok())
}

fn revoked(table: &Table<'_>) -> Option<Revoked> {
    let from = table.get("from")?;
    let from = match from.integer() {
        Some(position) => Moment::Position(u64::try_from(position).ok()?),
        None => Moment::Commit(from.text()?.parse().ok()?),
    };
    Some(Revoked {
        key: table.string("key")?,
        from,
        reason: table.string("reason"),
    })
}

/// Reads a `[ceiling]`.
pub(crate) fn ceiling(table: &Table<'_>) -> Ceiling {
    Ceiling {
        limits: bundle::limits(table),
        network: table.text("network", |word| {
            Some(if word == "none" {
                Network::None
            } else {
                Network::Host
            })
        }),
        devices: table.strings("devices"),
        groups: table.strings("groups"),
        read: table.strings("read"),
        write: table.strings("write"),
        once_time_limit: table.duration("once-time-limit"),
    }
}
