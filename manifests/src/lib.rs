//! The words of Swarmlet: what people write, what is signed, what is said between programs.
//!
//! Text comes in, values go out, and with them every problem that was found. Pure: no clock, no file,
//! no socket, no git; what needs the time takes it as an argument.

pub mod name;
pub mod id;
pub mod units;
pub mod rules;
pub mod problem;
pub mod shape;
pub mod bundle;
pub mod lock;
pub mod selector;
pub mod facts;
pub mod manifest;
pub mod revision;
pub mod policy;
pub mod roster;
pub mod settings;
pub mod signature;
pub mod status;
pub mod report;
pub mod schema;
