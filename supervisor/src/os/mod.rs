//! The operating system's rooms: the only ones with `unsafe`.

pub mod launch;
