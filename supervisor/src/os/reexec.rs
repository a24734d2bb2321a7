//! Another program takes our place in our own process: it keeps the pid, the children and the descriptors that are named.

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};
use std::{
    ffi::{CString, OsString},
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::{
        fd::{AsRawFd as _, BorrowedFd, RawFd},
        unix::ffi::OsStringExt as _,
    },
};

/// The program that runs in this process now, for a child of ours to execute.
pub const SELF: &str = "/proc/self/exe";

/// A file in memory with these bytes, for a program to read that inherits it.
pub fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"swarm-handover", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Everything in such a file, up to `most` bytes.
pub fn contents(file: &mut File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a program that is executed from here inherits this descriptor.
pub fn inherit(fd: BorrowedFd<'_>, inherited: bool) -> io::Result<()> {
    let flags = if inherited {
        FdFlag::empty()
    } else {
        FdFlag::FD_CLOEXEC
    };
    fcntl(fd, FcntlArg::F_SETFD(flags))?;
    Ok(())
}

/// The path of an open file, for `execve`: exactly the file that was looked at, whatever stands at its name now.
pub fn path_of(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Executes the program in our place. Returns only where it cannot. Signals stay blocked: none is lost in between.
pub fn exec(program: &File, argv: Vec<OsString>, env: Vec<(OsString, OsString)>) -> io::Error {
    let text = |word: OsString| CString::new(word.into_vec());
    let words = || -> Result<_, std::ffi::NulError> {
        let path = CString::new(path_of(program))?;
        let argv: Vec<CString> = argv.into_iter().map(text).collect::<Result<_, _>>()?;
        let env = env.into_iter().map(|(name, value)| {
            let mut word = name;
            word.push("=");
            word.push(value);
            text(word)
        });
        Ok((path, argv, env.collect::<Result<Vec<CString>, _>>()?))
    };
    match words() {
        Err(error) => error.into(),
        Ok((path, argv, env)) => match nix::unistd::execve(&path, &argv, &env) {
            Ok(never) => match never {},
            Err(errno) => errno.into(),
        },
    }
}

/// The number of a descriptor.
pub fn number(fd: BorrowedFd<'_>) -> RawFd {
    fd.as_raw_fd()
}
