//! `[logs]` of agent.toml: its shape and its reader. Pure.

use super::{Forward, Logs};
use crate::{
    document::Table,
    forms::FILE,
    shape::{Key, Kind, Shape},
};

pub(super) static SHAPE: Shape = Shape {
    title: "[logs]",
    keys: &[
        Key::required(
            "forward",
            Kind::OneOf(&["journald", "syslog"]),
            "to systemd's journal, or to whatever listens on /dev/log",
        ),
        Key::new(
            "socket",
            Kind::Text(&FILE),
            "another socket than /run/systemd/journal/socket and /dev/log",
        ),
    ],
};

/// Where lines go besides the box's own files.
pub(super) fn read(table: &Table<'_>) -> Option<Logs> {
    let forward = table.text("forward", |text| match text {
        "journald" => Some(Forward::Journald),
        "syslog" => Some(Forward::Syslog),
        _ => None,
    })?;
    let socket = table
        .string("socket")
        .unwrap_or_else(|| forward.socket().into());
    Some(Logs {
        forward,
        socket: socket.into(),
    })
}
