//! HTTP: connections in, requests to the rooms that answer them.

pub mod auth;
pub mod body;
pub mod listen;
pub mod pool;
pub mod problem;
pub mod routes;
pub mod tls;
