//! The log read back: a number of lines, a time or a position comes in, [`LogLine`]s go out. Reads files; a large log is never read whole.

use crate::{
    protocol::{LogLine, Stream},
    time::Wall,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Bytes that are read at once.
const BLOCK: usize = 64 << 10;
/// Bytes that are read at once, backwards, to find where a line begins.
const STEP: u64 = 512;

/// Where a reader has got to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The file's inode: it keeps it when it is rotated.
    inode: u64,
    offset: u64,
}

pub(super) fn path(dir: &Path, instance: u16) -> PathBuf {
    dir.join(format!("{instance}.log"))
}

pub(super) fn old_path(dir: &Path, instance: u16) -> PathBuf {
    old_of(&path(dir, instance))
}

/// What comes before this log.
pub(super) fn old_of(log: &Path) -> PathBuf {
    log.with_extension("log.1")
}

/// The newest `lines` lines (all that are kept, where None) not older than `since`, oldest first, and where to go on from.
/// For much, rather [`seek`] and then [`follow`] in portions.
pub fn tail(
    dir: &Path,
    instance: u16,
    lines: Option<usize>,
    since: Option<Wall>,
) -> io::Result<(Vec<LogLine>, Option<Position>)> {
    let from = seek(dir, instance, lines, since)?;
    follow(dir, instance, from, usize::MAX)
}

/// The place from which on [`follow`] gives the newest `lines` lines not older than `since`. None: from the beginning.
pub fn seek(
    dir: &Path,
    instance: u16,
    lines: Option<usize>,
    since: Option<Wall>,
) -> io::Result<Option<Position>> {
    let mut wanted = lines.unwrap_or(usize::MAX);
    let since = since.map(|wall| wall.to_string());
    let mut found = None;
    for mut file in open_both(dir, instance)?.into_iter().rev() {
        let inode = file.metadata()?.ino();
        let mut end = file.metadata()?.len();
        found = found.or(Some(Position { inode, offset: end }));
        while let Some((start, time)) = line_before(&mut file, end)? {
            if wanted == 0 || since.as_deref().is_some_and(|since| time.as_str() < since) {
                return Ok(found);
            }
            wanted -= 1;
            end = start;
            found = Some(Position {
                inode,
                offset: start,
            });
        }
    }
    Ok(found)
}

/// What was written after `from` (None: all that is kept), at most `limit` lines, and where to go on from; asked again for `-f`.
/// Only whole lines: one that is just being written comes the next time.
pub fn follow(
    dir: &Path,
    instance: u16,
    from: Option<Position>,
    limit: usize,
) -> io::Result<(Vec<LogLine>, Option<Position>)> {
    let files = open_both(dir, instance)?;
    let inodes = files
        .iter()
        .map(|file| Ok(file.metadata()?.ino()))
        .collect::<io::Result<Vec<_>>>()?;
    // A file that was rotated away altogether: what is left begins with the oldest.
    let first = from
        .and_then(|from| inodes.iter().position(|&inode| inode == from.inode))
        .unwrap_or(0);
    let (mut lines, mut at) = (Vec::new(), from);
    for (file, &inode) in files.into_iter().zip(&inodes).skip(first) {
        let mut offset = from
            .filter(|from| from.inode == inode)
            .map_or(0, |from| from.offset);
        let mut reader = BufReader::with_capacity(BLOCK, file);
        reader.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        while lines.len() < limit {
            bytes.clear();
            let read = reader.read_until(b'\n', &mut bytes)?;
            if bytes.pop() != Some(b'\n') {
                break;
            }
            offset += read as u64;
            lines.extend(parse(instance, &bytes));
        }
        at = Some(Position { inode, offset });
        if lines.len() >= limit {
            break;
        }
    }
    Ok((lines, at))
}

/// Removes every log file of this instance.
pub fn remove(dir: &Path, instance: u16) -> io::Result<()> {
    for path in [path(dir, instance), old_path(dir, instance)] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Older first; what is not there is left out. Rotated between the two openings, the newer is opened twice: once suffices.
fn open_both(dir: &Path, instance: u16) -> io::Result<Vec<File>> {
    let mut files: Vec<File> = Vec::new();
    for path in [old_path(dir, instance), path(dir, instance)] {
        match File::open(path) {
            Ok(file) => files.push(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if let [older, newer] = &files[..]
        && older.metadata()?.ino() == newer.metadata()?.ino()
    {
        files.pop();
    }
    Ok(files)
}

/// The line that ends at `end` (with its newline, or without at the end of the file): where it starts, and its time.
fn line_before(file: &mut File, end: u64) -> io::Result<Option<(u64, String)>> {
    if end == 0 {
        return Ok(None);
    }
    let mut start = 0;
    // The byte before the end is this line's own newline.
    let mut upper = end - 1;
    while upper > 0 {
        let lower = upper.saturating_sub(STEP);
        let bytes = read_at(file, lower, upper)?;
        if let Some(at) = bytes.iter().rposition(|&byte| byte == b'\n') {
            start = lower + at as u64 + 1;
            break;
        }
        upper = lower;
    }
    let time = read_at(file, start, end.min(start + 24))?;
    Ok(Some((start, String::from_utf8_lossy(&time).into_owned())))
}

fn read_at(file: &mut File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(to - from).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(instance: u16, line: &[u8]) -> Option<LogLine> {
    let Written { time, stream, text } = Written::parse(line)?;
    Some(LogLine {
        time: time.to_owned(),
        instance,
        stream,
        text: String::from_utf8_lossy(text).into_owned(),
    })
}

/// A line as it stands in a log: `2026-11-23T10:21:34.007Z o text`.
#[derive(Debug)]
#[allow(missing_docs)]
pub(super) struct Written<'a> {
    pub time: &'a str,
    pub stream: Stream,
    pub text: &'a [u8],
}

impl<'a> Written<'a> {
    /// With its line break, or without. None: damaged.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut parts = line.splitn(3, |&byte| byte == b' ');
        let time = std::str::from_utf8(parts.next()?).ok()?;
        let stream = match parts.next()? {
            b"o" => Stream::Stdout,
            b"e" => Stream::Stderr,
            b"s" => Stream::Swarm,
            _ => return None,
        };
        let text = parts.next()?;
        Some(Self { time, stream, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: std::ops::Range<u32>) -> String {
        let line = |number| format!("2026-11-23T10:21:{:02}.000Z o line {number}\n", number % 60);
        lines.map(line).collect::<Vec<_>>().concat()
    }

    fn texts(found: io::Result<(Vec<LogLine>, Option<Position>)>) -> Vec<String> {
        found
            .expect("read")
            .0
            .into_iter()
            .map(|line| line.text)
            .collect()
    }

    #[test]
    fn the_newest_lines_come_from_both_files() {
        let dir = tempfile::tempdir().expect("tempdir");
        fs::write(dir.path().join("0.log.1"), log(0..10)).expect("written");
        fs::write(dir.path().join("0.log"), log(10..13)).expect("written");
        assert_eq!(
            texts(tail(dir.path(), 0, Some(5), None)),
            ["line 8", "line 9", "line 10", "line 11", "line 12"]
        );
        assert_eq!(
            texts(tail(dir.path(), 0, Some(2), None)),
            ["line 11", "line 12"]
        );
        assert_eq!(texts(tail(dir.path(), 0, None, None)).len(), 13);
        assert!(texts(tail(dir.path(), 0, Some(0), None)).is_empty());
        assert!(texts(tail(dir.path(), 7, None, None)).is_empty());
    }

    #[test]
    fn since_is_a_time_and_both_bounds_hold() {
        let dir = tempfile::tempdir().expect("tempdir");
        fs::write(dir.path().join("0.log"), log(0..20)).expect("written");
        let since = Wall(1_795_429_260_000 + 15_000);
        assert_eq!(since.to_string(), "2026-11-23T10:21:15.000Z");
        assert_eq!(
            texts(tail(dir.path(), 0, None, Some(since)))
                .first()
                .map(String::as_str),
            Some("line 15")
        );
        assert_eq!(
            texts(tail(dir.path(), 0, Some(2), Some(since))),
            ["line 18", "line 19"]
        );
    }

    #[test]
    fn following_goes_on_where_it_stopped_in_portions() {
        let dir = tempfile::tempdir().expect("tempdir");
        fs::write(dir.path().join("0.log.1"), log(0..10)).expect("written");
        fs::write(
            dir.path().join("0.log"),
            log(10..13) + "2026-11-23T10:21:13.000Z o half",
        )
        .expect("written");
        let (first, from) = follow(dir.path(), 0, None, 4).expect("read");
        let (second, from) = follow(dir.path(), 0, from, 100).expect("read");
        assert_eq!((first.len(), second.len()), (4, 9));
        assert!(
            follow(dir.path(), 0, from, 100).expect("read").0.is_empty(),
            "half a line waits"
        );
    }

    #[test]
    fn a_damaged_line_is_left_out_and_bad_bytes_are_replaced() {
        assert_eq!(parse(0, b"nonsense"), None);
        assert_eq!(parse(0, b"2026-11-23T10:21:13.000Z x y"), None);
        assert_eq!(
            parse(0, b"2026-11-23T10:21:13.000Z e \xff a b")
                .expect("a line")
                .text,
            "\u{fffd} a b"
        );
    }
}
