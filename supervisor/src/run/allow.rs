//! What the box itself allows, applied anew: its ceiling may be another one than when something was put. Reads the box's configuration.

use super::{Supervisor, start::Obstacle};
use crate::{
    ceiling,
    machine::{Event, State, Trouble, Version},
    protocol::Response,
};
use std::sync::Arc;
use swarm_manifests::{name::Name, rules, status};

impl Supervisor {
    /// The configuration may have changed: what is refused now may be allowed, and the other way round.
    pub(super) fn read_ceiling(&mut self) {
        let Some((file, read)) = &self.settings.ceiling_file else {
            return;
        };
        match read(file) {
            Ok(ceiling) => self.settings.ceiling = ceiling,
            Err(error) => {
                return tracing::error!(%error, "the configuration cannot be read; the ceiling before goes on");
            }
        }
        for name in self.workflows.keys().cloned().collect::<Vec<_>>() {
            self.apply_ceiling(&name);
        }
    }

    /// Forbids what is not allowed any more, and lets go on what was refused and is allowed now.
    pub(super) fn apply_ceiling(&mut self, name: &Name) {
        let state = self.workflows.get(name).map(|workflow| &workflow.state);
        let versions = state.into_iter().flat_map(State::versions);
        let judged = versions.filter_map(|version| {
            let judged = ceiling::apply((*version.spec).clone(), &self.settings.ceiling);
            let is_news = judged.is_err() || version.is_refused();
            is_news.then(|| Event::Judged(version.spec.revision, judged.map(drop)))
        });
        for event in judged.collect::<Vec<_>>() {
            self.feed(name, event);
        }
    }

    /// A version as the box allows it now, which may be less than when it was put; it is known by that from now on.
    pub(super) fn allowed(&mut self, name: &Name, version: Version) -> Result<Version, Obstacle> {
        let spec = match ceiling::apply((*version.spec).clone(), &self.settings.ceiling) {
            Ok(spec) => spec,
            Err(trouble) => {
                let judged = Event::Judged(version.spec.revision, Err(trouble.clone()));
                self.queue.push_back((name.clone(), judged));
                return Err(Obstacle {
                    trouble,
                    passing: false,
                });
            }
        };
        if spec == *version.spec {
            return Ok(version);
        }
        let spec = Arc::new(spec);
        if let Some(workflow) = self.workflows.get_mut(name) {
            workflow.state.tighten(&spec);
            self.unsaved.insert(name.clone());
        }
        Ok(Version { spec, ..version })
    }

    /// Whoever wants something started may have mended what kept it from that.
    pub(super) fn look_anew(&mut self, workflow: &str) {
        if let Ok(name) = Name::new(workflow) {
            self.apply_ceiling(&name);
        }
    }
}

/// Why something that was to start does not run, and what to do.
pub(super) fn not_started(workflow: &Name, kind: status::State, trouble: &Trouble) -> Response {
    let (reason, rule) = (&trouble.reason, trouble.rule.as_deref());
    let id = rule.map_or_else(String::new, |id| format!(" [{id}]"));
    let remedy = rule
        .and_then(rules::find)
        .map(|rule| rule.remedy.to_owned());
    Response::Failed {
        exit: 1,
        message: format!("{workflow}: {}: {reason}{id}", kind.as_str()),
        hint: remedy,
    }
}
