//! What is wrong, found before a box finds it: in one file, in a bundle's folder, in the whole repository.

pub mod bundle;
pub mod file;
mod literal;
mod placeholder;
pub mod push;
pub mod removed;
pub mod report;
pub mod repository;
mod secret;
pub mod trunk;
