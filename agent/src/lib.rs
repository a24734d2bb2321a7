//! The agent proper: from a push that it hears of to what the supervisor is told to run.
//!
//! The rooms in walking order; `daemon` is the one file that knows that order.

pub mod chance;
pub mod settings;
pub mod facts;
pub mod trigger;
pub mod fetch;
pub mod indexer;
pub mod trust;
pub mod allowance;
pub mod resolve;
pub mod store;
pub mod bundles;
pub mod picture;
pub mod walk;
pub mod local;
pub mod plan;
pub mod link;
pub mod keeper;
pub mod outbox;
pub mod report;
pub mod daemon;

pub mod cli;
pub mod commands;
pub mod diagnose;
