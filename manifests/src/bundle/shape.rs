//! The shape of bundle.toml, and of the `[limits]` that it shares with manifests. Pure.

use crate::{
    forms::{
        ABSOLUTE, ARGUMENT, DURATION, ENTRY, FACT, GROUP, LINE, NAME, PERCENT, PORTS, PROBE_URL,
        REGEX, REQUIREMENT, SIGNAL, SIZE, USER, VARIABLE, VERSION, WORD, WORKDIR,
    },
    shape::{Key, Kind, Shape},
};

/// bundle.toml
pub static SHAPE: Shape = Shape {
    title: "bundle.toml",
    keys: &[
        Key::required("name", Kind::Text(&NAME), "the bundle's name"),
        Key::required("version", Kind::Text(&VERSION), "the version (SemVer 2.0)"),
        Key::new("description", Kind::Text(&LINE), "what it is, in a line"),
        Key::required(
            "engine",
            Kind::Text(&NAME),
            "exec, sh, node, accessor, python, java, beam, or one that the box's configuration adds",
        ),
        Key::required(
            "entry",
            Kind::Text(&ENTRY),
            "a path inside the bundle; may hold {arch}, {os}",
        ),
        Key::new("args", Kind::List(0, &Kind::Text(&ARGUMENT)), "arguments"),
        Key::new(
            "workdir",
            Kind::Text(&WORKDIR),
            "bundle (read-only), state, or a path below either; default: bundle, for beam and accessor state",
        ),
        Key::new(
            "user",
            Kind::Text(&USER),
            "a user of the box other than root; default: one of its own per workflow",
        ),
        Key::new(
            "ports",
            Kind::List(0, &Kind::Text(&PORTS)),
            "checked to be free before the start",
        ),
        Key::new(
            "requires",
            Kind::Map(&FACT, &Kind::Text(&REQUIREMENT)),
            "facts that the box must have; a bare engine name means engine.NAME",
        ),
        Key::new(
            "env",
            Kind::Map(&VARIABLE, &Kind::Text(&ARGUMENT)),
            "variables",
        ),
        Key::new(
            "install",
            Kind::Table(&INSTALL),
            "before the first start on a box",
        ),
        Key::new("ready", Kind::Table(&READY), "when it is ready"),
        Key::new("health", Kind::Table(&HEALTH), "whether it is well"),
        Key::new("stop", Kind::Table(&STOP), "how it is stopped"),
        Key::new(
            "limits",
            Kind::Table(&LIMITS),
            "asked for; the ceilings of policy and box win",
        ),
        Key::new(
            "sandbox",
            Kind::Table(&SANDBOX),
            "what it may see of the box",
        ),
    ],
};

static INSTALL: Shape = Shape {
    title: "[install]",
    keys: &[
        Key::required(
            "command",
            COMMAND,
            "the command, in a private writable copy of the bundle",
        ),
        Key::new(
            "network",
            Kind::Bool,
            "whether it has the network; default false",
        ),
    ],
};

// Readiness and health are asked for in the same ways.
const TCP: Key = Key::new(
    "tcp",
    Kind::Integer { min: 1, max: 65535 },
    "a port on loopback that accepts",
);
const HTTP: Key = Key::new(
    "http",
    Kind::Text(&PROBE_URL),
    "a URL that answers 2xx or 3xx",
);
const COMMAND: Kind = Kind::List(1, &Kind::Text(&WORD));
const EXEC: Key = Key::new("exec", COMMAND, "a command that exits 0");

static READY: Shape = Shape {
    title: "[ready]",
    keys: &[
        Key::new("notify", Kind::Bool, "true: sd_notify READY=1"),
        TCP,
        HTTP,
        EXEC,
        Key::new("log", Kind::Text(&LINE), "a text that it prints"),
        Key::new(
            "log-regex",
            Kind::Text(&REGEX),
            "a regular expression that a line of its output matches",
        ),
        Key::new("after", Kind::Text(&DURATION), "so long alive"),
        Key::new(
            "timeout",
            Kind::Text(&DURATION),
            "how long it may take; default 30s",
        ),
    ],
};

static HEALTH: Shape = Shape {
    title: "[health]",
    keys: &[
        Key::new(
            "notify",
            Kind::Bool,
            "true: sd_notify WATCHDOG=1 at least so often",
        ),
        TCP,
        HTTP,
        EXEC,
        Key::new(
            "every",
            Kind::Text(&DURATION),
            "how often it is asked; default 10s",
        ),
        Key::new(
            "failures",
            Kind::Integer { min: 1, max: 1000 },
            "so many in a row restart the process; default 3",
        ),
    ],
};

static STOP: Shape = Shape {
    title: "[stop]",
    keys: &[
        Key::new("signal", Kind::Text(&SIGNAL), "default SIGTERM"),
        Key::new("command", COMMAND, "tried before the signal"),
        Key::new(
            "grace",
            Kind::Text(&DURATION),
            "then SIGKILL to the whole process tree; default 10s",
        ),
    ],
};

// A ceiling has the same keys as limits.
pub(crate) const MOST_MEMORY: Key = Key::new("memory", Kind::Text(&SIZE), "the most memory");
pub(crate) const MOST_CPU: Key = Key::new("cpu", Kind::Text(&PERCENT), "the most of one core");
pub(crate) const MOST_PIDS: Key = Key::new(
    "pids",
    Kind::Integer {
        min: 1,
        max: 4_194_304,
    },
    "the most processes and threads",
);
pub(crate) const MOST_OPEN_FILES: Key = Key::new(
    "open-files",
    Kind::Integer {
        min: 8,
        max: 1_048_576,
    },
    "the most open files",
);
pub(crate) const MOST_LOG: Key = Key::new("log", Kind::Text(&SIZE), "the most log that is kept");

/// `[limits]`, of bundle and manifest alike.
pub(crate) static LIMITS: Shape = Shape {
    title: "[limits]",
    keys: &[MOST_MEMORY, MOST_CPU, MOST_PIDS, MOST_OPEN_FILES, MOST_LOG],
};

static SANDBOX: Shape = Shape {
    title: "[sandbox]",
    keys: &[
        Key::new(
            "network",
            Kind::OneOf(&["host", "none"]),
            "which network it sees; default host",
        ),
        Key::new(
            "devices",
            Kind::List(0, &Kind::Text(&ABSOLUTE)),
            "devices, with * and ?; only as far as the ceilings allow",
        ),
        Key::new(
            "groups",
            Kind::List(0, &Kind::Text(&GROUP)),
            "groups of the box; only as far as the ceilings allow",
        ),
        Key::new(
            "read",
            Kind::List(0, &Kind::Text(&ABSOLUTE)),
            "paths of the box to read; only as far as the ceilings allow",
        ),
        Key::new(
            "write",
            Kind::List(0, &Kind::Text(&ABSOLUTE)),
            "paths of the box to write; only as far as the ceilings allow",
        ),
    ],
};
