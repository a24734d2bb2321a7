//! `kill`, `start`, `restart` and `logs` through the map: a request signed by a person, on its way to boxes that verify it themselves;
//! returns when each has answered. Touches the map and the key.

use super::{
    Context, Failure, Outcome,
    fleet::{self, Map},
    logs::Wanted,
    out,
    person::Key,
    table, text,
};
use crate::{
    chance,
    cli::{Act, Fleet},
};
use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use swarm_manifests::{
    name::Name,
    request::{Action, NAMESPACE, Outcome as Answer, Request, Signed},
};

/// How long a request is good for.
const GOOD_FOR: Duration = Duration::from_secs(3600);
/// How long answers are waited for.
const PATIENCE: Duration = Duration::from_secs(90);
/// So many lines of a log, where nobody says how many; and at most.
const LINES: (usize, usize) = (100, 1000);

/// Has it done, and says what each box answered.
pub fn act(context: &Context, act: &Act, action: Action) -> Outcome {
    let asked = ask(context, (&act.name, action, act.reason.clone()), &act.fleet)?;
    if context.json {
        out::json(&asked.answers)?;
    } else {
        let rows = asked.answers.iter().map(|(name, answer)| {
            let (how, what) = match answer {
                None => ("waiting", format!("until {}", asked.expires)),
                Some(answer) => (word(answer), text::one_line(&answer.message)),
            };
            vec![name.clone(), how.into(), what]
        });
        let rows: Vec<Vec<String>> = rows.collect();
        out::raw(table::table(&["BOX", "ANSWER", "REASON"], &rows, None))?;
    }
    Ok(asked.exit())
}

/// Prints the last lines of each box.
pub fn logs(context: &Context, wanted: &Wanted, narrowed: &Fleet) -> Outcome {
    if wanted.follow || wanted.since.is_some() {
        return Err(Failure::with(
            2,
            "through the map there are last lines only, without -f and --since",
        )
        .hint("say -n NUMBER, or run swarm-agent logs on the box itself"));
    }
    let lines = wanted.lines.unwrap_or(LINES.0).min(LINES.1);
    let action = Action::Logs {
        lines: u16::try_from(lines).unwrap_or(u16::MAX),
    };
    let asked = ask(context, (&wanted.name, action, None), narrowed)?;
    if context.json {
        out::json(&asked.answers)?;
        return Ok(asked.exit());
    }
    for (name, answer) in &asked.answers {
        match answer {
            None => eprintln!("{name}: has not answered yet"),
            Some(answer) if answer.exit != 0 => {
                eprintln!("{name}: {}", text::one_line(&answer.message));
            }
            Some(answer) => {
                for line in &answer.lines {
                    out::line(format_args!("{name} {}", text::shown(line)))?;
                }
            }
        }
    }
    Ok(asked.exit())
}

fn word(answer: &Answer) -> &'static str {
    match answer.exit {
        0 => "done",
        4 => "refused",
        _ => "failed",
    }
}

/// What the boxes answered so far.
struct Asked {
    answers: BTreeMap<String, Option<Answer>>,
    expires: Timestamp,
}

impl Asked {
    /// The gravest of the answers; 5 where one is missing.
    fn exit(&self) -> u8 {
        let exit = |answer: &Option<Answer>| answer.as_ref().map_or(5, |answer| answer.exit);
        self.answers.values().map(exit).max().unwrap_or(5)
    }
}

fn ask(
    context: &Context,
    (workflow, action, reason): (&str, Action, Option<String>),
    narrowed: &Fleet,
) -> Result<Asked, Failure> {
    let workflow = Name::new(workflow).map_err(|error| {
        Failure::with(2, format!("{workflow:?} is no name of a workflow: {error}"))
    })?;
    let map = Map::of(context, narrowed)?;
    if map.session.is_none() {
        return Err(
            Failure::with(4, format!("nobody is logged in at {}", map.url()))
                .hint(format!("swarm-agent login --map={}", map.url())),
        );
    }
    let boxes = boxes(context, &workflow, narrowed)?;
    let repository = map.get("/v1/trunk")?;
    let repository = repository.get("repository_id").and_then(Value::as_str);
    let repository = repository.context("the map does not know the repository's id yet")?;
    let random: [u8; 16] = chance::bytes().context("no randomness")?;
    // Whole seconds are enough, and are read more easily by whoever touches a key for it.
    let issued =
        Timestamp::from_second(Timestamp::now().as_second()).map_err(anyhow::Error::from)?;
    let request = Request {
        repository: repository.into(),
        id: hex::encode(random),
        action,
        workflow,
        boxes,
        issued,
        expires: issued + GOOD_FOR,
        reason,
    };
    let statement = request.statement();
    let key = Key::find(narrowed.key.clone())?;
    let signed = Signed {
        signature: key.sign(NAMESPACE, &statement)?,
        statement,
    };
    let mut view: Value = map.post("/v1/requests", &signed)?;
    let begun = Instant::now();
    loop {
        let answers = view.get_mut("boxes").map(Value::take).unwrap_or_default();
        let answers: BTreeMap<String, Option<Answer>> =
            serde_json::from_value(answers).map_err(anyhow::Error::from)?;
        let answered = answers.values().flatten().count();
        if answered == answers.len() || begun.elapsed() >= PATIENCE {
            return Ok(Asked {
                answers,
                expires: request.expires,
            });
        }
        // The map keeps us waiting until there is news, or for a while.
        view = map.get(&format!("/v1/requests/{}?answered={answered}", request.id))?;
    }
}

/// The boxes that are meant and have the workflow.
fn boxes(context: &Context, workflow: &Name, narrowed: &Fleet) -> Result<Vec<Name>, Failure> {
    let found = fleet::workflow(context, workflow.as_str(), narrowed)?;
    let rows = found.get("boxes").and_then(Value::as_array);
    let name = |row: &Value| Name::new(row.get("box")?.as_str()?).ok();
    let with: BTreeSet<Name> = rows.into_iter().flatten().filter_map(name).collect();
    if with.is_empty() {
        return Err(Failure::with(3, format!("no box has {workflow}"))
            .hint("swarm-agent list --map shows what there is"));
    }
    Ok(with.into_iter().collect())
}
