//! What is wrong in the fleet, the worst first, equal things once. Pure.

use super::{BoxState, BoxView, Fleet, is_wrong, trunk::Trunk};
use std::collections::BTreeMap;
use swarm_manifests::{
    report::Trouble,
    rules::remote::FORKED,
    status::{Row, State},
};

/// How bad it is; the order is that of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    Forked,
    Trouble,
    Refused,
    Failed,
    Blocked,
    Backoff,
    Offline,
    /// The map's mirror cannot follow the repository: what the map says of the trunk may be old.
    Unfollowed,
    Late,
    Stale,
    Dropped,
    Warning,
}

impl Kind {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forked => "forked",
            Self::Trouble => "stopped",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Backoff => "backoff",
            Self::Offline => "offline",
            Self::Unfollowed => "mirror",
            Self::Late => "late",
            Self::Stale => "stale",
            Self::Dropped => "dropped",
            Self::Warning => "warning",
        }
    }

    /// Whether something does not run, or may not, because of it.
    pub fn is_severe(self) -> bool {
        self <= Self::Offline
    }
}

/// One thing that is wrong, on one box or on many.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Wrong {
    pub kind: Kind,
    pub workflow: Option<String>,
    pub reason: String,
    pub rule: Option<String>,
    pub hint: Option<String>,
    pub commit: Option<String>,
    /// Where; empty for what only the map's own mirror says.
    pub boxes: Vec<String>,
}

/// Everything that is wrong.
pub fn wrongs(fleet: &Fleet) -> Vec<Wrong> {
    let mut found: BTreeMap<(Kind, String, String), Wrong> = BTreeMap::new();
    for wrong in fleet.trunk.iter().flat_map(|trunk| of_trunk(trunk)) {
        found.insert((wrong.kind, String::new(), wrong.reason.clone()), wrong);
    }
    for view in &fleet.boxes {
        for wrong in of_box(view)
            .into_iter()
            .chain(view.rows.iter().filter_map(of_row))
        {
            let key = (
                wrong.kind,
                wrong.workflow.clone().unwrap_or_default(),
                wrong.reason.clone(),
            );
            let entry = found.entry(key).or_insert(wrong);
            if entry.boxes.last().map(String::as_str) != Some(view.name.as_str()) {
                entry.boxes.push(view.name.to_string());
            }
        }
    }
    found.into_values().collect()
}

fn plain(kind: Kind, reason: String) -> Wrong {
    Wrong {
        kind,
        workflow: None,
        reason,
        rule: None,
        hint: None,
        commit: None,
        boxes: vec![],
    }
}

fn troubled(kind: Kind, trouble: &Trouble) -> Wrong {
    Wrong {
        rule: Some(trouble.rule.clone()),
        hint: trouble.hint.clone(),
        commit: trouble.commit.clone(),
        ..plain(kind, trouble.reason.clone())
    }
}

/// What the map's own mirror says. A box in the same trouble adds its name to it.
fn of_trunk(trunk: &Trunk) -> impl Iterator<Item = Wrong> {
    let stopped = trunk
        .trouble
        .iter()
        .map(|trouble| troubled(Kind::Trouble, trouble));
    let failed = trunk
        .failure
        .iter()
        .map(|trouble| troubled(Kind::Unfollowed, trouble));
    stopped.chain(failed)
}

fn of_box(view: &BoxView) -> Vec<Wrong> {
    let mut found: Vec<_> = view
        .trouble
        .iter()
        .map(|trouble| troubled(Kind::Trouble, trouble))
        .collect();
    match view.state {
        BoxState::Offline if view.last_seen.is_none() => found.push(plain(
            Kind::Offline,
            "enrolled, and never heard of since".into(),
        )),
        BoxState::Offline => found.push(plain(
            Kind::Offline,
            "not heard of for five heartbeats or more; what is shown of it is what it said last"
                .into(),
        )),
        BoxState::Late => found.push(plain(Kind::Late, "two heartbeats are missing".into())),
        // Why it does not follow is said by its trouble, where it has one.
        BoxState::Stale if view.freshness.is_some() => {
            found.extend(
                view.freshness
                    .iter()
                    .map(|said| troubled(Kind::Stale, said)),
            );
        }
        BoxState::Stale if view.trouble.is_none() => {
            found.push(plain(Kind::Stale, "behind the git repository".into()));
        }
        BoxState::Forked => found.push(match &view.freshness {
            Some(said) if said.rule == FORKED.id => troubled(Kind::Forked, said),
            _ => forked(view),
        }),
        BoxState::Stale | BoxState::Online | BoxState::Pending => {}
    }
    if view.dropped > 0 {
        found.push(plain(Kind::Dropped, format!("{} events were dropped while the map could not be reached; the box's own history has them", view.dropped)));
    }
    found.extend(
        view.warnings
            .iter()
            .map(|warning| plain(Kind::Warning, warning.clone())),
    );
    found
}

/// The mirror has another commit where this box stands.
fn forked(view: &BoxView) -> Wrong {
    let position = view.position.unwrap_or_default();
    let reason = format!(
        "forked: at position {position} of the trunk this map verified another commit than the box trusts"
    );
    Wrong {
        rule: Some(FORKED.id.into()),
        hint: Some(FORKED.remedy.into()),
        commit: view.commit.clone(),
        ..plain(Kind::Forked, reason)
    }
}

fn of_row(row: &Row) -> Option<Wrong> {
    if !is_wrong(row) {
        return None;
    }
    let next = row
        .next
        .as_ref()
        .filter(|next| matches!(next.state, State::Refused | State::Blocked | State::Failed));
    let (state, reason, rule, commit) = match next {
        Some(next) => (next.state, Some(&next.reason), &next.rule, &next.commit),
        None => (row.state, row.reason.as_ref(), &row.rule, &row.commit),
    };
    let kind = match state {
        State::Refused => Kind::Refused,
        State::Blocked => Kind::Blocked,
        State::Backoff => Kind::Backoff,
        _ => Kind::Failed,
    };
    Some(Wrong {
        kind,
        workflow: Some(row.workflow.clone()),
        reason: reason.cloned().unwrap_or_else(|| state.as_str().to_owned()),
        rule: rule.clone(),
        hint: remedy(rule.as_deref()),
        commit: commit.clone(),
        boxes: vec![],
    })
}

/// What the rule's own page says to do.
fn remedy(rule: Option<&str>) -> Option<String> {
    rule.and_then(swarm_manifests::rules::find)
        .map(|rule| rule.remedy.to_owned())
}
