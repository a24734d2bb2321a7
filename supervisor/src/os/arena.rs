//! Memory beside the heap, for one child: values that own nothing go in, references come out that hold on both sides of a fork. Touches
//! this process's mappings.
//!
//! A fork copies the tables of every page that it hands on, and each page that is then written costs a fault: with the states of a
//! thousand workflows in the heap that is more than the rest of a start. So the heap is not handed on ([`super::pages`]), and what the
//! child reads lies here.

use std::{
    cell::RefCell,
    ffi::{CStr, CString},
    io,
    ptr::NonNull,
    slice,
};

/// What most children need fits into one piece, in bytes.
const PIECE: usize = 16 << 10;

/// The memory; it goes when this does.
#[derive(Debug, Default)]
pub(super) struct Arena {
    pieces: RefCell<Vec<Piece>>,
}

#[derive(Debug)]
struct Piece {
    start: NonNull<u8>,
    size: usize,
    used: usize,
}

impl Arena {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of these.
    #[allow(clippy::mut_from_ref, reason = "each copy is a place of its own")]
    pub fn copy<T: Copy>(&self, items: &[T]) -> io::Result<&mut [T]> {
        let place = self.reserve(size_of_val(items), align_of::<T>())?.cast();
        // SAFETY: `place` is aligned for T, as long as the items, nobody else's, and mapped for as long as `self` is borrowed.
        unsafe {
            place.copy_from_nonoverlapping(NonNull::from(items).cast(), items.len());
            Ok(slice::from_raw_parts_mut(place.as_ptr(), items.len()))
        }
    }

    /// A C string of these bytes. None: a NUL stands in them.
    pub fn text(&self, bytes: &[u8]) -> io::Result<Option<&CStr>> {
        let Ok(text) = CString::new(bytes) else {
            return Ok(None);
        };
        let copy = self.copy(text.as_bytes_with_nul())?;
        Ok(CStr::from_bytes_with_nul(copy).ok())
    }

    fn reserve(&self, size: usize, align: usize) -> io::Result<NonNull<u8>> {
        let mut pieces = self.pieces.borrow_mut();
        let fits = |piece: &Piece| piece.used.next_multiple_of(align) + size <= piece.size;
        if !pieces.last().is_some_and(fits) {
            pieces.push(Piece::map(size.max(PIECE))?);
        }
        let piece = pieces.last_mut().ok_or(io::ErrorKind::OutOfMemory)?;
        let at = piece.used.next_multiple_of(align);
        piece.used = at + size;
        // SAFETY: within the piece, whose start is aligned to pages.
        Ok(unsafe { piece.start.add(at) })
    }
}

impl Piece {
    /// With its pages: one call is cheaper than a fault for each.
    fn map(size: usize) -> io::Result<Self> {
        // SAFETY: mmap(2) without an address and without a file makes new memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            start,
            size,
            used: 0,
        })
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // SAFETY: what was mapped in `map`, which nobody borrows any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_stays_as_it_is_whatever_follows() {
        let arena = Arena::new();
        let texts: Vec<&CStr> = (0..300)
            .map(|number| {
                let text = format!("{number} {}", "x".repeat(number * 10));
                arena
                    .text(text.as_bytes())
                    .expect("memory")
                    .expect("no NUL")
            })
            .collect();
        let numbers = arena.copy(&[1_u64, 2, 3]).expect("memory");
        numbers[1] = 7;
        let long = arena.copy(&vec![9_u8; 3 * PIECE]).expect("memory");
        assert!(long.iter().all(|byte| *byte == 9));
        assert_eq!(numbers, [1, 7, 3]);
        for (number, text) in texts.iter().enumerate() {
            let expected = format!("{number} {}", "x".repeat(number * 10));
            assert_eq!(text.to_str(), Ok(expected.as_str()));
        }
    }

    #[test]
    fn a_text_with_a_nul_is_no_c_string() {
        assert_eq!(Arena::new().text(b"a\0b").expect("memory"), None);
        assert!(Arena::new().copy::<u64>(&[]).expect("memory").is_empty());
    }
}
