//! The commands that people type, a file each. They talk to the running agent over its control socket, or to the map.
//!
//! stdout is data, stderr is talk; each ends with an exit code of SPEC §6, and with `--json` also a failure is a document.

mod act;
mod ask;
mod check_config;
mod demo;
mod explain;
mod fleet;
mod history;
mod list;
mod local;
mod login;
mod logs;
mod out;
mod person;
mod plan;
mod request;
mod run;
mod status;
mod sync;
mod table;
mod text;
mod upgrade;
mod why;

use crate::cli::{Cli, Command};
use serde_json::{Map, Value};
use std::{fmt, path::PathBuf, process::ExitCode};

/// Why a command did not do what was asked, and the exit code that says so.
#[derive(Debug)]
pub struct Failure {
    exit: u8,
    message: String,
    hint: Option<String>,
    /// What is known all the same: an object, or null. Boxed: failures are handed on everywhere.
    known: Box<Value>,
}

impl Failure {
    /// Exit code 1: failed or refused.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::with(1, message)
    }

    /// With an exit code of SPEC §6.
    pub fn with(exit: u8, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
            known: Box::default(),
        }
    }

    /// The same with what is known all the same.
    #[must_use]
    pub fn knowing(mut self, known: Value) -> Self {
        *self.known = known;
        self
    }

    /// What `--json` prints of it: `exit`, `message` and `hint`, beside what is known all the same.
    fn document(&self) -> Value {
        let mut document = match &*self.known {
            Value::Object(known) => known.clone(),
            _ => Map::new(),
        };
        document.insert("exit".into(), self.exit.into());
        document.insert("message".into(), self.message.clone().into());
        document.insert("hint".into(), self.hint.clone().into());
        document.into()
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What is described, and not built yet.
    pub fn not_built(what: &str) -> Self {
        Self::failed(format!("{what}: not built yet [S-FILE-10]"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", text::shown(&self.message))?;
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, "\n  hint: {}", text::shown(hint)))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::failed(format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

pub use upgrade::check as check_upgrade;

/// The demo's git server: a role of this binary, so that it is a process of its own.
pub fn serve_demo_git() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(demo::git_server::serve(&arguments))
}

/// What a command ends with where it did not fail: the exit code.
pub type Outcome = Result<u8, Failure>;

/// Which box, and how to answer.
pub struct Context {
    /// `--config`, `$SWARM_CONFIG` or the default.
    pub config: PathBuf,
    /// Whether that was said, by option or variable.
    pub config_was_named: bool,
    /// `--json`
    pub json: bool,
}

/// Does what was typed.
pub fn dispatch(cli: Cli) -> ExitCode {
    let named = cli.config.or_else(|| {
        std::env::var_os("SWARM_CONFIG")
            .filter(|name| !name.is_empty())
            .map(PathBuf::from)
    });
    let context = Context {
        config_was_named: named.is_some(),
        config: named.unwrap_or_else(|| "/etc/swarm/agent.toml".into()),
        json: cli.json,
    };
    if !matches!(
        cli.command,
        Command::Run { .. } | Command::Local { .. } | Command::Demo { .. }
    ) {
        swarm_supervisor::os::closed_pipe::end_at_a_closed_pipe();
    }
    match outcome(&context, cli.command) {
        Ok(exit) => ExitCode::from(exit),
        Err(failure) => {
            if context.json {
                // Where stdout is closed, stderr has it still.
                let _ = out::line(failure.document());
            }
            eprintln!("swarm-agent: {failure}");
            ExitCode::from(failure.exit)
        }
    }
}

fn outcome(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Run { stop_workflows } => run::run(context, stop_workflows),
        Command::List { fleet } => list::list(context, &fleet),
        Command::Kill { act, hold } => act::kill(context, &act, hold),
        Command::Start { act } => act::start(context, &act),
        Command::Restart { act } => act::restart(context, &act),
        Command::Logs {
            name,
            follow,
            lines,
            since,
            fleet,
        } => logs::logs(
            context,
            &logs::Wanted {
                name,
                follow,
                lines,
                since,
            },
            &fleet,
        ),
        Command::Why { name, fleet } => why::why(context, &name, &fleet),
        Command::Status { fleet } => status::status(context, &fleet),
        Command::Sync { timeout } => sync::sync(context, &timeout),
        Command::History {
            name,
            verify,
            fleet,
        } => history::history(context, name, verify, &fleet),
        Command::Plan => plan::plan(context),
        Command::Purge { name } => act::purge(context, &name),
        Command::Local { dir } => local::local(&dir),
        Command::Demo { tour, port } => demo::demo(tour, port),
        Command::CheckConfig => check_config::check_config(context),
        Command::Explain { id } => explain::explain(context, &id),
        Command::Completions { shell } => explain::completions(shell),
        Command::Join { .. } => Err(Failure::not_built("swarm-agent join")
            .hint("set [map] url and token-file in agent.toml: the agent enrols by itself")),
        Command::Login { map, key, web } => login::login(context, map, key, web),
        Command::Upgrade { binary } => upgrade::upgrade(context, binary.as_deref()),
        Command::Discover { .. } => Err(Failure::not_built("swarm-agent discover")
            .hint("the map lists the boxes: swarm-agent status --map")),
        Command::Doctor { .. } => Err(Failure::not_built("swarm-agent doctor")
            .hint("swarm-agent check-config, status and why say what is wrong")),
    }
}
