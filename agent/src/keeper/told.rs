//! Which refusals stand in the journal already: each distinct one is written once, not once a poll. Touches one small file.

use crate::{picture::Picture, walk::event};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use swarm_manifests::{report::Event, status::State};
use swarm_supervisor::protocol::Standing;

/// What was told and still stands.
pub struct Told {
    file: PathBuf,
    keys: BTreeSet<String>,
}

impl Told {
    /// What an earlier agent told.
    pub fn load(file: &Path) -> Self {
        let keys = std::fs::read(file)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Self {
            file: file.into(),
            keys,
        }
    }

    /// The records for what stands now and did not before. What no longer stands is forgotten: if it comes back, it is news.
    pub fn news(&mut self, standing: &[Standing], picture: &Picture) -> Vec<Event> {
        let mut now = BTreeSet::new();
        let mut events = Vec::new();
        // That the remote is away is no refusal.
        let stopped = picture
            .trouble
            .as_ref()
            .filter(|trouble| trouble.commit.is_some());
        if let Some(trouble) = stopped {
            let key = format!(
                "trunk {} {}",
                trouble.rule,
                trouble.commit.as_deref().unwrap_or_default()
            );
            if !self.keys.contains(&key) {
                events.push(Event {
                    rule: Some(trouble.rule.clone()),
                    reason: Some(trouble.reason.clone()),
                    commit: trouble.commit.clone(),
                    ..event("refuse")
                });
            }
            now.insert(key);
        }
        for standing in standing
            .iter()
            .filter(|standing| standing.next.state != State::Fetching)
        {
            let next = &standing.next;
            let part = |text: &Option<String>| text.clone().unwrap_or_default();
            let key = format!(
                "{} {} {} {}",
                standing.workflow,
                part(&next.rule),
                part(&next.version),
                part(&next.commit)
            );
            if !self.keys.contains(&key) {
                events.push(Event {
                    workflow: Some(standing.workflow.to_string()),
                    version: next.version.clone(),
                    commit: next.commit.clone(),
                    by: standing.by.clone(),
                    rule: next.rule.clone(),
                    reason: Some(next.reason.clone()),
                    ..event(if next.state == State::Waiting {
                        "wait"
                    } else {
                        "refuse"
                    })
                });
            }
            now.insert(key);
        }
        if now != self.keys {
            self.keys = now;
            let kept = serde_json::to_vec(&self.keys)
                .map_err(Into::into)
                .and_then(|text| crate::trust::replace(&self.file, &text));
            if let Err(error) = kept {
                tracing::warn!(%error, "cannot keep what was journalled");
            }
        }
        events
    }
}
