//! The fleet: what the boxes' records mean at a moment. Pure.
//!
//! Records and a time come in, the fleet goes out, and with it the moment at which it would look different by itself.

pub mod change;
pub mod select;
pub mod trunk;
pub mod wrong;

use crate::store::reports::{Record, Reports};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use swarm_manifests::{
    facts::{Facts, Value},
    name::Name,
    report::Trouble,
    rules::remote::{FORKED, STALE},
    status::{Row, State},
};
use trunk::{Head, Known, Trunk};

/// How a box is, seen from the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BoxState {
    /// It reports, and has what git has.
    Online,
    /// It reports, but trusts another commit than its remote or this map's mirror has.
    Stale,
    /// It and this map's mirror trust different commits at one position, or it says so.
    Forked,
    /// Two heartbeats are missing.
    Late,
    /// Five are.
    Offline,
    /// Expected, but its key is not known yet.
    Pending,
}

impl BoxState {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Stale => "stale",
            Self::Forked => "forked",
            Self::Late => "late",
            Self::Offline => "offline",
            Self::Pending => "pending",
        }
    }

    /// Reads what [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Online,
            Self::Stale,
            Self::Forked,
            Self::Late,
            Self::Offline,
            Self::Pending,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }
}

/// One box as `GET /v1/boxes` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct BoxView {
    #[serde(rename = "box")]
    pub name: Name,
    pub state: BoxState,
    /// Since when it is in this state.
    pub since: Option<Timestamp>,
    pub last_seen: Option<Timestamp>,
    pub labels: BTreeMap<String, Value>,
    pub facts: BTreeMap<String, Value>,
    pub location: Option<(f64, f64)>,
    pub commit: Option<String>,
    pub position: Option<u64>,
    pub remote_head: Option<String>,
    pub trouble: Option<Trouble>,
    /// What a map's witness says against what it trusts.
    pub freshness: Option<Trouble>,
    pub warnings: Vec<String>,
    pub protections: Vec<String>,
    pub agent_version: Option<String>,
    /// How many workflows it has, how many of their instances run, and how many are not as they should be.
    pub workflows: usize,
    pub running: usize,
    pub wrong: usize,
    /// Events that its outbox had to drop.
    pub dropped: u64,
    #[serde(skip)]
    pub rows: Arc<Vec<Row>>,
    /// When the rows came, where that is known.
    #[serde(skip)]
    pub rows_at: Option<Timestamp>,
}

impl BoxView {
    /// A row of this box as it was when the box spoke last: what counts seconds went on since the row came, where that is known.
    pub fn by_now(&self, row: &Row) -> Row {
        let later = self.rows_at.zip(self.last_seen);
        let later = later.map_or(0.0, |(came, seen)| {
            seen.duration_since(came).as_secs_f64().max(0.0)
        });
        Row {
            up_s: row.up_s.map(|up| up + later),
            time_left_s: row.time_left_s.map(|left| (left - later).max(0.0)),
            ..row.clone()
        }
    }

    /// What selectors are held against.
    pub fn selectable(&self) -> Facts {
        Facts {
            name: self.name.to_string(),
            labels: self.labels.clone(),
            facts: self.facts.clone(),
        }
    }
}

/// Every box at one moment, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fleet {
    /// The boxes.
    pub boxes: Vec<BoxView>,
    /// When one of them changes its state without saying anything.
    pub next_change: Option<Timestamp>,
    /// The trunk, where this map mirrors it.
    pub trunk: Known,
}

/// Whether something is not as it should be with this row.
pub fn is_wrong(row: &Row) -> bool {
    let bad = |state: State| {
        matches!(
            state,
            State::Failed | State::Backoff | State::Refused | State::Blocked | State::Interrupted
        )
    };
    bad(row.state) || row.next.as_ref().is_some_and(|next| bad(next.state))
}

/// What the records mean at `now`.
pub fn fold(reports: &Reports, trunk: &Known, heartbeat: SignedDuration, now: Timestamp) -> Fleet {
    let trunk_now = trunk.as_deref();
    let mut fleet = Fleet {
        trunk: trunk.clone(),
        ..Fleet::default()
    };
    for record in reports.boxes.values() {
        let (state, since, until) = state(record, trunk_now, heartbeat, now);
        fleet.next_change = [fleet.next_change, until].into_iter().flatten().min();
        fleet.boxes.push(view(record, state, since));
    }
    for (name, expires) in reports
        .pending
        .iter()
        .filter(|(_, expires)| **expires > now)
    {
        fleet.next_change = [fleet.next_change, Some(*expires)]
            .into_iter()
            .flatten()
            .min();
        fleet.boxes.push(expected(name));
    }
    fleet.boxes.sort_by(|a, b| a.name.cmp(&b.name));
    fleet
}

/// The state, since when, and until when if nothing is heard.
fn state(
    record: &Record,
    trunk: Option<&Trunk>,
    heartbeat: SignedDuration,
    now: Timestamp,
) -> (BoxState, Option<Timestamp>, Option<Timestamp>) {
    let Some(seen) = record.last_seen else {
        // Enrolled, and never heard of: five heartbeats after enrolment that is an absence.
        let absent = after(record.enrolled, heartbeat, 5);
        return if now >= absent {
            (BoxState::Offline, Some(absent), None)
        } else {
            (BoxState::Late, Some(record.enrolled), Some(absent))
        };
    };
    let (late, offline) = (after(seen, heartbeat, 2), after(seen, heartbeat, 5));
    if now >= offline {
        return (BoxState::Offline, Some(offline), None);
    }
    if is_forked(record, trunk) {
        return (BoxState::Forked, record.contact_since, Some(offline));
    }
    if now >= late {
        return (BoxState::Late, Some(late), Some(offline));
    }
    // A push reaches the map before the boxes have had the time to follow: two heartbeats of grace.
    let head = trunk.and_then(|trunk| trunk.head.as_ref());
    let freshness = record
        .status
        .as_ref()
        .and_then(|status| status.freshness.as_ref());
    if freshness.is_some_and(|trouble| trouble.rule == STALE.id) {
        return (BoxState::Stale, record.contact_since, Some(late));
    }
    match behind_since(record, head).map(|since| after(since, heartbeat, 2)) {
        Some(stale) if now >= stale => (BoxState::Stale, Some(stale), Some(late)),
        Some(stale) => (
            BoxState::Online,
            record.contact_since,
            Some(late.min(stale)),
        ),
        None => (BoxState::Online, record.contact_since, Some(late)),
    }
}

/// Whether box and mirror trust different commits at the box's position, or the box found that out for itself.
fn is_forked(record: &Record, trunk: Option<&Trunk>) -> bool {
    let Some(status) = &record.status else {
        return false;
    };
    let ours = status
        .position
        .zip(trunk)
        .and_then(|(position, trunk)| trunk.chain.at(position));
    let differs = ours.is_some_and(|ours| {
        status
            .commit
            .as_deref()
            .is_some_and(|theirs| theirs != ours.to_string())
    });
    let says_so = status.freshness.as_ref();
    differs || says_so.is_some_and(|trouble| trouble.rule == FORKED.id)
}

fn after(start: Timestamp, heartbeat: SignedDuration, count: i32) -> Timestamp {
    heartbeat
        .checked_mul(count)
        .and_then(|gap| start.checked_add(gap).ok())
        .unwrap_or(Timestamp::MAX)
}

/// Since when the box is not where it should be: behind its own remote, or behind the mirror's head.
fn behind_since(record: &Record, head: Option<&Head>) -> Option<Timestamp> {
    let status = record.status.as_ref()?;
    // A box that is ahead of the mirror, which looks less often, is behind nobody.
    let is_behind = |head: &&Head| {
        status.commit.as_deref() != Some(&*head.commit)
            && status
                .position
                .is_none_or(|position| position <= head.position)
    };
    let behind_mirror = head.filter(is_behind).map(|head| head.since);
    [record.behind_since, behind_mirror]
        .into_iter()
        .flatten()
        .min()
}

fn view(record: &Record, state: BoxState, since: Option<Timestamp>) -> BoxView {
    let rows = record.rows.clone().unwrap_or_default();
    let status = record.status.as_deref();
    let mut names: Vec<_> = rows.iter().map(|row| &row.workflow).collect();
    names.sort_unstable();
    names.dedup();
    BoxView {
        name: record.name.clone(),
        state,
        since,
        last_seen: record.last_seen,
        labels: status.map(|s| s.facts.labels.clone()).unwrap_or_default(),
        facts: status.map(|s| s.facts.facts.clone()).unwrap_or_default(),
        location: status.and_then(|s| s.location),
        commit: status.and_then(|s| s.commit.clone()),
        position: status.and_then(|s| s.position),
        remote_head: status.and_then(|s| s.remote_head.clone()),
        trouble: status.and_then(|s| s.trouble.clone()),
        freshness: status.and_then(|s| s.freshness.clone()),
        warnings: status.map(|s| s.warnings.clone()).unwrap_or_default(),
        protections: status.map(|s| s.protections.clone()).unwrap_or_default(),
        agent_version: Some(record.agent_version.clone()).filter(|version| !version.is_empty()),
        workflows: names.len(),
        running: rows
            .iter()
            .filter(|row| matches!(row.state, State::Running | State::Ready))
            .count(),
        wrong: rows.iter().filter(|row| is_wrong(row)).count(),
        dropped: record.dropped,
        rows,
        rows_at: record.rows_at,
    }
}

fn expected(name: &Name) -> BoxView {
    BoxView {
        name: name.clone(),
        state: BoxState::Pending,
        since: None,
        last_seen: None,
        labels: BTreeMap::new(),
        facts: BTreeMap::new(),
        location: None,
        commit: None,
        position: None,
        remote_head: None,
        trouble: None,
        freshness: None,
        warnings: Vec::new(),
        protections: Vec::new(),
        agent_version: None,
        workflows: 0,
        running: 0,
        wrong: 0,
        dropped: 0,
        rows: Arc::default(),
        rows_at: None,
    }
}

#[cfg(test)]
mod tests;
