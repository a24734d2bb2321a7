//! The machine of one workflow: what happened comes in, what to do goes out. Pure.
