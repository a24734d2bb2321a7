//! Memory that only the start needed: the program's own text goes back to the page cache, freed heap to the kernel. Touches this
//! process's mappings.
//!
//! What is mapped of a program counts as resident until somebody presses for memory, also what ran once. After the start that is
//! most of it. A page that is needed again comes back from the page cache without a disk.

use std::{fs, io};

/// Gives back the pages of every executable, read-only mapping of a file: program text and libraries, which nobody ever wrote to.
/// Mappings that were relocated (`r--p`) or written (`rw-p`) are left alone.
pub fn give_back_text() -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    for (start, length) in maps.lines().filter_map(text_of_a_file) {
        // SAFETY: a private file mapping without write permission holds what the file holds; dropping its pages (madvise(2),
        // MADV_DONTNEED) makes the next access read them from the file again. An unmapped range is an error, not a fault.
        let outcome =
            unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// From this many bytes on, what is freed goes back to the kernel at once: more than a portion of output needs while it is logged, for
/// pages that go back are zeroed when they come again.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 1 << 20;

/// Keeps the heap as small as what is in it: glibc otherwise raises its threshold with the first large buffer that is freed, and keeps
/// what came to lie below it. Each process that we fork copies the tables of the heap, too.
pub fn keep_heap_small() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes two integers; naming a threshold switches its raising off.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
    }
}

/// Gives back every whole page of the heap in which nothing is.
pub fn give_back_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes an integer and moves nothing.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Start and length of a line of `/proc/PID/maps` (proc(5)) that is the executable text of a file.
fn text_of_a_file(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, permissions) = (words.next()?, words.next()?);
    let (_offset, _device, inode) = (words.next()?, words.next()?, words.next()?);
    if permissions != "r-xp" || inode == "0" {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_of_files_is_given_back() {
        let line = "55d0c000-55d0e000 r-xp 00001000 fe:00 12345   /usr/bin/true";
        assert_eq!(text_of_a_file(line), Some((0x55d0_c000, 0x2000)));
        for other in [
            "55d0c000-55d0e000 r--p 00001000 fe:00 12345   /usr/bin/true",
            "55d0c000-55d0e000 rw-p 00001000 fe:00 12345   /usr/bin/true",
            "55d0c000-55d0e000 r-xp 00000000 00:00 0       [vdso]",
            "",
        ] {
            assert_eq!(text_of_a_file(other), None, "{other}");
        }
    }

    #[test]
    fn the_program_goes_on_afterwards() {
        give_back_text().expect("this process may forget its text");
        assert_eq!(format!("{:?}", vec![1, 2]), "[1, 2]");
    }
}
