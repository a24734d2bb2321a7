//! The program that is deployed: its first act is to look at the clock. Touches the compiler, and reads what the program wrote.

use super::c;
use crate::World;
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// It writes `ROUND NANOSECONDS` to `$SWARM_STATE/stamps`, what the kernel says of it to `$SWARM_STATE/status`, and ends, or with
/// `STAY` waits for SIGTERM.
const SOURCE: &str = r#"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void leave(int signal) { (void)signal; _exit(0); }

static int below(char *path, const char *name, int flags)
{
    snprintf(path, 4096, "%s/%s", getenv("SWARM_STATE"), name);
    return open(path, flags | O_CREAT | O_CLOEXEC, 0644);
}

int main(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    char path[4096], text[16384];
    const char *round = getenv("ROUND");
    if (!round || !getenv("SWARM_STATE")) return 2;
    int count = snprintf(text, sizeof text, "%s %lld\n", round, (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    int stamps = below(path, "stamps", O_WRONLY | O_APPEND);
    if (stamps < 0 || write(stamps, text, count) != count || write(1, text, count) != count) return 1;
    int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t read_bytes = read(status, text, sizeof text);
    int kept = below(path, "status", O_WRONLY | O_TRUNC);
    if (read_bytes <= 0 || write(kept, text, read_bytes) != read_bytes) return 1;
    if (getenv("STAY")) {
        signal(SIGTERM, leave);
        for (;;) pause();
    }
    return 0;
}
"#;

/// How long a stamp may take to appear.
const LIMIT: Duration = Duration::from_secs(60);

/// Compiles it.
pub fn compile(world: &World) -> Result<PathBuf> {
    c::compile(world, "stamp", SOURCE)
}

/// Waits for the stamp of a round; gives the nanoseconds of `CLOCK_MONOTONIC`.
pub fn stamp(folder: &Path, round: usize) -> Result<i64> {
    let begun = Instant::now();
    let wanted = round.to_string();
    loop {
        let text = fs::read_to_string(folder.join("stamps")).unwrap_or_default();
        let found = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .filter_map(|line| line.trim().split_once(' '))
            .find(|(number, _)| *number == wanted);
        if let Some((_, nanoseconds)) = found {
            return Ok(nanoseconds.parse()?);
        }
        if begun.elapsed() > LIMIT {
            bail!("round {round} did not start within {} s", LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What the kernel says a process may do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Protections {
    pub uid: String,
    pub cap_eff: String,
    pub cap_bnd: String,
    pub no_new_privs: String,
    pub seccomp: String,
}

impl Protections {
    /// From the status that the program kept of itself.
    pub fn of_program(folder: &Path) -> Result<Self> {
        Self::read(&fs::read_to_string(folder.join("status")).context("the program's status")?)
    }

    /// From the text of `/proc/PID/status`.
    pub fn read(status: &str) -> Result<Self> {
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .and_then(|values| values.split_whitespace().next())
                .map(str::to_string)
                .with_context(|| format!("/proc/self/status has no {name}"))
        };
        Ok(Self {
            uid: field("Uid")?,
            cap_eff: field("CapEff")?,
            cap_bnd: field("CapBnd")?,
            no_new_privs: field("NoNewPrivs")?,
            seccomp: field("Seccomp")?,
        })
    }

    /// A figure without the sandbox would be the figure of something else.
    pub fn ensure_on(&self) -> Result<()> {
        ensure!(
            self.no_new_privs == "1" && self.seccomp == "2",
            "the measured workflow runs without its sandbox: {self:?}"
        );
        ensure!(
            !nix::unistd::geteuid().is_root()
                || (self.uid != "0" && self.cap_eff.trim_matches('0').is_empty()),
            "the measured workflow runs as root or with capabilities: {self:?}"
        );
        Ok(())
    }

    /// In one line.
    pub fn words(&self) -> String {
        format!(
            "uid {}, CapEff {}, CapBnd {}, NoNewPrivs {}, Seccomp {}",
            self.uid, self.cap_eff, self.cap_bnd, self.no_new_privs, self.seccomp
        )
    }
}
