//! `local DIR`: everything from a plain folder, unsigned, reacting to each save. For development.

use super::{Failure, Outcome};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Stdio};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

/// Runs until Ctrl-C, and leaves nothing behind.
///
/// It is an agent like any other, as an own process with a throw-away state folder: what runs here runs the same on a box.
pub fn local(dir: &Path) -> Outcome {
    let dir = dir
        .canonicalize()
        .map_err(|error| Failure::with(2, format!("{}: {error}", dir.display())))?;
    if !dir.join("bundle.toml").exists() && !dir.join("manifests").exists() {
        return Err(Failure::failed(format!(
            "{} has neither bundle.toml nor manifests/",
            dir.display()
        ))
        .hint("name a bundle's folder, or a deploy repository's"));
    }
    let folder = tempfile::Builder::new().prefix("swarm-local-").tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let config = folder.path().join("agent.toml");
    let path = folder.path().display();
    fs::write(
        &config,
        format!("box = \"local\"\nstate = \"{path}/state\"\ncontrol = \"{path}/control.sock\"\n"),
    )?;
    eprintln!(
        "Running {} here, unsigned, until Ctrl-C. In another terminal:",
        dir.display()
    );
    eprintln!("    swarm-agent list --config {}", config.display());
    eprintln!("    swarm-agent logs -f NAME --config {}", config.display());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let status = runtime.block_on(async {
        let mut agent = Command::new(std::env::current_exe()?);
        agent
            .args(["run", "--stop-workflows", "--config"])
            .arg(&config)
            .env("SWARM_LOCAL", &dir);
        // Who develops wants to see what goes wrong and what becomes of the workflows, not each step of ours that goes well.
        if std::env::var_os("RUST_LOG").is_none() {
            agent.env("RUST_LOG", "warn,story=debug");
        }
        until_ended(
            agent
                .process_group(0)
                .kill_on_drop(true)
                .stdin(Stdio::null())
                .spawn()?,
        )
        .await
    })?;
    crate::store::open_up(folder.path());
    folder.close()?;
    Ok(u8::from(!status.success()))
}

/// Waits for the agent; Ctrl-C and SIGTERM are handed on to it, so that it ends its workflows first.
async fn until_ended(mut agent: Child) -> anyhow::Result<std::process::ExitStatus> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut ended = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            status = agent.wait() => return Ok(status?),
            _ = interrupted.recv() => {}
            _ = ended.recv() => {}
        }
        if let Some(pid) = agent.id() {
            super::demo::terminate(pid)?;
        }
    }
}
