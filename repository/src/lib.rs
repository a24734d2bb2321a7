//! Git objects, strictly read, and the verification of the trunk. The only place with git2.
//!
//! Nothing is ever checked out; refs are never trusted. Rooms in walking order: a pack is indexed, objects are read,
//! the trunk is verified commit by commit, and what it says is handed on. The packager writes with [`mod@write`].

// A pack becomes objects,
pub mod index;

pub mod compact;

pub mod objects;

// which are read strictly,
pub mod commit;

pub mod tree;

pub mod changes;

// and judged commit by commit
pub mod trusted;

pub mod trust_file;

pub mod verifier;

pub mod history;

pub mod rights;

pub mod allowed;

mod judge;

mod news;

mod amend;

pub mod trunk;

pub mod reads;

pub mod revoked;

mod earlier;

// until it is known what the trunk says.
pub mod snapshot;

mod manifests;
// What did not change is carried over.
mod carried;

mod backing;

pub mod secrets;

pub mod bundle;

pub mod write;

pub mod cores;
