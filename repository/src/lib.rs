//! Git objects, strictly read, and the verification of the trunk. The only place with git2.
//!
//! Nothing is ever checked out; refs are never trusted. Rooms in walking order: a pack is indexed, objects are read,
//! the trunk is verified commit by commit, and what it says is handed on. The packager writes with [`write`].

pub mod bundle;
pub mod changes;
pub mod commit;
mod history;
mod judge;
pub mod objects;
pub mod rights;
pub mod snapshot;
pub mod tree;
pub mod trunk;
pub mod trusted;
pub mod verifier;
pub mod write;
