//! What an audit found: what a box would refuse, and what only people should know. Pure.

use crate::failure::Finding;
use swarm_manifests::{problem::Problem, rules::trunk::REVOKED};

/// What is wrong, and what may be.
#[derive(Debug, Default)]
pub struct Report {
    /// What a box would refuse.
    pub findings: Vec<Finding>,
    /// What it would not.
    pub warnings: Vec<String>,
}

impl Report {
    /// Both.
    pub fn add(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.warnings.extend(other.warnings);
    }

    /// What a revocation voids is no fault of any commit: boxes take it, stop what came of it, and so this is a note.
    pub fn note_the_void(&mut self) {
        let found = std::mem::take(&mut self.findings);
        let (void, wrong): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|finding| finding.problem.rule == &REVOKED);
        self.findings = wrong;
        let words = void.iter().map(|finding| note_of(&finding.problem));
        self.warnings.extend(words);
    }
}

/// A problem as a note.
pub fn note_of(problem: &Problem) -> String {
    format!(
        "{}: {} [{}]",
        problem.file, problem.message, problem.rule.id
    )
}
