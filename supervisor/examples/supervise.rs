//! The supervisor by itself, with an agent of your own: `supervise STATE CONTROL AGENT [--stop]`, where AGENT is a Unix socket that
//! speaks `swarm_supervisor::protocol`, or a program that does so on its descriptor 3. `SWARM_KEEP_STATE_MS` says how long folders of
//! removed workflows are kept, `SWARM_FORWARD` where logs go besides, such as `syslog=/dev/log`; `SWARM_CEILING_FILE` has a line for each
//! folder that workflows may write to, and may have one such as `open-files 64`. The tests of this crate drive it.

use std::{
    collections::{BTreeMap, VecDeque},
    error::Error,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use swarm_manifests::{
    policy::Ceiling,
    settings::{Forward, Logs},
};
use swarm_supervisor::{
    handover, run,
    settings::{Agent, OnExit, ReadCeiling, Settings},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words: VecDeque<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let mut next = || {
        words
            .pop_front()
            .ok_or("usage: supervise STATE CONTROL AGENT [--stop]")
    };
    let (state, control, agent) = (next()?, next()?, next()?);
    if std::env::var_os("SWARM_ROLE").is_some_and(|role| role == handover::CHECK) {
        return Ok(run::check(&state)?);
    }
    let on_exit = if next().is_ok() {
        OnExit::Stop
    } else {
        OnExit::Leave
    };
    let agent = if agent.is_file() {
        Agent::Command {
            argv: vec![agent.into()],
            env: BTreeMap::new(),
            given: Vec::new(),
        }
    } else {
        Agent::Socket(Arc::new(UnixStream::connect(agent)?))
    };
    let kept = std::env::var("SWARM_KEEP_STATE_MS").map_or(Ok(60_000), |text| text.parse())?;
    let ceiling_file = std::env::var_os("SWARM_CEILING_FILE").map(PathBuf::from);
    run::run(Settings {
        box_name: "testbox".into(),
        state,
        control,
        ceiling: ceiling_file
            .as_deref()
            .map_or_else(|| Ok(Ceiling::default()), read_ceiling)?,
        ceiling_file: ceiling_file.map(|file| (file, read_ceiling as ReadCeiling)),
        switch_users: true,
        users: (63_000, 63_500),
        agent_user: None,
        keep_state: Duration::from_millis(kept),
        logs: std::env::var("SWARM_FORWARD")
            .ok()
            .and_then(|text| logs(&text)),
        on_exit,
        agent,
        holder: None,
    })?;
    Ok(())
}

fn logs(text: &str) -> Option<Logs> {
    let (forward, socket) = text.split_once('=')?;
    let forward = match forward {
        "syslog" => Forward::Syslog,
        _ => Forward::Journald,
    };
    Some(Logs {
        forward,
        socket: socket.into(),
    })
}

fn read_ceiling(file: &Path) -> Result<Ceiling, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let mut ceiling = Ceiling::default();
    let mut write = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("open-files ") {
            Some(most) => ceiling.limits.open_files = most.parse().ok(),
            None => write.push(line.to_owned()),
        }
    }
    ceiling.write = Some(write);
    Ok(ceiling)
}
