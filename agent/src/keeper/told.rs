//! Which refusals stand in the journal already: each distinct one is written once, not once a poll. Touches one small file.

use crate::picture::Picture;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use swarm_manifests::{report::Event, status::State};
use swarm_supervisor::protocol::Standing;

/// What the keys of refused commits begin with; no workflow's name has a colon.
const TRUNK: &str = "trunk: ";
/// So many of them are kept.
const MOST_COMMITS: usize = 1000;

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

    /// The record of a trunk that does not move on. That the remote is away is no refusal.
    pub fn trouble(&mut self, picture: &Picture) -> Vec<Event> {
        let Some(trouble) = picture
            .trouble
            .as_ref()
            .filter(|trouble| trouble.commit.is_some())
        else {
            return Vec::new();
        };
        let key = format!(
            "{TRUNK}{} {}",
            trouble.rule,
            trouble.commit.as_deref().unwrap_or_default()
        );
        if self.keys.contains(&key) {
            return Vec::new();
        }
        // A commit is refused once and for all: its key is kept, also while it cannot be seen.
        if self
            .keys
            .iter()
            .filter(|key| key.starts_with(TRUNK))
            .count()
            >= MOST_COMMITS
        {
            self.keys.retain(|key| !key.starts_with(TRUNK));
        }
        self.keys.insert(key);
        self.save();
        vec![Event {
            rule: Some(trouble.rule.clone()),
            reason: Some(trouble.reason.clone()),
            commit: trouble.commit.clone(),
            ..Event::new("refuse")
        }]
    }

    /// The records for what stands now and did not before. What no longer stands is forgotten: if it comes back, it is news.
    pub fn standing(&mut self, standing: &[Standing]) -> Vec<Event> {
        let mut now: BTreeSet<String> = self
            .keys
            .iter()
            .filter(|key| key.starts_with(TRUNK))
            .cloned()
            .collect();
        let mut events = Vec::new();
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
                    ..Event::new(if next.state == State::Waiting {
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
            self.save();
        }
        events
    }

    fn save(&self) {
        let kept = serde_json::to_vec(&self.keys)
            .map_err(Into::into)
            .and_then(|text| crate::trust::replace(&self.file, &text));
        if let Err(error) = kept {
            tracing::warn!(%error, "cannot keep what was journalled");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_manifests::{name::Name, report::Trouble, status::Next};

    fn refused(commit: &str) -> Standing {
        let next = Next {
            version: None,
            commit: Some(commit.into()),
            state: State::Refused,
            reason: "no".into(),
            rule: Some("S-BUNDLE-03".into()),
        };
        Standing {
            workflow: Name::new("w").expect("a name"),
            bundle: None,
            mode: None,
            by: None,
            next,
        }
    }

    #[test]
    fn a_refusal_is_journalled_once_also_over_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("told.json");
        let mut told = Told::load(&file);
        assert_eq!(told.standing(&[refused("a")]).len(), 1);
        assert_eq!(told.standing(&[refused("a")]).len(), 0);
        let mut told = Told::load(&file);
        assert_eq!(told.standing(&[refused("a")]).len(), 0);
        assert_eq!(told.standing(&[refused("b")]).len(), 1);
        assert_eq!(told.standing(&[]).len(), 0);
        assert_eq!(told.standing(&[refused("b")]).len(), 1, "it came back");
    }

    #[test]
    fn a_refused_commit_is_journalled_once_and_an_outage_never() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut told = Told::load(&dir.path().join("told.json"));
        let with = |commit: Option<&str>| Picture {
            trouble: Some(Trouble {
                rule: "S-TRUNK-03".into(),
                reason: "no".into(),
                hint: None,
                commit: commit.map(Into::into),
            }),
            ..Picture::default()
        };
        let counts =
            [Some("a"), None, Some("a"), Some("b")].map(|commit| told.trouble(&with(commit)).len());
        assert_eq!(counts, [1, 0, 0, 1]);
    }
}
