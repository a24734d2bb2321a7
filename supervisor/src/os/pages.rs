//! Memory that only the start needed: the program's own text goes back to the page cache, freed heap to the kernel. Touches this
//! process's mappings.
//!
//! What is mapped of a program counts as resident until somebody presses for memory, also what ran once. After the start that is
//! most of it. A page that is needed again comes back from the page cache without a disk.

use std::{
    fs, io,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Gives back the pages of every mapping of a file that nobody may write and nobody wrote: program text, constants, libraries.
/// Mappings that were relocated (`r--p` with anonymous pages) or can be written (`rw-p`) are left alone.
pub fn give_back_text() -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/smaps")?;
    for (start, length) in as_in_their_files(&maps) {
        // SAFETY: a private file mapping without write permission and without an anonymous page holds what the file holds; dropping its
        // pages (madvise(2), MADV_DONTNEED) makes the next access read them from the file again. An unmapped range is an error, not a fault.
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

/// Start and length of each mapping of `/proc/PID/smaps` (proc(5)) that is a private one of a file, cannot be written, and has no page
/// of its own, in memory or in swap.
fn as_in_their_files(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut head = "";
    let mut is_the_files = false;
    let is_none = |rest: &str| rest.trim() == "0 kB";
    for line in smaps.lines() {
        if range(line).is_some() {
            (head, is_the_files) = (line, false);
        } else if let Some(rest) = line.strip_prefix("Anonymous:") {
            is_the_files = is_none(rest);
        } else if let Some(rest) = line.strip_prefix("Swap:")
            && is_the_files
            && is_none(rest)
        {
            found.extend(readable_of_a_file(head));
        }
    }
    found
}

/// Start and length of the mapping that the line begins, if it is a private one of a file and cannot be written.
fn readable_of_a_file(head: &str) -> Option<(usize, usize)> {
    let (start, end) = range(head)?;
    let mut words = head.split_ascii_whitespace().skip(1);
    let permissions = words.next()?;
    let inode = words.nth(2)?;
    let is_ours = ["r-xp", "r--p"].contains(&permissions) && inode != "0";
    is_ours.then_some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mapping as proc(5) shows it, with as many kilobytes of its own in memory and in swap.
    fn mapping(head: &str, (anonymous, swapped): (u32, u32)) -> String {
        format!(
            "55d0c000-55d0e000 {head}\nRss: 8 kB\nAnonymous:    {anonymous} kB\nSwap:         {swapped} kB\nVmFlags: rd mr mw me sd\n"
        )
    }

    #[test]
    fn only_what_is_as_in_its_file_is_given_back() {
        for (head, own, is_given_back) in [
            ("r-xp 00001000 fe:00 12345   /usr/bin/true", (0, 0), true),
            ("r--p 00000000 fe:00 12345   /usr/bin/true", (0, 0), true),
            ("r--p 00003000 fe:00 12345   /usr/bin/true", (4, 0), false),
            ("r--p 00003000 fe:00 12345   /usr/bin/true", (0, 4), false),
            ("rw-p 00001000 fe:00 12345   /usr/bin/true", (0, 0), false),
            ("r--s 00001000 fe:00 12345   /usr/bin/true", (0, 0), false),
            ("r-xp 00000000 00:00 0       [vdso]", (0, 0), false),
        ] {
            let smaps = mapping(head, own) + &mapping("rw-p 00000000 00:00 0", (0, 0));
            let expected = is_given_back.then_some((0x55d0_c000, 0x2000));
            assert_eq!(
                as_in_their_files(&smaps),
                Vec::from_iter(expected),
                "{head} {own:?}"
            );
        }
    }

    #[test]
    fn the_program_goes_on_afterwards() {
        give_back_text().expect("this process may forget its text");
        assert_eq!(format!("{:?}", vec![1, 2]), "[1, 2]");
    }
}
