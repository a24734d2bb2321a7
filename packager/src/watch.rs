//! What the map says of a workflow that was just pushed: which boxes have it, and which refuse it. Asks the map over HTTP;
//! what an answer means is decided by pure functions.

use crate::{
    failure::{Exit, Failure, Outcome},
    talk,
};
use anyhow::Context;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use swarm_manifests::{
    facts::{Facts, Value},
    manifest::Manifest,
    report::Trouble,
    selector::Verdict,
    status::{Row, State},
};
use swarm_wire::{
    http::{Bytes, Client, HeaderName, HeaderValue, Method, StatusCode},
    sessions,
};

/// How often the map is asked.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest answer that is read.
const LIMIT: usize = 16 << 20;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is waited for.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The manifest that was pushed.
    pub manifest: &'a Manifest,
    /// The bundle's digest.
    pub digest: String,
    /// Whether the bundle says when it is ready; else running is enough.
    pub has_probe: bool,
    /// The commit that was pushed.
    pub commit: String,
}

/// A box as the map tells of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Seen {
    #[serde(rename = "box")]
    name: String,
    state: String,
    #[serde(default)]
    labels: BTreeMap<String, Value>,
    #[serde(default)]
    facts: BTreeMap<String, Value>,
    commit: Option<String>,
    trouble: Option<Trouble>,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Seen>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Workflow {
    boxes: Vec<Row>,
}

/// Where one box stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outlook {
    /// It has what was pushed.
    Done(String),
    /// It will not have it.
    Refused(String),
    /// Not yet.
    Waiting(String),
    /// It is not there; nobody waits for it.
    Away(String),
}

/// Asks until every chosen box has it or one refuses; shows each as it comes. `includes` says whether a commit holds another.
pub fn watch(
    url: &str,
    wanted: &Wanted<'_>,
    limit: Duration,
    includes: &dyn Fn(&str, &str) -> bool,
) -> Outcome<Vec<(String, Outlook)>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime could be made")?;
    let mut way = Way::to(url)?;
    let started = Instant::now();
    let mut shown: BTreeMap<String, Outlook> = BTreeMap::new();
    loop {
        let (boxes, rows) = runtime.block_on(ask(&mut way, wanted.manifest.workflow.as_str()))?;
        let outlooks = judge(wanted, &boxes, &rows, includes);
        for (name, outlook) in &outlooks {
            if shown.get(name) != Some(outlook) {
                talk::say(format!("  {name}: {}", outlook.words()));
                shown.insert(name.clone(), outlook.clone());
            }
        }
        if outlooks.is_empty() && !boxes.is_empty() {
            talk::warn("[on] chooses none of the boxes that the map knows");
            return Ok(outlooks);
        }
        let waits = outlooks.is_empty()
            || outlooks
                .iter()
                .any(|(_, outlook)| matches!(outlook, Outlook::Waiting(_)));
        if !waits || started.elapsed() > limit {
            return Ok(outlooks);
        }
        std::thread::sleep(PAUSE);
    }
}

/// A map, and the session that `swarm-agent login` got there.
struct Way {
    client: Client,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Way {
    fn to(url: &str) -> Outcome<Self> {
        let client = Client::new(url, None)
            .map_err(|error| Failure::usage(format!("--map {url}: {error}")))?;
        let session = sessions::find(url).and_then(|session| sessions::bearer(&session));
        Ok(Self {
            client,
            headers: session.into_iter().collect(),
        })
    }
}

async fn ask(way: &mut Way, workflow: &str) -> Outcome<(Vec<Seen>, Vec<Row>)> {
    let mut boxes = Vec::new();
    let mut path = "/v1/boxes?limit=1000".to_string();
    loop {
        let page: Page = get(way, &path).await?.unwrap_or(Page {
            items: Vec::new(),
            next: None,
        });
        boxes.extend(page.items);
        match page.next {
            Some(cursor) => path = format!("/v1/boxes?limit=1000&cursor={cursor}"),
            None => break,
        }
    }
    let rows = get::<Workflow>(way, &format!("/v1/workflows/{workflow}"))
        .await?
        .map(|workflow| workflow.boxes);
    Ok((boxes, rows.unwrap_or_default()))
}

async fn get<T: for<'de> Deserialize<'de>>(way: &mut Way, path: &str) -> Outcome<Option<T>> {
    let answer = way
        .client
        .request(
            Method::GET,
            path,
            &way.headers,
            Bytes::new(),
            LIMIT,
            PATIENCE,
        )
        .await;
    let answer = answer.map_err(|error| {
        Failure::new(format!("the map cannot be asked: {error}"))
            .exit(Exit::Unreachable)
            .hint("it is pushed; swarm-agent list --map=URL shows it later")
    })?;
    match answer.status {
        StatusCode::OK => Ok(Some(
            serde_json::from_slice(&answer.body)
                .with_context(|| format!("the map's answer to {path} is not understood"))?,
        )),
        StatusCode::NOT_FOUND => Ok(None),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(Failure::new("the map does not let strangers read")
                .exit(Exit::NotAllowed)
                .hint("it is pushed; to see it here too: swarm-agent login --map=URL"))
        }
        other => {
            Err(Failure::new(format!("the map answers {other} to {path}")).exit(Exit::Unreachable))
        }
    }
}

impl Outlook {
    fn words(&self) -> String {
        match self {
            Self::Done(state) => state.clone(),
            Self::Refused(reason) => format!("refused: {reason}"),
            Self::Waiting(state) => format!("{state} …"),
            Self::Away(state) => format!("{state}; it will catch up by itself"),
        }
    }
}

/// Where each chosen box stands.
fn judge(
    wanted: &Wanted<'_>,
    boxes: &[Seen],
    rows: &[Row],
    includes: &dyn Fn(&str, &str) -> bool,
) -> Vec<(String, Outlook)> {
    let facts = |seen: &Seen| Facts {
        name: seen.name.clone(),
        labels: seen.labels.clone(),
        facts: seen.facts.clone(),
    };
    let chosen: Vec<&Seen> = boxes
        .iter()
        .filter(|seen| wanted.manifest.on.choose(&facts(seen)) == Verdict::Chosen)
        .collect();
    let kept = wanted.manifest.on.narrow(
        &wanted.manifest.workflow,
        chosen.iter().map(|seen| seen.name.as_str()),
    );
    let kept = chosen
        .into_iter()
        .filter(|seen| kept.contains(&seen.name.as_str()));
    kept.map(|seen| (seen.name.clone(), one(wanted, seen, rows, includes)))
        .collect()
}

fn one(
    wanted: &Wanted<'_>,
    seen: &Seen,
    rows: &[Row],
    includes: &dyn Fn(&str, &str) -> bool,
) -> Outlook {
    let rows: Vec<&Row> = rows
        .iter()
        .filter(|row| row.box_name == seen.name)
        .collect();
    let refusal = rows
        .iter()
        .find_map(|row| refused(wanted, row, seen, includes));
    if let Some(reason) = refusal {
        return Outlook::Refused(reason);
    }
    if let Some(trouble) = seen
        .trouble
        .as_ref()
        .filter(|trouble| trouble.commit.as_deref() == Some(&wanted.commit))
    {
        return Outlook::Refused(format!("{} [{}]", trouble.reason, trouble.rule));
    }
    if !rows.is_empty()
        && rows
            .iter()
            .all(|row| is_new(wanted, row, seen, includes) && is_good(wanted, row))
    {
        return Outlook::Done(format!(
            "{} {}",
            wanted.manifest.version,
            rows[0].state.as_str()
        ));
    }
    if matches!(seen.state.as_str(), "offline" | "pending") {
        return Outlook::Away(seen.state.clone());
    }
    let state = rows
        .iter()
        .find(|row| is_new(wanted, row, seen, includes))
        .map_or("waiting for the box", |row| row.state.as_str());
    Outlook::Waiting(state.into())
}

/// Whether a row tells of what was pushed, not of what was there before.
fn is_new(
    wanted: &Wanted<'_>,
    row: &Row,
    seen: &Seen,
    includes: &dyn Fn(&str, &str) -> bool,
) -> bool {
    let same = row
        .digest
        .as_deref()
        .is_none_or(|digest| digest == wanted.digest)
        && row.version.as_deref() == Some(&wanted.manifest.version.to_string());
    let known = |commit: &Option<String>| {
        commit
            .as_deref()
            .is_some_and(|commit| includes(commit, &wanted.commit))
    };
    same && (known(&row.commit) || known(&seen.commit))
}

fn is_good(wanted: &Wanted<'_>, row: &Row) -> bool {
    match row.state {
        State::Ready | State::Finished | State::Expired => true,
        State::Running => !wanted.has_probe,
        _ => false,
    }
}

fn refused(
    wanted: &Wanted<'_>,
    row: &Row,
    seen: &Seen,
    includes: &dyn Fn(&str, &str) -> bool,
) -> Option<String> {
    let is_end = |state: State| {
        matches!(
            state,
            State::Refused | State::Blocked | State::Failed | State::Killed | State::Interrupted
        )
    };
    let with_rule = |reason: &str, rule: Option<&String>| {
        rule.map_or_else(|| reason.to_string(), |rule| format!("{reason} [{rule}]"))
    };
    if let Some(next) = row.next.as_ref().filter(|next| {
        next.version.as_deref() == Some(&wanted.manifest.version.to_string()) && is_end(next.state)
    }) {
        return Some(with_rule(&next.reason, next.rule.as_ref()));
    }
    let ends = is_end(row.state)
        && (is_new(wanted, row, seen, includes)
            || (row.version.is_none() && row.commit.as_deref() == Some(&wanted.commit)));
    ends.then(|| {
        with_rule(
            row.reason.as_deref().unwrap_or(row.state.as_str()),
            row.rule.as_ref(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_manifests::manifest;

    fn row(version: &str, state: &str) -> Row {
        let row = serde_json::json!({
            "box": "lab-1", "workflow": "ramp", "bundle": "ramp", "version": version, "digest": null, "mode": "daemon", "state": state,
            "reason": "because", "rule": null, "since": null, "pid": null, "instance": 0, "restarts": 0, "up_s": null, "time_left_s": null,
            "last_exit": null, "memory_bytes": null, "cpu_s": null, "commit": "c2", "by": null, "next": null
        });
        serde_json::from_value(row).expect("a row")
    }

    fn outlook(rows: &[Row], box_state: &str, has_probe: bool) -> Outlook {
        let (manifest, problems) = manifest::read(
            "manifests/ramp.toml",
            b"version = \"1.0.1\"\n[on]\nall = true\n[run]\nmode = \"daemon\"\n",
        );
        let manifest = manifest.unwrap_or_else(|| panic!("{problems:?}"));
        let wanted = Wanted {
            manifest: &manifest,
            digest: "sha256:00".into(),
            has_probe,
            commit: "c2".into(),
        };
        let seen = Seen {
            name: "lab-1".into(),
            state: box_state.into(),
            labels: BTreeMap::new(),
            facts: BTreeMap::new(),
            commit: Some("c2".into()),
            trouble: None,
        };
        judge(&wanted, &[seen], rows, &|holder, held| holder == held)
            .remove(0)
            .1
    }

    #[test]
    fn a_box_that_runs_the_old_version_is_waited_for() {
        assert!(matches!(
            outlook(&[row("1.0.0", "running")], "online", false),
            Outlook::Waiting(_)
        ));
    }

    #[test]
    fn running_is_enough_unless_the_bundle_says_when_it_is_ready() {
        assert!(matches!(
            outlook(&[row("1.0.1", "running")], "online", false),
            Outlook::Done(_)
        ));
        assert!(matches!(
            outlook(&[row("1.0.1", "running")], "online", true),
            Outlook::Waiting(_)
        ));
        assert!(matches!(
            outlook(&[row("1.0.1", "ready")], "online", true),
            Outlook::Done(_)
        ));
    }

    #[test]
    fn every_instance_must_have_it() {
        assert!(matches!(
            outlook(
                &[row("1.0.1", "running"), row("1.0.0", "running")],
                "online",
                false
            ),
            Outlook::Waiting(_)
        ));
    }

    #[test]
    fn a_refusal_ends_the_wait_with_its_reason() {
        assert_eq!(
            outlook(&[row("1.0.1", "refused")], "online", false),
            Outlook::Refused("because".into())
        );
        let mut old = row("1.0.0", "running");
        old.next = Some(serde_json::from_value(serde_json::json!({"version": "1.0.1", "commit": null, "state": "refused", "reason": "no", "rule": "S-RUN-02"})).expect("a next"));
        assert_eq!(
            outlook(&[old], "online", false),
            Outlook::Refused("no [S-RUN-02]".into())
        );
    }

    #[test]
    fn nobody_waits_for_a_box_that_is_off() {
        assert!(matches!(outlook(&[], "offline", false), Outlook::Away(_)));
    }
}
