//! Processes: what should run comes in over a private socket, what happened goes out.
//!
//! The rooms in walking order. Only `os` has `unsafe` and nix; `machine` is pure.

pub mod frame;
pub mod machine;
pub mod os;
pub mod protocol;
