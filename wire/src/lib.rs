//! Git's wire protocol version 2 over HTTP, SSH and paths, the HTTP client below it, and webhooks' signatures.
//!
//! Nothing here looks into a pack or decides anything: bytes go to whoever reads them.

mod bounds;
pub mod credentials;
pub mod hook;
pub mod http;
mod path;
mod pipe;
pub mod pkt;
pub mod protocol;
pub mod remote;
pub mod remotes;
mod reply;
mod smart;
mod ssh;
mod tls;
pub mod url;
