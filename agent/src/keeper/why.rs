//! `why NAME`: the chain from commit and signer through every check to the present state, or to the refusal. Pure, but for the
//! keeper's own state.

use super::{Inlets, Keeper};
use crate::{
    picture::Picture,
    resolve::{Cleared, Offer, Wanted},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use swarm_manifests::{
    manifest::Manifest, name::Name, near::nearest, rules::trunk::MASS_REMOVAL, status::State,
};
use swarm_repository::{snapshot::Found, trusted::Brought};
use swarm_supervisor::protocol::Actual;

/// One link of the chain.
fn step(ok: bool, what: &str, detail: impl Into<String>) -> Value {
    json!({"ok": ok, "what": what, "detail": detail.into()})
}

impl Keeper {
    /// The chain as JSON, and the exit code: 3 where nobody knows the workflow.
    pub(super) fn why(&self, workflow: &str, inlets: &Inlets) -> (Value, u8) {
        let picture = inlets.picture.borrow().clone();
        let found = picture.snapshot.as_ref().and_then(|snapshot| {
            snapshot
                .workflows
                .iter()
                .find(|found| found.workflow.as_str() == workflow)
        });
        let actual = self.actual.get(workflow);
        if found.is_none() && actual.is_none() {
            let message = format!("no workflow {workflow:?} on this box or its trunk");
            let hint = self.near(workflow, &picture);
            return (
                json!({"workflow": workflow, "message": message, "hint": hint}),
                3,
            );
        }
        let mut steps = vec![self.trunk(&picture, inlets)];
        let mut verdict = Verdict::default();
        match found {
            None => steps.push(step(
                false,
                "manifest",
                "no manifest on the trunk has this name",
            )),
            Some(found) => self.checks(found, &picture, &mut steps, &mut verdict),
        }
        if let Some(actual) = actual {
            running(actual, &mut steps);
        }
        if let Some(held) = self
            .held
            .as_ref()
            .filter(|held| held.workflows.iter().any(|name| name.as_str() == workflow))
        {
            let detail = format!("{} [{}]", held.reason, MASS_REMOVAL.id);
            steps.push(step(false, "removal", detail));
        }
        let row = actual.and_then(|actual| actual.rows.first());
        let next = row.and_then(|row| row.next.clone()).or(verdict.next);
        // Reason and rule are of one thing: of what runs here, or else of what would.
        let (reason, rule) = match (row, &next) {
            (Some(row), _) => (row.reason.clone(), row.rule.clone()),
            (None, Some(next)) => (Some(next.reason.clone()), next.rule.clone()),
            (None, None) => (verdict.reason, verdict.rule),
        };
        let body = json!({
            "box": picture.here.facts.name,
            "workflow": workflow,
            "steps": steps,
            "state": row.map(|row| row.state).or_else(|| next.as_ref().map(|next| next.state)),
            "version": row.and_then(|row| row.version.clone()),
            "reason": reason,
            "rule": rule,
            "install": actual.and_then(|actual| actual.installed),
            "hint": verdict.hint,
            "next": next,
            "rows": actual.map(|actual| &actual.rows),
        });
        (body, 0)
    }

    /// Which one was probably meant, or else how many there are.
    fn near(&self, workflow: &str, picture: &Picture) -> String {
        let on_trunk = picture
            .snapshot
            .iter()
            .flat_map(|snapshot| &snapshot.workflows)
            .map(|found| &found.workflow);
        let names: BTreeSet<&str> = self
            .actual
            .keys()
            .chain(on_trunk)
            .map(Name::as_str)
            .collect();
        match (nearest(workflow, names.iter().copied()), names.len()) {
            (Some(near), _) => format!("did you mean {near}?"),
            (None, 0) => "there is none yet".into(),
            (None, 1) => format!("there is one, {}", names.into_iter().collect::<String>()),
            (None, many) => format!("there are {many}: swarm-agent list shows those of this box"),
        }
    }

    fn trunk(&self, picture: &Picture, inlets: &Inlets) -> Value {
        let Some((head, position)) = picture.trusted() else {
            let reason = picture.trouble.as_ref().map_or_else(
                || "nothing is trusted yet".to_string(),
                |trouble| format!("{} [{}]", trouble.reason, trouble.rule),
            );
            return step(false, "trunk", reason);
        };
        if self.config.borrow().local.is_some() {
            return step(
                true,
                "trunk",
                "none: everything comes from a plain folder, unsigned",
            );
        }
        let contact = inlets.contact.borrow();
        let trusted = format!("trusted up to {} (position {position})", head.short());
        if let Some(trouble) = &picture.trouble {
            return step(
                false,
                "trunk",
                format!(
                    "{trusted}; it does not move on: {} [{}]",
                    trouble.reason, trouble.rule
                ),
            );
        }
        let remote = contact.url.as_deref().unwrap_or("the remote");
        let seen = contact
            .head
            .map_or("not been seen yet".into(), |head| head.short());
        step(
            true,
            "trunk",
            format!(
                "{trusted}, each commit signed and judged since the introduction; {remote} has {seen}"
            ),
        )
    }

    fn checks(
        &self,
        found: &Found,
        picture: &Picture,
        steps: &mut Vec<Value>,
        verdict: &mut Verdict,
    ) {
        if let Some(void) = &found.instead_of {
            let detail = format!("a newer version: {} [{}]", void.reason, void.rule.id);
            steps.push(step(false, "revoked", detail));
        }
        let is_local = self.config.borrow().local.is_some();
        steps.push(step(true, "commit", whose(&found.brought, is_local)));
        let manifest = match &found.manifest {
            Ok(manifest) => manifest,
            Err(problems) => {
                steps.extend(
                    problems
                        .iter()
                        .map(|problem| step(false, "manifest", problem.to_string())),
                );
                self.held_back(found, picture, verdict, steps);
                return;
            }
        };
        steps.push(step(true, "manifest", described(manifest)));
        if let Some(reason) = picture.resolved.elsewhere.get(&found.workflow) {
            steps.push(step(false, "[on]", format!("not chosen: {reason}")));
            verdict.reason = Some(format!("not chosen: {reason}"));
            verdict.rule = Some(swarm_manifests::rules::run::NOT_CHOSEN.id.into());
            verdict.hint = Some(swarm_manifests::rules::run::NOT_CHOSEN.remedy.into());
            return;
        }
        steps.push(step(true, "[on]", "chooses this box"));
        steps.extend(approved(found));
        if let Some(Offer::Cleared(cleared)) = picture
            .offers
            .get(&(manifest.bundle.clone(), manifest.version.to_string()))
        {
            steps.push(step(true, "bundle", signed(cleared)));
        }
        self.held_back(found, picture, verdict, steps);
        if let Some(Wanted::Run(spec)) = picture.resolved.wanted.get(&found.workflow) {
            let ceiling = swarm_manifests::rules::run::CEILING.id;
            let rows = self.actual.get(&found.workflow).map(|actual| &actual.rows);
            let is_over = rows.into_iter().flatten().any(|row| {
                let next = row.next.as_ref().and_then(|next| next.rule.as_deref());
                next.or(row.rule.as_deref()) == Some(ceiling)
            });
            if is_over {
                return steps.push(step(false, "box", "its own [ceiling] is not met"));
            }
            steps.push(step(
                true,
                "box",
                format!(
                    "engine, requirements and ceilings are met; it runs as {}",
                    spec.command.join(" ")
                ),
            ));
        }
    }

    fn held_back(
        &self,
        found: &Found,
        picture: &Picture,
        verdict: &mut Verdict,
        steps: &mut Vec<Value>,
    ) {
        let Some(Wanted::Held(held)) = picture.resolved.wanted.get(&found.workflow) else {
            return;
        };
        let next = &held.standing.next;
        let rule = next
            .rule
            .as_ref()
            .map_or(String::new(), |rule| format!(" [{rule}]"));
        steps.push(step(
            false,
            next.state.as_str(),
            format!("{}{rule}", next.reason),
        ));
        verdict.hint.clone_from(&held.hint);
        verdict.next = Some(next.clone());
        if self
            .actual
            .get(&found.workflow)
            .is_some_and(|actual| actual.revision.is_some())
        {
            steps.push(step(true, "meanwhile", "what runs goes on"));
        }
    }
}

/// What it came to, where nothing runs that could say so itself.
#[derive(Default)]
struct Verdict {
    next: Option<swarm_manifests::status::Next>,
    reason: Option<String>,
    rule: Option<String>,
    hint: Option<String>,
}

/// Who brought the manifest.
fn whose(brought: &Brought, is_local: bool) -> String {
    if is_local {
        return brought.path.clone();
    }
    format!(
        "{} as of commit {} (position {}, {}), signed by {} with {}",
        brought.path,
        brought.commit.short(),
        brought.position,
        brought.time,
        brought.by,
        brought.key
    )
}

/// Who stands behind it, where more than one has to.
fn approved(found: &Found) -> Option<Value> {
    let tally = &found.backing.tally;
    if tally.needed < 2 || tally.missing() > 0 {
        return None;
    }
    let by: Vec<&str> = tally.by.iter().map(Name::as_str).collect();
    let (by, needed) = (by.join(", "), tally.needed);
    let detail = format!("{by} stand behind it, {needed} are needed");
    Some(step(true, "approvals", detail))
}

fn described(manifest: &Manifest) -> String {
    let limit = manifest.run.time_limit.map_or(String::new(), |limit| {
        format!(
            ", time limit {}",
            swarm_manifests::units::format_duration(limit)
        )
    });
    format!(
        "bundle {} {}, mode {}{limit}",
        manifest.bundle,
        manifest.version,
        manifest.run.mode.as_str()
    )
}

fn signed(cleared: &Cleared) -> String {
    let bundle = cleared.bundle();
    match cleared.signed() {
        Some((by, key)) => format!(
            "{} {} {}, signed by {by} with {key}, who may publish it; every file is as listed",
            bundle.name,
            bundle.version,
            cleared.digest()
        ),
        None => format!(
            "{} {} {}, unsigned",
            bundle.name,
            bundle.version,
            cleared.digest()
        ),
    }
}

fn running(actual: &Actual, steps: &mut Vec<Value>) {
    if let Some(hash) = &actual.installed {
        let detail = format!(
            "its own copy has hash {hash}, is sealed read-only, and is checked before each start"
        );
        steps.push(step(true, "install", detail));
    }
    for row in &actual.rows {
        let since = row
            .since
            .as_ref()
            .map_or(String::new(), |since| format!(" since {since}"));
        let version = row
            .version
            .as_ref()
            .map_or(String::new(), |version| format!(" {version}"));
        let pid = row.pid.map_or(String::new(), |pid| format!(", pid {pid}"));
        let reason = row
            .reason
            .as_ref()
            .map_or(String::new(), |reason| format!(": {reason}"));
        let is_well = !matches!(
            row.state,
            State::Failed | State::Refused | State::Blocked | State::Backoff | State::Interrupted
        );
        steps.push(step(
            is_well,
            &format!("instance {}", row.instance),
            format!("{}{version}{since}{pid}{reason}", row.state.as_str()),
        ));
        let dropped = row.dropped.unwrap_or_default();
        let lacks = |text| step(false, &format!("log of {}", row.instance), text);
        if dropped.lines > 0 {
            steps.push(lacks(format!(
                "{} lines ({} bytes) dropped: they came too fast, or the disk was full",
                dropped.lines, dropped.bytes
            )));
        }
        if dropped.unforwarded > 0 {
            steps.push(lacks(format!(
                "{} lines were not taken where [logs] forwards them: they are in swarm-agent logs",
                dropped.unforwarded
            )));
        }
    }
    // What the agent itself holds back is told where it was judged.
    let next = actual.rows.first().and_then(|row| row.next.as_ref());
    if let Some(next) = next.filter(|_| actual.successor.is_some()) {
        let version = next.version.as_deref().unwrap_or("a successor");
        let rule = next.rule.as_ref();
        let rule = rule.map_or(String::new(), |rule| format!(" [{rule}]"));
        let is_well = matches!(next.state, State::Installing | State::Starting);
        steps.push(step(
            is_well,
            "next",
            format!("{version} {}: {}{rule}", next.state.as_str(), next.reason),
        ));
    }
    if !actual.protections.is_empty() {
        steps.push(step(true, "protections", actual.protections.join(", ")));
    }
    if actual.held {
        steps.push(step(
            false,
            "held",
            "killed with --hold: no new revision starts it; swarm-agent start does",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_gave_way_is_told_with_its_rule() {
        let next = json!({"version": "1.1.0", "commit": null, "state": "failed", "reason": "held until there is a newer version", "rule": "S-RUN-10"});
        let row = json!({"box": "till", "workflow": "web", "state": "ready", "instance": 0, "restarts": 0, "next": next});
        let revision = format!("sha256:{}", "0".repeat(64));
        let actual = json!({"workflow": "web", "successor": revision, "held": false, "protections": [], "rows": [row]});
        let actual: Actual = serde_json::from_value(actual).expect("an actual");
        let mut steps = Vec::new();
        running(&actual, &mut steps);
        let told = "1.1.0 failed: held until there is a newer version [S-RUN-10]";
        assert_eq!(steps[1], step(false, "next", told));
    }

    #[test]
    fn what_a_log_lacks_is_told() {
        let dropped = json!({"lines": 12, "bytes": 345, "unforwarded": 7});
        let row = json!({"box": "till", "workflow": "web", "state": "running", "instance": 3, "restarts": 0, "dropped": dropped});
        let actual = json!({"workflow": "web", "held": false, "protections": [], "rows": [row]});
        let actual: Actual = serde_json::from_value(actual).expect("an actual");
        let mut steps = Vec::new();
        running(&actual, &mut steps);
        let told = |step: &Value| step["detail"].as_str().map(str::to_owned);
        let told: Vec<_> = steps.iter().skip(1).filter_map(told).collect();
        assert!(
            told[0].starts_with("12 lines (345 bytes) dropped"),
            "{told:?}"
        );
        assert!(told[1].starts_with("7 lines were not taken"), "{told:?}");
        assert_eq!(steps[1]["what"], "log of 3");
    }
}
