//! The beginning of a line whose end has not come, kept for our next life. Touches one small file for each stream.

use crate::{
    protocol::Stream,
    run::{Supervisor, room::Output},
};
use std::{fs, io, path::PathBuf};

/// How a kept line begins that goes on from what is in the log.
const GOES_ON: &[u8] = b"\n";

impl Output {
    /// A line without its end outlives us: it has left the pipe. In the file a line that goes on begins with a line's end, which is in
    /// no such line.
    pub(super) fn keep_rest(&mut self, stream: Stream) -> io::Result<()> {
        let (path, rest) = (self.rest_path(stream), self.log.rest(stream));
        let kept = &mut self.kept_rest[Supervisor::stream_index(stream)];
        let Some(rest) = rest else {
            return if std::mem::take(kept) {
                fs::remove_file(path)
            } else {
                Ok(())
            };
        };
        *kept = true;
        let new = path.with_extension("new");
        let bytes = if rest.continues {
            &[GOES_ON, rest.bytes].concat()
        } else {
            rest.bytes
        };
        fs::write(&new, bytes).and_then(|()| fs::rename(&new, &path))
    }

    /// What a former life of ours kept so, and whether it goes on from what is in the log.
    pub(super) fn kept_rest(&mut self, stream: Stream) -> io::Result<(Vec<u8>, bool)> {
        match fs::read(self.rest_path(stream)) {
            Ok(rest) => {
                self.kept_rest[Supervisor::stream_index(stream)] = true;
                Ok(rest
                    .strip_prefix(GOES_ON)
                    .map_or_else(|| (rest.clone(), false), |rest| (rest.to_vec(), true)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((Vec::new(), false)),
            Err(error) => Err(error),
        }
    }

    fn rest_path(&self, stream: Stream) -> PathBuf {
        let name = if stream == Stream::Stdout {
            "stdout.rest"
        } else {
            "stderr.rest"
        };
        self.pipes.folder().join(name)
    }
}
