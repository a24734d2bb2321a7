//! Git's wire protocol version 2 over HTTP, SSH and paths, the HTTP client below it, and webhooks' signatures.
//!
//! Nothing here looks into a pack or decides anything: bytes go to whoever reads them.

pub mod http;
pub mod remote;
pub mod hook;
