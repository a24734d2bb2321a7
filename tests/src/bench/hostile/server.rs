//! A git server that means ill: it advertises version 2 as git does, and plays one trick on whoever asks on. Listens on loopback.

use super::pack;
use anyhow::{Context, Result};
use std::{
    io::{self, BufRead, BufReader, BufWriter, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Where it says that its branch is.
const HEAD: &str = "0123456789012345678901234567890123456789";
/// The largest part of a pack in one packet.
const PART: usize = 60_000;

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trick {
    /// References without an end.
    Refs,
    /// A pack of blobs without an end.
    Pack,
    /// The same, of blobs as small as they can be: what counts is how many.
    Small,
    /// A blob of 2 GiB of zeros.
    Inflated,
    /// A blob of 1 GiB by a delta of 2 kB.
    Delta,
    /// A byte now and then.
    Slow,
}

impl Trick {
    /// Every one of them.
    pub const ALL: [Self; 6] = [
        Self::Refs,
        Self::Pack,
        Self::Small,
        Self::Inflated,
        Self::Delta,
        Self::Slow,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refs => "references without an end",
            Self::Pack => "a pack without an end",
            Self::Small => "small objects without an end",
            Self::Inflated => "2 MB that become 2 GB",
            Self::Delta => "a delta that becomes 1 GB",
            Self::Slow => "a byte now and then",
        }
    }
}

/// One that listens until it is dropped.
pub struct Hostile {
    port: u16,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hostile {
    /// With this trick.
    pub fn start(trick: Trick) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                // Whoever is played a trick on hangs up, and that is an error here.
                std::thread::spawn(move || drop(serve(&client, trick)));
            }
        });
        Ok(Self {
            port,
            is_over,
            thread: Some(thread),
        })
    }

    /// The url of its repository.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/deploy.git", self.port)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // It waits for somebody.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(client: &TcpStream, trick: Trick) -> Result<()> {
    let mut reader = BufReader::new(client);
    loop {
        let Some((head, body)) = request(&mut reader)? else {
            return Ok(());
        };
        let mut out = BufWriter::with_capacity(1 << 16, client);
        if head.starts_with("GET ") {
            let lines = ["version 2\n", "ls-refs\n", "fetch=filter\n"].map(line);
            say("advertisement", &(lines.concat() + "0000"), &mut out)?;
        } else if body.contains("command=ls-refs") && trick != Trick::Refs {
            let head = line(format!("{HEAD} refs/heads/main\n"));
            say("result", &(head + "0000"), &mut out)?;
        } else {
            begin("result", "", &mut out)?;
            play(trick, &mut out)?;
            out.flush()?;
            return Ok(());
        }
    }
}

/// The head and the body; none at the end.
fn request(reader: &mut impl BufRead) -> Result<Option<(String, String)>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let length = head.lines().find_map(|field| {
        let (name, value) = field.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(Some((
        head,
        String::from_utf8(body).context("a question in bytes")?,
    )))
}

fn line(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    format!("{:04x}{text}", text.len() + 4)
}

fn begin(kind: &str, length: &str, out: &mut impl Write) -> io::Result<()> {
    write!(
        out,
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-git-upload-pack-{kind}\r\n{length}\r\n"
    )
}

fn say(kind: &str, body: &str, out: &mut impl Write) -> io::Result<()> {
    begin(kind, &format!("content-length: {}\r\n", body.len()), out)?;
    out.write_all(body.as_bytes())?;
    out.flush()
}

fn play(trick: Trick, out: &mut impl Write) -> Result<()> {
    if trick == Trick::Refs {
        for number in 0_u64.. {
            let name = format!("{HEAD} refs/heads/main-{number}\n");
            out.write_all(line(name).as_bytes())?;
        }
    }
    out.write_all(line("packfile\n").as_bytes())?;
    let mut band = Band(&mut *out);
    match trick {
        Trick::Refs => {}
        Trick::Pack => pack::endless(1 << 16, &mut band)?,
        Trick::Small => pack::endless(8, &mut band)?,
        Trick::Inflated => pack::inflated(2048, &mut band)?,
        Trick::Delta => pack::delta(1024, &mut band)?,
        Trick::Slow => loop {
            // Progress, which is no part of the pack.
            out.write_all(b"0006\x02.")?;
            out.flush()?;
            std::thread::sleep(Duration::from_millis(20));
        },
    }
    out.write_all(b"0000")?;
    Ok(())
}

/// The first band of git's answer, in packets.
struct Band<'a, W>(&'a mut W);

impl<W: Write> Write for Band<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = &bytes[..bytes.len().min(PART)];
        write!(self.0, "{:04x}\x01", part.len() + 5)?;
        self.0.write_all(part)?;
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
