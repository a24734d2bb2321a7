//! The client against real servers, and against such as no honest person writes.

#[path = "../support/mod.rs"]
mod support;

mod hostile;
mod http;
mod path;
mod ssh;
mod tls;
mod world;
