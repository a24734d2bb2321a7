//! The words of Swarmlet: what people write, what is signed, what is said between programs.
//!
//! Text comes in, values go out, and with them every problem that was found. Pure: no clock, no file,
//! no socket, no git; what needs the time takes it as an argument.

pub mod approval;
pub mod bundle;
pub mod characters;
pub mod compare;
mod document;
pub mod facts;
mod forms;
pub mod id;
pub mod indexer;
pub mod key;
mod line_pattern;
pub mod lock;
pub mod manifest;
pub mod name;
pub mod near;
pub mod path;
pub mod placeholder;
pub mod policy;
pub mod problem;
pub mod report;
pub mod request;
pub mod revision;
pub mod roster;
pub mod rules;
pub mod schedule;
pub mod schema;
pub mod seal;
pub mod secret;
pub mod selector;
pub mod settings;
pub mod shape;
pub mod signature;
pub mod status;
pub mod units;
pub mod value;
pub mod witness;
