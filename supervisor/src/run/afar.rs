//! People who speak through the agent: in come their sockets, with whom they belong to and for which request. Touches those sockets and
//! reads the journal.

use super::{Supervisor, watch::Source};
use crate::{control::Person, frame::encode, protocol::Response};
use std::{
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
};

impl Supervisor {
    /// Somebody whom the agent verified speaks over a socket of the agent's, as if it were ours.
    pub(super) fn let_speak(&mut self, person: Person, stream: OwnedFd) -> io::Result<()> {
        let mut stream = UnixStream::from(stream);
        stream.set_nonblocking(true)?;
        let Some(id) = self.control.seat() else {
            // Whoever does not hear it finds a closed socket, and nothing done.
            let _ = stream.write_all(&encode(&Response::Busy));
            return Ok(());
        };
        let token = self.watch.read(stream.as_fd(), Source::Client(id))?;
        self.control.add(id, stream, token, u32::MAX);
        self.control.introduce(id, person);
        Ok(())
    }

    /// Whether the journal has an act for the request that this one speaks for: an agent that died may have handed it over.
    pub(super) fn was_followed(&self, id: u64) -> bool {
        let client = self.control.clients.get(&id);
        let person = client.and_then(|client| client.person.as_ref());
        let Some(request) = person.and_then(|person| person.request.as_deref()) else {
            return false;
        };
        self.journal.has_request(request).unwrap_or_else(|error| {
            tracing::error!(%error, "whether a request was followed cannot be read: it is not followed");
            true
        })
    }
}
