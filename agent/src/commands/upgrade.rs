//! `upgrade`: a new program takes the place of the running one; and the trial that it stands before.

use super::{Context, Outcome, ask};
use crate::{
    cli::{Cli, Command},
    settings::Config,
};
use anyhow::{Context as _, bail};
use std::path::Path;
use swarm_supervisor::{protocol::Request, run};

/// Has supervisor and agent replaced; returns when the new ones are there, or with why not.
pub fn upgrade(context: &Context, binary: Option<&Path>) -> Outcome {
    let binary = binary
        .map(|path| {
            path.canonicalize()
                .with_context(|| path.display().to_string())
        })
        .transpose()?;
    ask::done(context, &Request::Upgrade { binary })
}

/// The role of a program that is tried: whether it could go on where the running one is.
pub fn check(cli: &Cli) -> anyhow::Result<()> {
    let Command::Run { .. } = cli.command else {
        bail!("only swarm-agent run is replaced in place");
    };
    let named = cli
        .config
        .clone()
        .or_else(|| std::env::var_os("SWARM_CONFIG").map(Into::into));
    let config = Config::load(&named.unwrap_or_else(|| "/etc/swarm/agent.toml".into()))?;
    run::check(&config.settings.state).map_err(anyhow::Error::msg)
}
