//! The agent proper: from a push that it hears of to what the supervisor is told to run.
//!
//! The rooms in walking order; `daemon` is the one file that knows that order.

// What this box is.
pub mod settings;

pub mod box_key;
pub mod chance;
pub mod facts;
pub mod trust;

// What makes it look, and when.
pub mod trigger;

pub mod lookout;
pub mod walker;

// The walk: from a look to what should run.
pub mod walk;

pub mod fetch;

pub mod allowance;
pub mod bundles;
pub mod resolve;
pub mod secrets;
pub mod store;

pub mod local;
pub mod picture;

// From what should run to what the supervisor is told.
pub mod keeper;

pub mod link;
pub mod plan;
pub mod seals;

// What the map is told.
pub mod endpoint;
pub mod metrics;
pub mod outbox;
pub mod report;
pub mod requests;

// All of it together.
pub mod daemon;

pub mod talk;

// What people type.
pub mod cli;
pub mod commands;
pub mod diagnose;
