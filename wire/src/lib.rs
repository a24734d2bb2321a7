//! Git's wire protocol version 2 over HTTP, SSH and paths, the HTTP client below it, and webhooks' signatures.
//!
//! Nothing here looks into a pack or decides what is trusted: bytes go to whoever reads them.

// When, and the whole of it: a branch followed, its packs taken apart by a process of its own.
pub mod fetch;
pub mod indexer;
pub mod pace;

// Where: one of several urls, by the way that it names.
pub mod remote;
pub mod remotes;
pub mod url;

// The three ways.
mod conversation;
mod options;
mod path;
mod smart;
mod ssh;

// What is said: packets, and what stands in them.
mod bounds;
pub mod pkt;
pub mod protocol;
mod reply;

// What it is said through.
pub mod credentials;
pub mod echo;
pub mod http;
mod line;
mod pinned;
mod pipe;
mod refusal;
pub mod sessions;
mod tls;

// What makes us look.
pub mod hook;
