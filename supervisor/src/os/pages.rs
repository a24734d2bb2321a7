//! Memory that only the start needed: the program's own text goes back to the page cache, freed heap to the kernel. Touches this
//! process's mappings.
//!
//! What is mapped of a program counts as resident until somebody presses for memory, also what ran once. After the start that is
//! most of it. A page that is needed again comes back from the page cache without a disk.

use std::{
    fs, io,
    sync::atomic::{AtomicUsize, Ordering},
};

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

/// Where the heap of a process begins that does not hand it on to its children; 0: it does.
static OURS_ALONE: AtomicUsize = AtomicUsize::new(0);

/// From now on what [`super::spawn`] makes has nothing of our heap: a fork costs less the less it hands on, and so does each page that
/// we write afterwards. Whoever forks otherwise and goes on without a new program needs [`with_heap`].
pub fn keep_heap_from_children() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let heap = maps.lines().find(|line| line.ends_with("[heap]"));
    let Some((start, _)) = heap.and_then(range) else {
        return;
    };
    // SAFETY: the C library's errno of this thread is always there.
    let errno = unsafe { libc::__errno_location() } as usize;
    // A C library that is linked statically has the first thread's own variables there: the child needs them.
    if !(start..heap_end()).contains(&errno) {
        OURS_ALONE.store(start, Ordering::Relaxed);
    }
}

/// The heap as it is now stays here ([`keep_heap_from_children`]).
pub(super) fn before_a_fork() {
    advise_heap(libc::MADV_DONTFORK);
}

/// For a fork that goes on with what is in our heap.
pub(super) fn with_heap<T>(fork: impl FnOnce() -> T) -> T {
    advise_heap(libc::MADV_DOFORK);
    fork()
}

fn advise_heap(advice: libc::c_int) {
    let start = OURS_ALONE.load(Ordering::Relaxed);
    if start != 0 {
        // SAFETY: both kinds of advice say what a fork copies, and change nothing of what is there. What cannot be advised is copied.
        unsafe { libc::madvise(start as *mut libc::c_void, heap_end() - start, advice) };
    }
}

fn heap_end() -> usize {
    // SAFETY: sbrk(3) with zero changes nothing and says where the heap ends.
    unsafe { libc::sbrk(0) as usize }
}

/// Start and end of the range of a line of `/proc/PID/maps`.
fn range(line: &str) -> Option<(usize, usize)> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?))
}

/// Start and length of a line of `/proc/PID/maps` (proc(5)) that is the executable text of a file.
fn text_of_a_file(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let permissions = words.next()?;
    let (_offset, _device, inode) = (words.next()?, words.next()?, words.next()?);
    if permissions != "r-xp" || inode == "0" {
        return None;
    }
    let (start, end) = range(line)?;
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
