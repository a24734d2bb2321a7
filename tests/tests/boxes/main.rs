//! What needs booted boxes: systemd as PID 1, real ssh, a kernel with every controller. Needs root; `./dev test` runs it as a part of its own.

/// All of them bear this word in their names, to be left out where they cannot run.
mod booted {
    mod ansible;
    mod fleet;
    mod machine;
    mod package;
    mod power;
    mod units;
}
