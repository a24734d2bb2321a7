//! `swarm-map inventory`: the boxes as an Ansible inventory script prints them.

use crate::{
    settings::sqlite,
    store::{
        reports::{self, Record},
        schema,
    },
};
use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Prints the inventory, or one box's variables.
pub fn run(store: &str, host: Option<&str>) -> Result<()> {
    let db = schema::open(&sqlite(store)?)?;
    let reports = reports::load(&db, Timestamp::now())?;
    let out = if let Some(host) = host {
        reports
            .boxes
            .get(host)
            .map_or_else(|| json!({}), |record| variables(record))
    } else {
        let hosts: Vec<_> = reports
            .boxes
            .keys()
            .map(swarm_manifests::name::Name::as_str)
            .collect();
        let vars: Map<String, Value> = reports
            .boxes
            .values()
            .map(|record| (record.name.to_string(), variables(record)))
            .collect();
        json!({ "_meta": { "hostvars": vars }, "all": { "children": ["swarm"] }, "swarm": { "hosts": hosts } })
    };
    println!("{}", serde_json::to_string_pretty(&out)?);
    Ok(())
}

fn variables(record: &Record) -> Value {
    let facts = record.status.as_ref().map(|status| &status.facts);
    json!({
        "swarm_box": record.name,
        "swarm_key": record.key,
        "swarm_labels": facts.map(|facts| &facts.labels),
        "swarm_facts": facts.map(|facts| &facts.facts),
        "swarm_last_seen": record.last_seen,
        "swarm_agent_version": record.agent_version,
    })
}
