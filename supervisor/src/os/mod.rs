//! The operating system's rooms: the only ones with `unsafe`. In walking order: where and as whom a workflow runs, what is hashed
//! before it, how it is started and confined, how its tree is owned, what it prints, how it is asked, and what the kernel says of it.
#![allow(unsafe_code)]

mod arena;
mod budget;
mod cgroup;
mod child;
pub mod clock;
pub mod closed_pipe;
mod confine;
pub mod expose;
pub mod folders;
pub mod forward;
pub mod identity;
pub mod indexer;
pub mod inherited;
pub mod keeper;
mod kernel_file;
pub mod launch;
pub mod logs;
mod marks;
pub mod notify;
pub mod pages;
pub mod pass;
pub mod pipes;
pub mod ports;
mod prepare;
pub mod probe;
pub mod protections;
pub mod read;
pub mod reexec;
pub mod rehash;
pub mod report;
pub mod seal;
pub mod seats;
mod seccomp;
pub mod secrets;
pub mod spawn;
pub mod spool;
mod traffic;
pub mod tree;
pub mod users;
mod view;
