//! The map: where boxes report, and people look (SPEC §8).
//!
//! A report walks: connection → route and guard → `ingest` → `store` (with its audit row) → `fleet` (pure) → page, API and
//! events. The mirror follows the deploy repository beside it, and says where it stands. Nothing here can start or stop anything on a box: it verifies for itself, whatever a map says.

pub mod api;
pub mod app;
pub mod challenge;
pub mod cli;
pub mod commands;
pub mod enrol;
pub mod feed;
pub mod fleet;
pub mod hooks;
pub mod http;
pub mod ingest;
pub mod key;
pub mod login;
pub mod mirror;
pub mod nudge;
pub mod page;
pub mod people;
pub mod requests;
pub mod serve;
pub mod session;
pub mod settings;
pub mod shown;
pub mod store;
pub mod stream;
pub mod watch;
