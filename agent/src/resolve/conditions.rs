//! What must hold before a chosen workflow runs: who stands behind it, and what the box has. Pure.

use crate::facts::Here;
use swarm_manifests::{approval, bundle::Bundle, facts, name::Name, problem::Refusal, rules};
use swarm_repository::snapshot::{Backing, Found};

/// Enough people stand behind it, the commit's signer among them.
pub fn approvals(found: &Found) -> Result<(), Refusal> {
    let Backing { tally, odd, .. } = &found.backing;
    approval::enough(tally, &found.brought.path).map_err(|mut refusal| {
        for (file, why) in odd {
            refusal.reason += &format!("; {file} does not count: {why}");
        }
        refusal
    })
}

/// The box has the engine and what `[requires]` asks for.
pub fn requirements(bundle: &Bundle, here: &Here) -> Result<(), Refusal> {
    let Some(engine) = here.engines.get(&bundle.engine) else {
        let known: Vec<&str> = here.engines.keys().map(Name::as_str).collect();
        return Err(Refusal::new(
            &rules::run::ENGINE,
            format!(
                "this box has no engine {:?}; it has {}",
                bundle.engine.as_str(),
                known.join(", ")
            ),
        )
        .hint(format!(
            "add [engines.{}] to agent.toml, or choose other boxes",
            bundle.engine
        )));
    };
    let fact = format!("engine.{}", bundle.engine);
    if let Some(probe) = engine
        .version
        .as_ref()
        .filter(|_| here.facts.get(&fact).is_none())
    {
        let program = probe.first().map_or("", String::as_str);
        return Err(Refusal::new(
            &rules::run::ENGINE,
            format!(
                "the engine {} is not installed here: {program} does not answer",
                bundle.engine
            ),
        )
        .hint(format!(
            "install it, or choose other boxes (where = '{fact}')"
        )));
    }
    let unmet = facts::unmet(&bundle.requires, &here.facts);
    let Some(first) = unmet.first() else {
        return Ok(());
    };
    let found = first
        .found
        .as_deref()
        .map_or("this box has none".to_string(), |found| {
            format!("this box has {found}")
        });
    let more = if unmet.len() > 1 {
        format!(" (and {} more)", unmet.len() - 1)
    } else {
        String::new()
    };
    Err(Refusal::new(
        &rules::run::REQUIREMENT,
        format!(
            "[requires] {} = \"{}\": {found}{more}",
            first.fact, first.wanted
        ),
    )
    .hint("install what is missing, or choose other boxes with [on] where"))
}
