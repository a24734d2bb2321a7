//! A shell at the other end of a serial line: no network and no cryptography, both of which are slow on an emulated processor.

use crate::{process::LIMIT, until};
use anyhow::{Context, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
};

/// Runs in the machine: one line of base64 in, what it printed and its exit code out.
pub(super) const SHELL: &str = r#"#!/bin/sh
stty clocal raw -echo -F /dev/ttyS1
exec <>/dev/ttyS1 >&0
echo READY
while read -r line; do
    printf %s "$line" | base64 -d >/run/serial-script
    sh /run/serial-script >/run/serial-output 2>&1 </dev/null
    code=$?
    base64 -w 0 /run/serial-output
    printf '\nEND %s\n' "$code"
done
"#;

/// The line.
#[derive(Debug)]
pub(super) struct Serial {
    reader: BufReader<UnixStream>,
}

impl Serial {
    /// Connects, and waits until the shell is there.
    pub(super) fn open(socket: &Path) -> Result<Self> {
        let stream = until("the machine's serial line", || {
            UnixStream::connect(socket).ok()
        })?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut serial = Self {
            reader: BufReader::new(stream),
        };
        // What firmware and kernel print first is not ours.
        while !serial
            .line()
            .context("the machine did not boot")?
            .contains("READY")
        {}
        // What is asked of it may take long while others compile.
        serial.reader.get_ref().set_read_timeout(Some(LIMIT * 3))?;
        Ok(serial)
    }

    fn line(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        if self.reader.read_until(b'\n', &mut bytes)? == 0 {
            bail!("the machine is off");
        }
        Ok(String::from_utf8_lossy(&bytes).trim().to_string())
    }

    /// Sends a script, and does not wait for it.
    pub(super) fn send(&mut self, script: &str) -> Result<()> {
        let line = format!("{}\n", STANDARD.encode(script));
        Ok(self.reader.get_mut().write_all(line.as_bytes())?)
    }

    /// Runs a script: what it printed, and its exit code.
    pub(super) fn run(&mut self, script: &str) -> Result<(String, i32)> {
        self.send(script)?;
        let printed = self.line()?;
        let end = self.line()?;
        let code = end
            .strip_prefix("END ")
            .with_context(|| format!("{end:?} after {printed:?}"))?;
        let printed = String::from_utf8_lossy(&STANDARD.decode(printed)?).into_owned();
        Ok((printed, code.parse()?))
    }
}
