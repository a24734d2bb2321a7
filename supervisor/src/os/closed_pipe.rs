//! What a command does when nobody reads its output any more (`swarm-agent history | head -1`). Touches this process's SIGPIPE.

use nix::sys::signal::{SigHandler, Signal, signal};

/// Ends silently at the first write to a closed pipe, as other programs do; Rust's start code ignores SIGPIPE, and printing panics.
/// For commands that only ask and print: not where a broken connection is to be survived.
pub fn end_at_a_closed_pipe() {
    // SAFETY: the default disposition runs no code of ours, and no other thread exists yet.
    let done = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    debug_assert!(done.is_ok(), "SIGPIPE is a signal that may be set");
}
