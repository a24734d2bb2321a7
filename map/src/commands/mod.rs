//! One file for each command that is not the map itself.

pub mod audit;
pub mod copy;
pub mod inventory;
pub mod key;
pub mod token;
