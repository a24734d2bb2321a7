//! Processes: what should run comes in over a private socket, what happened goes out.
//!
//! The rooms in walking order. Only `os` has `unsafe`; `machine` is pure.

pub mod protocol;

pub mod frame;

pub mod time;

pub mod settings;

pub mod ceiling;

pub mod machine;

pub mod journal;

pub mod snapshot;

mod control;

pub mod handover;

pub mod client;

pub mod indexer;

pub mod run;

pub mod os;
