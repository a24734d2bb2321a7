//! The indexer's beginning, for every program that has this role: in come its environment and its input, out goes a pack to take
//! apart and the one folder for it. From then on this process can do nothing else. Touches its own process.
//!
//! What is wrong is said on stderr in one line.

use crate::os::{
    indexer::{SandboxError, sandbox_self_for_indexer},
    inherited,
};
use nix::sys::{prctl, signal::Signal};
use std::{
    fmt,
    io::{self, Read},
    path::PathBuf,
};
use swarm_manifests::indexer::{CONNECTED, FOLDER, folder_name};

/// The longest line that names a folder.
const LINE: usize = 64;
/// The descriptor of the connection, where there is one.
const CONNECTION: i32 = 3;

/// A pack to take apart.
pub struct Work {
    /// Its bytes, to their end.
    pub pack: Box<dyn Read>,
    /// Where its objects go.
    pub folder: PathBuf,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// Why there is no work.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BeginError {
    #[error("{FOLDER} is not set")]
    NoFolder,
    #[error("{} is no folder", .0.display())]
    Folder(PathBuf),
    #[error("no folder of a pack was named")]
    Name,
    #[error("to end with whoever started it")]
    Parent(#[source] io::Error),
    #[error("the connection")]
    Connection(#[source] io::Error),
    #[error("the indexer's sandbox")]
    Sandbox(#[source] SandboxError),
}

/// Finds the work and closes the sandbox.
pub fn begin() -> Result<Work, BeginError> {
    // With whoever started us we end: all of them start us from a thread that lives as long as they do.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|errno| BeginError::Parent(errno.into()))?;
    let named = PathBuf::from(std::env::var_os(FOLDER).ok_or(BeginError::NoFolder)?);
    let (pack, folder): (Box<dyn Read>, PathBuf) = if std::env::var_os(CONNECTED).is_some() {
        let mut connection = inherited::socket(CONNECTION).map_err(BeginError::Connection)?;
        let line = line(&mut connection).map_err(BeginError::Connection)?;
        let name = folder_name(&line).ok_or(BeginError::Name)?;
        (Box::new(connection), named.join(name))
    } else {
        (Box::new(io::stdin().lock()), named)
    };
    if !folder.is_dir() {
        return Err(BeginError::Folder(folder));
    }
    // From here on nothing but reading the pack and writing files into the folder works.
    sandbox_self_for_indexer(&folder).map_err(BeginError::Sandbox)?;
    Ok(Work { pack, folder })
}

/// The first line, and not a byte more: what follows is the pack.
fn line(input: &mut impl Read) -> io::Result<String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.len() < LINE {
        input.read_exact(&mut byte)?;
        if byte == *b"\n" {
            return String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData.into());
        }
        line.extend(byte);
    }
    Err(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read_and_the_pack_is_left() {
        let mut input = &b"pack-abc\nPACK"[..];
        assert_eq!(line(&mut input).expect("a line"), "pack-abc");
        assert_eq!(input, b"PACK");
    }

    #[test]
    fn an_endless_line_is_refused() {
        assert!(line(&mut io::repeat(b'x')).is_err());
        assert!(line(&mut &b"pack-abc"[..]).is_err());
    }
}
