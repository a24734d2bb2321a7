//! Asking the supervisor of this box over its control socket.

use super::{Context, Failure, Outcome, out};
use serde_json::Value;
use std::{
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Once,
};
use swarm_manifests::{
    problem::Problem,
    settings::{self, Settings},
    status::Row,
};
use swarm_supervisor::{
    client::{self, ClientError},
    protocol::{Request, Response},
};

/// The control socket of an agent that root runs.
const CONTROL: &str = "/run/swarm/control.sock";

/// Reads the box's configuration; exit code 2 where it was named and is wrong.
pub fn settings(context: &Context) -> Result<Settings, Failure> {
    let path = context.config.display().to_string();
    let bytes = read(context)?;
    let (settings, problems) = settings::read(&path, &bytes);
    settings.ok_or_else(|| {
        crate::diagnose::print(&String::from_utf8_lossy(&bytes), &problems);
        Failure::with(
            2,
            format!(
                "{path}: {} to mend",
                if problems.len() == 1 {
                    "a problem".into()
                } else {
                    format!("{} problems", problems.len())
                }
            ),
        )
    })
}

fn read(context: &Context) -> Result<Vec<u8>, Failure> {
    std::fs::read(&context.config).map_err(|error| {
        let (exit, hint) = match error.kind() {
            ErrorKind::PermissionDenied => {
                (4, "it is closed to you: ask as a user who may read it")
            }
            _ => (
                2,
                "name the box's configuration with --config FILE or $SWARM_CONFIG",
            ),
        };
        let path = context.config.display();
        Failure::with(exit, format!("{path}: {error}")).hint(hint)
    })
}

/// Where the agent has its control socket: as the configuration says, or the default of the user who runs it.
pub fn control_path(context: &Context) -> Result<PathBuf, Failure> {
    settings(context)?.control.map_or_else(own_control, Ok)
}

/// The `control` of agent.toml. A mistake elsewhere in the file takes nobody's commands away: it is told, and that is all.
fn named_control(context: &Context) -> Result<Option<PathBuf>, Failure> {
    let bytes = read(context)?;
    let path = context.config.display().to_string();
    let (settings, problems) = settings::read(&path, &bytes);
    if let Some(settings) = settings {
        return Ok(settings.control);
    }
    let control = settings::control_of(&bytes).filter(|control| control.is_absolute());
    let text = String::from_utf8_lossy(&bytes);
    // Where it cannot be read which agent is meant, no other is asked instead.
    if control.is_none()
        && text
            .lines()
            .any(|line| line.trim_start().starts_with("control"))
    {
        return Err(Failure::with(2, wrong(&path, &problems)));
    }
    warn_once(&wrong(&path, &problems));
    Ok(control)
}

/// What a person should know of an agent.toml that is wrong, while the agent goes on as it was.
pub fn wrong_settings(context: &Context) -> Option<String> {
    let bytes = std::fs::read(&context.config).ok()?;
    let path = context.config.display().to_string();
    let (settings, problems) = settings::read(&path, &bytes);
    settings.is_none().then(|| wrong(&path, &problems))
}

fn wrong(path: &str, problems: &[Problem]) -> String {
    let first = problems
        .first()
        .map_or_else(|| path.to_string(), ToString::to_string);
    let more = match problems.len() {
        0 | 1 => String::new(),
        many => format!(" (and {} more)", many - 1),
    };
    format!(
        "{first}{more}; the agent goes on with what it read before, and cannot be started again with this: swarm-agent check-config"
    )
}

/// A command may ask more than once.
fn warn_once(warning: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| eprintln!("warning: {}", super::text::shown(warning)));
}

/// Where to ask: as the configuration says, or at this user's own agent, or else at the box's.
///
/// Whoever may not read `/etc/swarm/agent.toml`, an operator, say, may ask for all that.
fn control_to_ask(context: &Context) -> Result<PathBuf, Failure> {
    if (context.config_was_named || File::open(&context.config).is_ok())
        && let Some(control) = named_control(context)?
    {
        return Ok(control);
    }
    let boxes = Path::new(CONTROL);
    let own = own_control().ok();
    let own = own.filter(|own| own.exists() || !boxes.exists());
    Ok(own.unwrap_or_else(|| boxes.into()))
}

/// `/run/swarm/control.sock` for root, below `$XDG_RUNTIME_DIR` for anybody else (SPEC §6).
fn own_control() -> Result<PathBuf, Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(CONTROL.into());
    }
    let below = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    let below = below.ok_or_else(|| {
        Failure::with(2, "there is no $XDG_RUNTIME_DIR for the control socket")
            .hint("set control = \"…\" in agent.toml")
    })?;
    Ok(PathBuf::from(below).join("swarm/control.sock"))
}

/// Asks, and hands each answer to `take` until the last; gives the exit code.
pub fn each(
    context: &Context,
    request: &Request,
    mut take: impl FnMut(Response) -> anyhow::Result<()>,
) -> Outcome {
    let mut connection = client::connect(&control_to_ask(context)?)?;
    connection.send(request)?;
    loop {
        match connection.receive()? {
            Response::Done { exit, message } => {
                if let Some(message) = message {
                    eprintln!("{}", super::text::shown(&message));
                }
                return Ok(exit);
            }
            Response::Failed {
                exit,
                message,
                hint,
            } => {
                return Err(failed(exit, message, hint));
            }
            Response::Busy => {
                let failure = Failure::with(5, "too many wait for an answer already");
                return Err(failure.hint("nothing was done; ask again in a moment"));
            }
            other => take(other)?,
        }
    }
}

/// Asks for something to be done.
pub fn done(context: &Context, request: &Request) -> Outcome {
    let exit = each(context, request, |_| Ok(()))?;
    if context.json {
        out::line(serde_json::json!({"exit": exit}))?;
    }
    Ok(exit)
}

/// Asks for rows.
pub fn rows(context: &Context, request: &Request) -> Result<Vec<Row>, Failure> {
    let mut all = Vec::new();
    each(context, request, |response| {
        if let Response::Rows(rows) = response {
            all.extend(rows);
        }
        Ok(())
    })?;
    Ok(all)
}

/// Asks for one document. A failure has what came of it.
pub fn body(context: &Context, request: &Request) -> Result<(u8, Value), Failure> {
    let mut found = Value::Null;
    let exit = each(context, request, |response| {
        if let Response::Body(body) = response {
            found = body;
        }
        Ok(())
    });
    let exit = match exit {
        Ok(exit) => exit,
        Err(failure) => return Err(failure.knowing(found)),
    };
    // The agent says in the same way why it does not do it.
    match found.get("message").and_then(Value::as_str) {
        Some(message) if exit != 0 => {
            let hint = found.get("hint").and_then(Value::as_str);
            Err(failed(exit, message.into(), hint.map(Into::into)).knowing(found))
        }
        _ => Ok((exit, found)),
    }
}

fn failed(exit: u8, message: String, hint: Option<String>) -> Failure {
    Failure {
        hint,
        ..Failure::with(exit, message)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let failure = Self::with(error.exit(), error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
