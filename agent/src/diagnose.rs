//! Problems of a file as people see them: the place, the line, the mark under it, the hint.

use miette::{LabeledSpan, MietteDiagnostic, NamedSource, Severity};
use swarm_manifests::problem::Problem;

/// Prints them to stderr, each with its place in `text`.
pub fn print(text: &str, problems: &[Problem]) {
    for problem in problems {
        let mut diagnostic = MietteDiagnostic::new(&problem.message)
            .with_code(problem.rule.id)
            .with_severity(Severity::Error);
        diagnostic.help.clone_from(&problem.hint);
        if let Some(span) = &problem.span {
            diagnostic = diagnostic.with_label(LabeledSpan::underline(span.clone()));
        }
        let report = miette::Report::new(diagnostic)
            .with_source_code(NamedSource::new(&problem.file, text.to_string()));
        eprintln!("{report:?}");
    }
}
