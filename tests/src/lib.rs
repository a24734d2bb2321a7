//! The test world: real git servers, real boxes, a real map, as processes of the real programs, in a folder of their own.
//!
//! Nothing is shared between two worlds but the machine; a world ends what it started, by process id, and removes its folder.

pub mod bench;
pub mod boxes;
pub mod browser;
pub mod by_hand;
pub mod deploy;
pub mod dice;
pub mod documented;
pub mod large;
pub mod map;
pub mod mirroring;
pub mod people;
pub mod process;
pub mod reserve;
pub mod server;
pub mod swarm_box;
pub mod tap;
pub mod ticker;
pub mod world;

pub use by_hand::ByHand;
pub use deploy::Deploy;
pub use dice::Dice;
pub use map::Map;
pub use mirroring::Mirroring;
pub use process::{Running, until, until_ok};
pub use server::{GitOverHttp, GitOverSsh};
pub use swarm_box::SwarmBox;
pub use ticker::{TICKER, daemon, everywhere};
pub use world::World;
