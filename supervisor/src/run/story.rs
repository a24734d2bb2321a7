//! The story that an operator reads in the log of our own process: a journal record comes in, one line goes out. What happens often is
//! told at `debug`, what somebody did at `info`, what does not run as it was meant to at `warn`. Touches the log only.

use crate::machine::in_words;
use swarm_manifests::report::Event;

/// What `RUST_LOG` calls it.
const TARGET: &str = "story";

/// Tells one record.
pub(super) fn tell(record: &Event) {
    let (workflow, instance) = (record.workflow.as_deref(), record.instance);
    let (version, by) = (record.version.as_deref(), record.by.as_deref());
    let commit = record.commit.as_deref().and_then(|commit| commit.get(..10));
    let (rule, reason) = (record.rule.as_deref(), record.reason.as_deref());
    let exit = record.exit.as_ref().map(in_words);
    macro_rules! told {
        ($level:ident, $text:expr) => {
            tracing::$level!(
                target: TARGET, exit, workflow, instance, version, by, commit, rule, reason, "{}", $text
            )
        };
    }
    let action = record.action.as_str();
    match action {
        "start" | "ready" | "exit" | "stop" | "trust" => told!(debug, action),
        "refuse" | "fail" | "wait" | "expire" => told!(warn, action),
        _ => told!(info, action),
    }
}
