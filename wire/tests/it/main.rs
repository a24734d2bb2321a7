//! The client against real servers, and against such as no honest person writes.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a panic here is a failed promise, with its line"
)]

#[path = "../support/mod.rs"]
mod support;

mod echo;
mod hostile;
mod http;
mod path;
mod ssh;
mod tls;
mod world;
