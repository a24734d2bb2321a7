//! `run`: the agent in the foreground. This process becomes the supervisor; it starts the agent proper as its child.

use super::{Context, Failure, Outcome, ask};
use crate::settings::Config;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};
use swarm_manifests::policy::Ceiling;
use swarm_supervisor::settings::{Agent, OnExit, Settings};

/// Names the cgroup of the unit that holds the workflows, below the cgroup2 mount; set by our unit for systemd.
const HOLDER: &str = "SWARM_WORKFLOWS_CGROUP";

/// Runs until it is told to end.
pub fn run(context: &Context, stop_workflows: bool) -> Outcome {
    ask::settings(context)?;
    let config = Config::load(&context.config)?;
    let stop =
        stop_workflows || std::env::var_os("SWARM_ON_EXIT").is_some_and(|word| word == "stop");
    let settings = supervised(
        context,
        &config,
        if stop { OnExit::Stop } else { OnExit::Leave },
    )?;
    crate::talk::begin();
    swarm_supervisor::run::run(settings).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(0)
}

/// What the supervisor has to know of this box.
fn supervised(context: &Context, config: &Config, on_exit: OnExit) -> Result<Settings, Failure> {
    let settings = &config.settings;
    let file = context.config.canonicalize()?;
    let argv: [OsString; 4] = [
        "/proc/self/exe".into(),
        "run".into(),
        "--config".into(),
        file.clone().into(),
    ];
    // The environment that the agent may see; everything else of ours stays here.
    let kept = [
        "PATH",
        "LANG",
        "TZ",
        "RUST_LOG",
        "SWARM_LOCAL",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "SSH_AUTH_SOCK",
        "HOME",
    ];
    let env: BTreeMap<OsString, OsString> = kept
        .iter()
        .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
        .collect();
    Ok(Settings {
        box_name: config.name.to_string(),
        state: settings.state.clone(),
        control: ask::control_path(context)?,
        ceiling: settings.ceiling.clone(),
        ceiling_file: Some((file.clone(), read_ceiling)),
        switch_users: settings.switch_users && rustix::process::geteuid().is_root(),
        users: settings.users,
        agent_user: settings.agent_user.clone(),
        keep_state: settings.keep_state,
        logs: settings.logs.clone(),
        on_exit,
        agent: Agent::Command {
            argv: argv.into(),
            env,
            given: given(config, file),
        },
        holder: std::env::var_os(HOLDER).map(PathBuf::from),
    })
}

/// The box's own ceiling, as its configuration has it now.
fn read_ceiling(file: &Path) -> Result<Ceiling, String> {
    let config = Config::load(file).map_err(|error| format!("{error:#}"))?;
    Ok(config.settings.ceiling)
}

/// What the agent has to read of this box's configuration, wherever it lies and whoever owns it.
fn given(config: &Config, file: PathBuf) -> Vec<PathBuf> {
    let settings = &config.settings;
    let mut files = vec![file];
    if let Some(repository) = &settings.repository {
        let local = repository
            .urls
            .iter()
            .map(|url| url.strip_prefix("file://").unwrap_or(url))
            .filter(|url| url.starts_with('/'));
        files.extend(local.map(PathBuf::from));
        files.extend(
            [
                &repository.credentials_file,
                &repository.known_hosts,
                &repository.identity_file,
                &repository.ca,
            ]
            .into_iter()
            .flatten()
            .cloned(),
        );
    }
    files.extend(
        settings
            .map
            .iter()
            .flat_map(|map| [&map.ca, &map.token_file])
            .flatten()
            .cloned(),
    );
    files.extend(
        settings
            .webhook
            .iter()
            .filter_map(|webhook| webhook.secret_file.clone()),
    );
    files.extend(config.local.clone());
    files
}
