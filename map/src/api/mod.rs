//! What people and programs read: the fleet, the audit, and how the map itself is.

pub mod audit;
pub mod fleet;
pub mod openapi;
pub mod operations;
pub mod query;
