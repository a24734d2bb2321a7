//! What the box itself allows, applied anew: its ceiling may be another one than when something was put. Reads the box's configuration.

use super::Supervisor;
use crate::{
    ceiling,
    machine::{Event, Trouble, Version},
    protocol::{Response, RunSpec},
};
use std::sync::Arc;
use swarm_manifests::{name::Name, rules, status::State};

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
        let Some(state) = self.workflows.get(name).map(|workflow| &workflow.state) else {
            return;
        };
        let last = state.successor.as_ref().or(state.current.as_ref());
        let refused = last.filter(|version| version.is_refused());
        let refused = refused.map(|version| Arc::clone(&version.spec));
        // What is to give way soon is not looked at: to forbid it would be taken for the last word.
        let current = state.current.as_ref();
        let current = current.filter(|_| state.successor.is_none() || refused.is_some());
        let versions = current
            .into_iter()
            .chain(&state.successor)
            .chain(&state.good);
        let specs: Vec<Arc<RunSpec>> = versions
            .map(|version: &Version| Arc::clone(&version.spec))
            .collect();
        for spec in specs {
            if let Err(trouble) = ceiling::apply((*spec).clone(), &self.settings.ceiling) {
                self.feed(name, Event::Forbidden(Box::new((*spec).clone()), trouble));
            }
        }
        let allowed =
            refused.and_then(|spec| ceiling::apply((*spec).clone(), &self.settings.ceiling).ok());
        if let Some(spec) = allowed {
            self.feed(name, Event::Put(Box::new(spec)));
        }
    }

    /// Whoever wants something started may have mended what kept it from that.
    pub(super) fn look_anew(&mut self, workflow: &str) {
        if let Ok(name) = Name::new(workflow) {
            self.apply_ceiling(&name);
        }
    }
}

/// Why something that was to start does not run, and what to do.
pub(super) fn not_started(workflow: &Name, kind: State, trouble: &Trouble) -> Response {
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
