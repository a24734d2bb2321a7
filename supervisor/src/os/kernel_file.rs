//! Small files that the kernel makes up as they are read (/proc, cgroups): a path comes in, the text comes out. Reads one file.
//!
//! They have no length to be asked for, and asking costs as much as reading: one read takes all of what these hold.

use std::{fs::File, io::Read as _, path::Path};

/// More than any of them is long.
const MOST: usize = 8 << 10;

/// The kernel gives such lists a page at a time, and of that all but the line that does not fit.
const SHORT: usize = 2048;

/// The text. None: it is not there, or is no text.
pub fn read(path: &Path) -> Option<String> {
    let mut bytes = [0; MOST];
    let mut file = File::open(path).ok()?;
    let count = file.read(&mut bytes).ok()?;
    std::str::from_utf8(&bytes[..count]).ok().map(str::to_owned)
}

/// The text of a list of any length, of short lines: a reading of much less than a page is the last one.
pub fn read_list(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    let mut bytes = [0; MOST];
    let mut file = File::open(path).ok()?;
    loop {
        let count = file.read(&mut bytes).ok()?;
        text.extend_from_slice(&bytes[..count]);
        if count < SHORT {
            return String::from_utf8(text).ok();
        }
    }
}
