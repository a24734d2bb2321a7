//! Git objects, strictly read, and the verification of the trunk. The only place with git2.
//!
//! Nothing is ever checked out; refs are never trusted. Rooms in walking order.

pub mod objects;
pub mod trunk;
pub mod bundle;
