//! Low descriptors for children: what a child is given is put into a row of them, and all that is above the row stays here. Touches
//! this process's descriptors.
//!
//! A fork copies the whole table of descriptors, and whoever executes then closes them one by one: a supervisor of a thousand workflows
//! has seven thousand. So a child begins with our own table, takes a copy of what is below its row's end, and says in memory that both
//! have that it did ([`Place::apart`]). Until then its row stays as it is.

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
};
use std::{
    cell::Cell,
    fs::File,
    io,
    ops::Range,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
    ptr::NonNull,
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
};

/// So many children can be on their way at once; more are made as ever.
const ROWS: usize = 16;
/// Of one child: its three streams, one more, its report, landlock's rules and the process that it joins.
const WIDTH: usize = 7;
/// The first: what a supervisor opens at its start is below.
const FIRST: usize = 64;

/// All rows. One for a process.
#[derive(Debug)]
pub struct Seats {
    /// What holds the number of a seat in which nobody is.
    nobody: File,
    /// Row by row.
    all: Vec<OwnedFd>,
    /// By row: who has it; 0: nobody.
    taken: [Cell<u64>; ROWS],
    next: Cell<u64>,
    /// By row, in memory that children share: 1 once the child has a table of its own.
    words: NonNull<AtomicU32>,
}

/// A row, for one child.
#[derive(Debug)]
pub(super) struct Row {
    seats: Rc<Seats>,
    at: usize,
    number: u64,
    used: Cell<usize>,
}

/// What a child needs to know of its row.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub row: Range<u32>,
    pub first: u32,
    pub apart: &'a AtomicU32,
}

impl Seats {
    /// To be called early, while these numbers are free. None: they are not.
    pub fn new() -> io::Result<Option<Rc<Self>>> {
        let nobody = File::open("/dev/null")?;
        let mut seats = Vec::new();
        for number in FIRST..FIRST + ROWS * WIDTH {
            let wanted = RawFd::try_from(number).map_err(io::Error::other)?;
            let seat = match fcntl(&nobody, FcntlArg::F_DUPFD_CLOEXEC(wanted)) {
                // So few descriptors are allowed here: each child has a full copy.
                Err(Errno::EINVAL | Errno::EMFILE) => return Ok(None),
                seat => seat?,
            };
            // SAFETY: the kernel has just made it for us.
            let seat = unsafe { OwnedFd::from_raw_fd(seat) };
            if seat.as_raw_fd() != wanted {
                return Ok(None);
            }
            seats.push(seat);
        }
        // SAFETY: mmap(2) without an address and without a file makes new memory, of zeroes.
        let words = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                ROWS * size_of::<AtomicU32>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if words == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Some(Rc::new(Self {
            nobody,
            all: seats,
            taken: Default::default(),
            next: Cell::new(1),
            words: NonNull::new(words.cast()).ok_or(io::ErrorKind::OutOfMemory)?,
        })))
    }

    /// A row in which nobody is, or whose child has its own table by now. None: they are all on their way.
    pub(super) fn row(self: &Rc<Self>) -> Option<Row> {
        let is_free = |row: &usize| self.taken[*row].get() == 0 || self.is_apart(*row);
        let row = (0..ROWS).find(is_free)?;
        self.clear(row, self.taken[row].get());
        let number = self.next.replace(self.next.get() + 1);
        self.taken[row].set(number);
        self.word(row).store(0, Ordering::Release);
        Some(Row {
            seats: Rc::clone(self),
            at: row,
            number,
            used: Cell::new(0),
        })
    }

    fn is_apart(&self, row: usize) -> bool {
        self.word(row).load(Ordering::Acquire) != 0
    }

    fn word(&self, row: usize) -> &AtomicU32 {
        // SAFETY: one of ROWS words that are mapped as long as we are here.
        unsafe { self.words.add(row).as_ref() }
    }

    /// Nobody is there any more: what was put there is closed.
    fn clear(&self, row: usize, number: u64) {
        if number == 0 || self.taken[row].get() != number {
            return;
        }
        for seat in self.of(row) {
            // Onto its own number; the kernel closes what was there.
            let _ = put(self.nobody.as_raw_fd(), seat.as_raw_fd());
        }
        self.taken[row].set(0);
    }

    fn of(&self, row: usize) -> &[OwnedFd] {
        &self.all[row * WIDTH..(row + 1) * WIDTH]
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        // SAFETY: what was mapped in `new`, which nobody borrows any more.
        unsafe { libc::munmap(self.words.as_ptr().cast(), ROWS * size_of::<AtomicU32>()) };
    }
}

impl Row {
    /// A copy of it in the next seat; its number.
    pub fn put(&self, fd: BorrowedFd<'_>) -> io::Result<RawFd> {
        let at = self.used.replace(self.used.get() + 1);
        let seat = self.seats.of(self.at).get(at).ok_or(Errno::EMFILE)?;
        put(fd.as_raw_fd(), seat.as_raw_fd())?;
        Ok(seat.as_raw_fd())
    }

    /// For the child.
    pub fn place(&self) -> Place<'_> {
        let number = |row: usize| u32::try_from(FIRST + row * WIDTH).unwrap_or(u32::MAX);
        Place {
            row: number(self.at)..number(self.at + 1),
            first: number(0),
            apart: self.seats.word(self.at),
        }
    }

    /// Whether the child has a table of its own.
    pub fn is_apart(&self) -> bool {
        self.seats.taken[self.at].get() != self.number || self.seats.is_apart(self.at)
    }
}

impl Drop for Row {
    /// To be dropped when the child has its own table, or is none.
    fn drop(&mut self) {
        self.seats.clear(self.at, self.number);
    }
}

fn put(fd: RawFd, seat: RawFd) -> io::Result<()> {
    // SAFETY: dup3(2) takes integers; the seat's number is ours, and whoever owns it sees another file there.
    let done = unsafe { libc::dup3(fd, seat, OFlag::O_CLOEXEC.bits()) };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
