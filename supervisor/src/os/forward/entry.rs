//! A line of a log as journald or syslog take it. Pure.
//!
//! journald: its native protocol, `FIELD=value` lines (systemd's "Native Journal Protocol"); a log's line has no line break inside, so
//! the short form does. syslog: what glibc's syslog(3) sends to `/dev/log` (RFC 3164, local time). Both know the level that a line
//! begins with, such as `<3>`, as in sd-daemon(3).

use crate::{os::read::Written, protocol::Stream};
use jiff::{Timestamp, tz::TimeZone};
use swarm_manifests::{name::Name, settings::Forward};

/// What a line is without a level of its own: `info`.
const INFO: u8 = 6;
/// Facility `daemon`.
const DAEMON: u8 = 3;

/// Whose line it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Whose {
    pub workflow: Name,
    pub instance: u16,
}

/// One datagram.
pub(super) fn datagram(kind: Forward, whose: &Whose, pid: Option<i32>, line: &Written) -> Vec<u8> {
    let (level, text) = level_of(line.text);
    match kind {
        Forward::Journald => journald(whose, pid, line, level, text),
        Forward::Syslog => syslog(whose, pid, line, level, text, &TimeZone::system()),
    }
}

/// `<N>` at its begin, as kernel and systemd have it.
fn level_of(text: &[u8]) -> (u8, &[u8]) {
    match text {
        [b'<', digit @ b'0'..=b'7', b'>', rest @ ..] => (digit - b'0', rest),
        _ => (INFO, text),
    }
}

fn journald(whose: &Whose, pid: Option<i32>, line: &Written, level: u8, text: &[u8]) -> Vec<u8> {
    let Whose { workflow, instance } = whose;
    let stream = match line.stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
        Stream::Swarm => "swarm",
    };
    let pid = pid.map_or_else(String::new, |pid| format!("SYSLOG_PID={pid}\n"));
    let mut out = format!(
        "PRIORITY={level}\nSYSLOG_FACILITY={DAEMON}\nSYSLOG_IDENTIFIER={workflow}\n{pid}SWARM_WORKFLOW={workflow}\n\
         SWARM_INSTANCE={instance}\nSWARM_STREAM={stream}\nSWARM_TIME={}\nMESSAGE=",
        line.time
    )
    .into_bytes();
    out.extend_from_slice(text);
    out.push(b'\n');
    out
}

fn syslog(
    whose: &Whose,
    pid: Option<i32>,
    line: &Written,
    level: u8,
    text: &[u8],
    zone: &TimeZone,
) -> Vec<u8> {
    let time: Timestamp = line.time.parse().unwrap_or_default();
    let time = time.to_zoned(zone.clone()).strftime("%b %e %H:%M:%S");
    let number = match whose.instance {
        0 => String::new(),
        number => format!(".{number}"),
    };
    let pid = pid.map_or_else(String::new, |pid| format!("[{pid}]"));
    let priority = DAEMON * 8 + level;
    let mut out = format!("<{priority}>{time} {}{number}{pid}: ", whose.workflow).into_bytes();
    for &byte in text {
        // What stands in a file of text is text: as rsyslog writes control characters.
        if byte.is_ascii_control() && byte != b'\t' {
            out.extend_from_slice(format!("#{byte:03o}").as_bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(instance: u16) -> Whose {
        Whose {
            workflow: "ramp".parse().expect("a name"),
            instance,
        }
    }

    fn line(text: &[u8]) -> Written<'_> {
        Written {
            time: "2026-11-03T10:21:34.007Z",
            stream: Stream::Stderr,
            text,
        }
    }

    #[test]
    fn journald_gets_fields_and_the_bytes_as_they_are() {
        let datagram = datagram(
            Forward::Journald,
            &whose(1),
            Some(7),
            &line(b"<3>b\xffad=\x1b"),
        );
        assert_eq!(
            datagram,
            b"PRIORITY=3\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=ramp\nSYSLOG_PID=7\nSWARM_WORKFLOW=ramp\nSWARM_INSTANCE=1\n\
              SWARM_STREAM=stderr\nSWARM_TIME=2026-11-03T10:21:34.007Z\nMESSAGE=b\xffad=\x1b\n"
        );
    }

    #[test]
    fn syslog_gets_one_line_of_text_in_local_time() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let text = |instance, pid, text| {
            let datagram = syslog(&whose(instance), pid, &line(text), INFO, text, &zone);
            String::from_utf8(datagram).expect("text")
        };
        assert_eq!(
            text(0, Some(7), b"a\tb\x1b[2J\0"),
            "<30>Nov  3 11:21:34 ramp[7]: a\tb#033[2J#000"
        );
        assert_eq!(text(2, None, b""), "<30>Nov  3 11:21:34 ramp.2: ");
    }

    #[test]
    fn only_a_whole_level_is_one() {
        assert_eq!(level_of(b"<0>x"), (0, &b"x"[..]));
        for text in [&b"<8>x"[..], b"<3x", b"<", b"", b"a<3>"] {
            assert_eq!(level_of(text), (INFO, text));
        }
    }
}
