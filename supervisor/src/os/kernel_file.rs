//! Small files that the kernel makes up as they are read (/proc, cgroups): a path comes in, the text comes out. Reads one file.
//!
//! They have no length to be asked for, and asking costs as much as reading: one read takes all of what these hold.

use std::{fs::File, io::Read as _, path::Path};

/// More than any of them is long.
const MOST: usize = 8 << 10;

/// The text. None: it is not there, or is no text.
pub fn read(path: &Path) -> Option<String> {
    let mut bytes = [0; MOST];
    let mut file = File::open(path).ok()?;
    let count = file.read(&mut bytes).ok()?;
    std::str::from_utf8(&bytes[..count]).ok().map(str::to_owned)
}
