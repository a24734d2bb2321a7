//! A tap between a box and its git server: lets bytes through, and at a chosen one breaks off, waits, or spoils it. Loopback only.

use anyhow::Result;
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// A part of so many bytes is no answer to a look.
const LARGE: usize = 4096;

/// What happens at the chosen byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The connection breaks off.
    Cut,
    /// Nothing more comes, until something else is said.
    Hold,
    /// One bit of the next large part is another, and again after as many bytes more.
    Spoil,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that went to clients so far.
    passed: u64,
    /// From this byte on; and how many bytes that was.
    turn: Option<(u64, Act)>,
    step: u64,
    /// Whether it came to that.
    has_acted: bool,
    is_over: bool,
    /// Everything that went either way, where that is kept.
    heard: Option<Vec<u8>>,
}

/// One, which listens until it is dropped.
#[derive(Debug)]
pub struct Tap {
    port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Tap {
    /// Before the server at this port; open.
    pub fn before(server: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let state = Arc::new((Mutex::<State>::default(), Condvar::new()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if lock(&shared).is_over {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || drop(serve(&client, server, &shared)));
            }
        });
        Ok(Self { port, state })
    }

    /// The same, which keeps everything that goes either way.
    pub fn recording(server: u16) -> Result<Self> {
        let tap = Self::before(server)?;
        lock(&tap.state).heard = Some(Vec::new());
        Ok(tap)
    }

    /// Everything that went either way, the two directions mixed as they came.
    pub fn heard(&self) -> Vec<u8> {
        lock(&self.state).heard.clone().unwrap_or_default()
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// After so many more bytes this happens.
    pub fn turn(&self, bytes: u64, act: Act) {
        let mut state = lock(&self.state);
        (state.turn, state.step) = (Some((state.passed + bytes, act)), bytes);
        state.has_acted = false;
        self.state.1.notify_all();
    }

    /// Lets everything through again.
    pub fn open(&self) {
        lock(&self.state).turn = None;
        self.state.1.notify_all();
    }

    /// Whether what was chosen has happened.
    pub fn has_acted(&self) -> bool {
        lock(&self.state).has_acted
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        lock(&self.state).is_over = true;
        self.state.1.notify_all();
        // The listener wakes once more.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn lock(state: &(Mutex<State>, Condvar)) -> MutexGuard<'_, State> {
    state.0.lock().unwrap_or_else(PoisonError::into_inner)
}

type Shared = Arc<(Mutex<State>, Condvar)>;

fn serve(client: &TcpStream, server: u16, state: &Shared) -> std::io::Result<()> {
    let upstream = TcpStream::connect(("127.0.0.1", server))?;
    let (from_client, to_server) = (client.try_clone()?, upstream.try_clone()?);
    let shared = state.clone();
    std::thread::spawn(move || {
        drop(ask(&from_client, &to_server, &shared));
        drop(to_server.shutdown(Shutdown::Write));
    });
    let (mut from_server, mut to_client) = (&upstream, client);
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from_server.read(&mut buffer)?;
        if length == 0 || !passes(&mut buffer[..length], state) {
            break;
        }
        to_client.write_all(&buffer[..length])?;
    }
    upstream.shutdown(Shutdown::Both)?;
    client.shutdown(Shutdown::Both)
}

fn ask(mut from: &TcpStream, mut to: &TcpStream, state: &Shared) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        if let Some(heard) = &mut lock(state).heard {
            heard.extend(&buffer[..length]);
        }
        to.write_all(&buffer[..length])?;
    }
}

/// Whether these bytes go on to the client, perhaps spoilt, perhaps after a while.
fn passes(bytes: &mut [u8], shared: &(Mutex<State>, Condvar)) -> bool {
    let mut state = lock(shared);
    if let Some(heard) = &mut state.heard {
        heard.extend(&*bytes);
    }
    loop {
        let after = state.passed + bytes.len() as u64;
        let is_due = |(from, act): &(u64, Act)| {
            after > *from && (*act != Act::Spoil || bytes.len() >= LARGE)
        };
        let act = state.turn.filter(is_due);
        state.has_acted |= act.is_some();
        match act {
            _ if state.is_over => return false,
            Some((_, Act::Cut)) => return false,
            Some((_, Act::Hold)) => {
                state = shared.1.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            Some((_, Act::Spoil)) => {
                bytes[LARGE / 2] ^= 1;
                state.turn = Some((after + state.step, Act::Spoil));
                state.passed = after;
                return true;
            }
            None => {
                state.passed = after;
                return true;
            }
        }
    }
}
